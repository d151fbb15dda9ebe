"""A protocol whose trainings start from the weights of another run: planner, graph, pages, rehearsal."""

import copy
import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from support import params_yaml

from semiseg.base.errors import UserError
from semiseg.describe import cost
from semiseg.describe.command import describe
from semiseg.describe.cost import TableView, plan_table
from semiseg.engine.rehearsal import shrunk
from semiseg.graph.graph import Graph
from semiseg.graph.plan import Plan
from semiseg.graph.specs import Specs
from semiseg.learning.work import Work
from semiseg.params.reading import parse_params
from semiseg.params.table_spec import Difference

WHOLE = params_yaml.content()
RUNS = "results/runs/la"
FIRST = f"{RUNS}/first/8lab/bcp_pretrain/seed1337/weights.safetensors"
SECOND = f"{RUNS}/second/8lab/bcp/seed1337/weights.safetensors"


def params(**second: Any) -> dict[str, Any]:
    """A table of a plain row, a control, and a row in two stages; second: changes of the second stage."""
    content = copy.deepcopy(WHOLE)
    la = content["protocols"]["la"]
    content["variants"] = {}
    content["protocols"] = {
        "la": la,
        "first": {**la, "training": {**la["training"], "iterations": 2000}},
        "second": {**la, "initial": {"method": "bcp_pretrain", "protocol": "first"}, **second},
    }
    rows = ["sup_only", {"method": "bcp", "label": "BCP", "protocol": "second"}]
    rows.append({"method": "control_perfect", "protocol": "second"})
    content["tables"] = {"la_8": {**content["tables"]["la_8"], "rows": rows, "printed": []}}
    return content


def plan(content: dict[str, Any] | None = None) -> Plan:
    return Plan(parse_params(content or params()))


def test_the_weights_of_the_first_run_are_an_input_of_the_second() -> None:
    graph = Graph(plan())
    order = [job.main for job in graph.chain("results/la_8.csv")]
    assert order.index(FIRST) < order.index(SECOND)
    first, second = graph.maker(FIRST), graph.maker(SECOND)
    assert first is not None and second is not None
    assert second.inputs["initial"] == FIRST and "initial" not in first.inputs
    assert second.spec["initial"] == {"method": "bcp_pretrain", "protocol": "first"}
    others = ("la/8lab/sup_only", "second/8lab/control_perfect", "first/8lab/bcp_pretrain")
    for other in others:
        job = graph.maker(f"{RUNS}/{other}/seed1337/weights.safetensors")
        assert job is not None and "initial" not in job.inputs and "initial" not in job.spec, other
    prediction = graph.maker(SECOND.replace("weights.safetensors", "predictions.json"))
    assert prediction is not None and "initial" not in prediction.spec


def test_a_pre_training_may_have_one_of_its_own() -> None:
    content = params()
    content["protocols"]["first"]["initial"] = {"method": "sup_only", "protocol": "la"}
    found = plan(content)
    run = found.runs("la_8", "bcp")[0]
    assert [(one.method, one.protocol) for one in (run, *found.pretrainings(run))] == [
        ("bcp", "second"), ("bcp_pretrain", "first"), ("sup_only", "la"),
    ]  # fmt: skip


FILE = "data/weights/theirs.safetensors"


def test_a_file_of_weights_is_an_input_of_the_training() -> None:
    found = plan(params(initial={"weights": "theirs"}))
    graph = Graph(found)
    assert FILE in [job.main for job in graph.chain("results/la_8.csv")]
    second, file = graph.maker(SECOND), graph.maker(FILE)
    assert second is not None and file is not None
    assert second.inputs["brought"] == FILE and "initial" not in second.inputs
    assert second.spec["initial"] == {"weights": "theirs"} and file.spec == {"name": "theirs"}
    control = graph.maker(f"{RUNS}/second/8lab/control_perfect/seed1337/weights.safetensors")
    assert control is not None and "brought" not in control.inputs and "initial" not in control.spec
    assert not found.skipped("la_8"), "bcp has the weights that it needs"
    assert Specs(found).table("la_8").brought == {"bcp": "theirs"}
    own = Specs(found).own_protocols("la_8")["bcp"]
    assert own.differences[-1] == Difference(key="initial", own={"weights": "theirs"}, table=None)


def test_the_file_behind_a_pre_training_is_behind_the_row() -> None:
    content = params()
    content["protocols"]["first"]["initial"] = {"weights": "theirs"}
    found = plan(content)
    assert found.brought(found.runs("la_8", "bcp")[0]) == "theirs"
    assert FILE in [job.main for job in Graph(found).chain(SECOND)]


BOTH = r"protocols\.second\.initial: give method and protocol of another run, or weights, the name of a file"


@pytest.mark.parametrize(
    ("initial", "sentence"),
    [
        ({"method": "bcp_pretrain", "protocol": "first", "weights": "theirs"}, BOTH),
        ({"method": "bcp_pretrain", "weights": "theirs"}, BOTH),
        ({"method": "bcp_pretrain"}, BOTH),
        ({}, BOTH),
        ({"weights": "theirs.pth"}, r"initial\.weights: expected a name of letters, digits and _, found 'theirs\.pth'"),
        ({"wieghts": "theirs"}, r"initial\.wieghts is not a known key; did you mean weights"),
    ],
)
def test_an_initial_that_names_no_weights_or_two_is_one_sentence(initial: dict[str, str], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        plan(params(initial=initial))


CIRCLE = r"protocols\.first\.initial: the pre-trainings go round in a circle \(first -> second -> first\): remove one"
WRONG: dict[str, tuple[str, Any, str]] = {
    "a method": ("method", "bcp_pretrian", r"second\.initial\.method: unknown method .*did you mean bcp_pretrain"),
    "a control": ("method", "control_perfect", r"second\.initial\.method: control_perfect is a control, which has no"),
    "a protocol": ("protocol", "firts", r"second\.initial\.protocol: unknown protocol 'firts'.*first"),
    "a narrower network": ("narrow", 8, r"first trains vnet with 8 filters, expected vnet with 16 as second: its w"),
    "a circle": ("circle", "second", CIRCLE),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_pre_training_that_cannot_be_is_one_sentence(what: str) -> None:
    key, value, sentence = WRONG[what]
    content = params()
    protocols = content["protocols"]
    if key == "narrow":
        protocols["first"]["network"] = {"name": "vnet", "filters": value}
    elif key == "circle":
        protocols["first"]["initial"] = {"method": "sup_only", "protocol": value}
    else:
        protocols["second"]["initial"][key] = value
    with pytest.raises(UserError, match=sentence):
        plan(content)


def test_a_row_without_the_pre_training_that_it_needs_is_left_out() -> None:
    assert plan(params(initial=None)).skipped("la_8") == {
        "bcp": "bcp starts from the weights of a pre-training, but the protocol names none (initial)"
    }


def test_a_row_whose_pre_training_cannot_be_done_is_left_out() -> None:
    content = params(initial={"method": "guidednet", "protocol": "first"})
    content["protocols"]["first"]["training"]["batch"] = {"labelled": 1, "unlabelled": 3}
    reason = plan(content).skipped("la_8")["bcp"]
    assert reason.startswith(
        "its pre-training guidednet cannot be done: guidednet pairs labelled with unlabelled crops"
    )


def test_pages_name_the_pre_training_and_what_is_not_the_tables() -> None:
    found, console = plan(), Console(file=io.StringIO(), width=400)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("semiseg.describe.command.terminal", lambda: console)
        for name in ("second", "la_8"):
            describe(found, name)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "the weights of bcp_pretrain, trained first by protocol first" in text
    assert "initial: {method: bcp_pretrain, protocol: first} (none)." in text


def test_a_row_with_the_largest_component_shows_the_tables_value() -> None:
    inference = {**WHOLE["protocols"]["la"]["inference"], "largest_component": True}
    own = Specs(plan(params(inference=inference))).own_protocols("la_8")["bcp"]
    assert own.differences[0] == Difference(key="inference.largest_component", own=True, table=False)


def test_scaled_intensities_are_in_the_parameters_of_both_rules() -> None:
    found = plan(params(intensities="minmax"))
    own = found.runs("la_8", "bcp")[0]
    specs, (first,) = Specs(found), found.pretrainings(own)
    assert specs.train(own)["intensities"] == specs.predict(own)["intensities"] == "minmax"
    assert "intensities" not in specs.train(first) and "intensities" not in specs.predict(first)
    difference = specs.own_protocols("la_8")["bcp"].differences[0]
    assert difference == Difference(key="intensities", own="minmax", table="stored")


def test_the_cost_of_a_table_counts_the_pre_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    console = Console(file=io.StringIO(), width=200)
    monkeypatch.setattr(cost, "terminal", lambda: console)
    one = Work(operations=5e12, memory=1.0, parameters=1, stored=2**30)
    monkeypatch.setattr(cost, "work", lambda steps, *_: dict.fromkeys(steps, one))
    found = plan()
    view = TableView.of(found, "la_8")
    assert view.iterations(view.runs["bcp_pretrain by first"][0]) == 2000
    plan_table(found, "la_8", None)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert any(line.split()[:5] == ["bcp_pretrain,", "pre-training", "of", "BCP", "0"] for line in lines)
    steps = 6000 + 2000 + 6000 + 6000  # of sup_only, the pre-training, bcp and the control, a second each
    expected = f"4 of 4 runs, about {steps / 3600:.1f} hours"
    assert expected in next(line for line in lines if "left to train" in line)
    assert any(line.rstrip().endswith("weights 4.0 GiB") for line in lines)
    assert any(line.rstrip().endswith("TFLOP/s (assumed for a GPU, no estimate for CPUs)") for line in lines)


def test_a_rehearsal_has_the_pre_training_too() -> None:
    small = shrunk(plan().params, "la_8")
    assert set(small.protocols) == {"la", "first", "second"}
    assert Plan(small).served("la_8") == ["sup_only", "bcp", "control_perfect"]
    assert small.protocols["first"].training.iterations == small.protocols["second"].training.iterations == 4
