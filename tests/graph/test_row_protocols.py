"""A row with a protocol of its own, and a row that shows another row's runs: from the plan to page and proof."""

import copy
import io
import json
from pathlib import Path

import pandas as pd
import pytest
import yaml
from rich.console import Console
from support import finished_project, params_yaml

from semiseg.cli.main import main
from semiseg.describe.command import describe
from semiseg.describe.cost import Measured, TableView, _shown_again
from semiseg.engine.clean import clean
from semiseg.engine.rehearsal import shrunk
from semiseg.graph.graph import Graph
from semiseg.graph.plan import Plan, Run
from semiseg.graph.specs import Specs
from semiseg.params.differences import differences
from semiseg.params.reading import parse_params
from semiseg.params.table_spec import Difference
from semiseg.paths import ROW
from semiseg.proof.crate.contents import gather

WHOLE = params_yaml.content()
TABLE = "synapse_20pct"


def params() -> dict:
    """A table whose cps is trained longer, and with variants of cps of which two are one computation."""
    content = copy.deepcopy(WHOLE)
    shared = content["protocols"]["dhc"]
    content["protocols"]["long"] = {
        **copy.deepcopy(shared),
        "training": {**shared["training"], "epochs": 1500, "amp": False, "validation": None,
                     "optimiser": {**shared["training"]["optimiser"], "lr": 0.3}},
        "inference": {**shared["inference"], "stride": [4, 16, 16]},
        "methods": {**shared["methods"], "cps": {"weight": 10.0}},
        "notes": ["The long one."],
    }  # fmt: skip
    content["variants"] |= {f"cps_{name}": {"method": "cps", "parameters": {"weight": value}} for name, value in
                            {"first": 0.25, "second": 0.5}.items()}  # fmt: skip
    content["tables"][TABLE]["reference"] = None
    content["tables"][TABLE]["rows"] = [
        "ua_mt",
        {"method": "cps", "label": "CPS", "protocol": "long"},
        {"method": "cps_first", "label": "D -> H"},
        {"method": "cps_second", "label": "H -> D", "same_as": "cps_first"},
    ]
    return content


def test_a_second_name_gives_a_table_a_further_row_of_a_method_and_trains_nothing_twice(plan):
    fully, base = (plan.runs("openkbp_imbalance", name) for name in ("sup_only_fully", "sup_only"))
    assert [(run.method, run.split) for run in (*fully, *base)] == [("sup_only", "full"), ("sup_only", "small")]
    spec = Specs(plan).table("openkbp_imbalance")
    assert not spec.variants, "there are no bars of a second name, which changes nothing"
    assert {name: spec.names[name] for name in ("sup_only_fully", "sup_only")} == {
        "sup_only_fully": ("Sup only (fully)",),
        "sup_only": ("Sup only",),
    }


@pytest.fixture(scope="module")
def plan() -> Plan:
    return Plan(parse_params(params()))


def test_runs_lie_under_the_rows_own_protocol_and_are_trained_by_it(plan):
    run = plan.runs(TABLE, "cps")[0]
    assert run == Run("btcv", "long", "dhc_20p", "cps", 0)
    assert {plan.runs(TABLE, row)[0].protocol for row in ("ua_mt", "cps_first")} == {"dhc"}
    spec = Graph(plan).maker(f"{run.folder}/weights.safetensors").spec
    assert (spec["training"]["epochs"], spec["hyper"], spec["inference"]["stride"]) == (
        1500,
        {"weight": 10.0},
        [4, 16, 16],
    )


def test_a_row_that_is_the_same_as_another_has_its_runs_and_no_training(plan):
    assert plan.runs(TABLE, "cps_second") == plan.runs(TABLE, "cps_first")
    rows = [Graph(plan).maker(ROW.format(table=TABLE, method=method)) for method in ("cps_first", "cps_second")]
    assert rows[0].inputs == rows[1].inputs and rows[1].spec["label"] == "H -> D"
    trained = [job.main for job in Graph(plan).chain(f"results/{TABLE}.csv") if job.rule == "train"]
    assert len(trained) == 3 * 3 and not any("cps_second" in path for path in trained)


def test_the_specification_names_each_key_that_differs_for_the_row(plan):
    spec = Specs(plan).table(TABLE)
    assert list(spec.own_protocols) == ["cps"] and spec.own_protocols["cps"].name == "long"
    found = {one.key: (one.own, one.table) for one in spec.own_protocols["cps"].differences}
    assert found.pop("training.validation") == (None, WHOLE["protocols"]["dhc"]["training"]["validation"] | {})
    assert found == {
        "training.epochs": (1500, 300),
        "training.optimiser.lr": (0.3, 0.03),
        "training.amp": (False, True),
        "inference.stride": ([4, 16, 16], [16, 32, 32]),
        "methods.cps.weight": (10.0, 0.1),
    }
    assert spec.hyper["cps"]["weight"] == 10.0 and spec.same_as == {"cps_second": "cps_first"}


def test_differences_of_sections():
    own, table = {"a": {"b": 1, "c": [1, 2]}, "d": None}, {"a": {"b": 1, "c": [2, 1]}, "d": {"e": 1}}
    assert differences(own, own) == ()
    assert differences(own, table) == (
        Difference(key="a.c", own=[1, 2], table=[2, 1]),
        Difference(key="d", own=None, table={"e": 1}),
    )


def test_a_row_is_left_out_where_its_own_protocol_cannot_serve_it():
    """The table's batch has equal halves, the row's own has not."""
    content = params()
    content["protocols"]["long"]["training"]["batch"] = {"labelled": 2, "unlabelled": 3}
    content["tables"][TABLE]["rows"] = ["guidednet", {"method": "guidednet_cgmm", "protocol": "long"}]
    skipped = Plan(parse_params(content)).skipped(TABLE)
    assert list(skipped) == ["guidednet_cgmm"] and "takes 2 and 3 in a step" in skipped["guidednet_cgmm"]


def test_a_row_whose_own_protocol_validates_needs_cases_for_it():
    content = params()
    content["splits"]["phantom_three"]["no_val"] = {
        "draw": {"labelled": 4, "unlabelled": 8, "val": 0, "test": 6, "seed": 1}
    }
    demo = content["protocols"]["demo"]
    content["protocols"]["demo_last"] = {**demo, "training": {**demo["training"], "validation": None}}
    content["tables"]["demo"] |= {"split": "no_val", "protocol": "demo_last"}
    content["tables"]["demo"]["rows"] = ["mt", {"method": "cps", "protocol": "demo"}]
    plan = Plan(parse_params(content))
    with pytest.raises(Exception, match="table demo, row cps: split no_val does not serve, since it has no validation"):
        plan.served("demo")
    content["tables"]["demo"]["rows"] = ["cps", "mt"]
    assert Plan(parse_params(content)).served("demo") == ["cps", "mt"]


def test_a_rehearsal_shrinks_every_protocol_of_the_table():
    small = shrunk(parse_params(params()), TABLE)
    assert set(small.protocols) == {"dhc", "long"}
    assert {one.training.epochs for one in small.protocols.values()} == {2}
    assert small.protocols["long"].inference.stride == (24, 48, 48), "fewer windows overlap"
    assert Plan(small).runs(TABLE, "cps")[0].protocol == "long"


def test_a_plan_counts_the_steps_of_each_rows_own_protocol_and_a_repeated_row_once(plan, tmp_path, monkeypatch):
    view = TableView.of(plan, TABLE)
    assert list(view.runs) == ["ua_mt", "cps", "cps_first"]
    assert _shown_again(view) == ["H -> D: the runs of D -> H, trained once"]
    steps = {method: view.iterations(runs[0]) for method, runs in view.runs.items()}
    assert steps == {"ua_mt": 301 * 8, "cps": 1501 * 8, "cps_first": 301 * 8}
    monkeypatch.chdir(tmp_path)
    for protocol, seconds in (("long", 2.0), ("dhc", 3.0)):
        folder = Path(Run("btcv", protocol, "dhc_20p", "cps", 0).folder)
        folder.mkdir(parents=True)
        (folder / "cost.json").write_text(json.dumps({"iterations": 1, "seconds_per_iteration": seconds}))
    assert [cost["seconds_per_iteration"] for cost in Measured.read(view).costs["cps"]] == [2.0]


def page(plan: Plan, name: str) -> str:
    console = Console(file=io.StringIO(), width=200, highlight=False)
    describe(plan, name, console)
    return " ".join(console.file.getvalue().split())


def test_the_front_pages_name_a_rows_own_protocol(plan):
    text = page(plan, TABLE)
    assert (
        "CPS is trained by protocol long, which differs from the table's dhc (in brackets) in training.epochs: 1500"
        in text
    )
    assert "inference.stride: [4, 16, 16] ([16, 32, 32]), methods.cps.weight: 10 (0.1)." in text
    assert "training.validation: none ({every: 10, per: epoch, first: 1, " in text
    assert "H -> D is the same computation as D -> H: it was trained once" in text
    assert "about the protocol long - The long one." in text and "about the protocol dhc" in text
    assert TABLE in page(plan, "long").split("training")[0]


# --- a finished table with such rows ---


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """One seed of two trainings: one by a protocol of its own, and one that stands in two rows."""
    content = finished_project.params()
    table = content["tables"]["tiny"]
    content["protocols"]["la_other"] = copy.deepcopy(content["protocols"]["la_small"])
    content["protocols"]["la_other"]["training"]["optimiser"] = {"lr": 0.04, "momentum": 0.9, "weight_decay": 0.0001}
    content["variants"] = {f"cps_{name}": {"method": "cps", "parameters": {"weight": weight}} for name, weight in
                           {"first": 0.25, "second": 0.5}.items()}  # fmt: skip
    rows = [
        {"method": "sup_only", "label": "Sup", "protocol": "la_other"},
        {"method": "cps_first", "label": "D -> H"},
        {"method": "cps_second", "label": "H -> D", "same_as": "cps_first"},
    ]
    content["tables"]["tiny"] = {**table, "seeds": [1], "rows": rows}
    folder = tmp_path_factory.mktemp("own") / "project"
    folder.mkdir()
    finished_project.write_params(folder, content)
    finished_project.build(folder)
    return folder


@pytest.fixture
def inside(finished, monkeypatch) -> Path:
    monkeypatch.chdir(finished)
    return finished


OWN = (
    "Sup is trained by protocol la_other, which differs from the table's la_small (in brackets) in"
    " training.optimiser.lr: 0.04 (0.05)."
)
SAME = "H -> D is the same computation as D -> H: it was trained once, and its numbers stand in both rows."


def test_the_page_and_its_other_forms_say_what_differs(inside):
    for form, place in ((".html", lambda text: text.replace("&gt;", ">").replace("&#39;", "'")),
                        (".md", lambda text: text.replace("\\_", "_")),
                        (".tex", lambda text: text.replace("\\_", "_"))):  # fmt: skip
        text = place((inside / f"results/tiny{form}").read_text(encoding="utf-8"))
        assert OWN in text and SAME in text, form


def test_one_computation_in_two_rows_has_equal_numbers_and_is_tested_once(inside):
    table = pd.read_csv("results/tiny.csv").set_index("method")
    assert list(table.index) == ["sup_only", "cps_first", "cps_second"]
    first, second = (table.loc[name].drop("label") for name in ("cps_first", "cps_second"))
    assert first.equals(second) and not (inside / "results/runs/phantom_mri/la_small/tiny/cps_second").exists()
    views = pd.read_csv("results/tiny.views.csv")
    tests = {method: lines[["p", "p_holm", "effect"]].to_numpy() for method, lines in views.groupby("method")}
    assert (pd.isna(tests["cps_first"]) == pd.isna(tests["cps_second"])).all()


def test_the_chain_is_proven_told_and_carried(inside, capsys):
    assert main(["audit", "results/tiny.csv"]) == 0
    assert "proven: sup_only, cps_first, cps_second" in capsys.readouterr().out
    assert main(["lineage", "results/tiny.csv", "--row", "Sup", "--column", "Dice"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "trained by protocol la_other in place of the table's la_small" in told
    assert "results/runs/phantom_mri/la_other/tiny/sup_only/seed1/weights.safetensors" in told
    assert main(["lineage", "results/tiny.csv", "--row", "H -> D", "--column", "Dice"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "which are those of row cps_first, the same computation" in told
    Path("Snakefile").touch()  # a crate is not written without one
    pieces = gather("results/tiny.csv").pieces
    assert {"results/runs/phantom_mri/la_other/tiny/sup_only/seed1/cases.csv", "results/tiny/cps_second.csv"} <= set(
        pieces
    )


def test_other_parameters_of_a_rows_own_protocol_make_that_row_stale_and_no_other(inside, capsys):
    content = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    changed = copy.deepcopy(content)
    changed["protocols"]["la_other"]["training"]["optimiser"]["lr"] = 0.03
    finished_project.write_params(Path(), changed)
    assert main(["audit", "results/tiny.csv"]) == 1
    text = capsys.readouterr().out
    finished_project.write_params(Path(), content)
    assert "stale: sup_only" in text and "proven: cps_first, cps_second" in text


def test_volumes_of_a_run_in_two_rows_are_counted_once(inside):
    lines: list[str] = []
    clean(finished_project.graph().plan, "tiny", dry_run=True, show=lines.append)
    assert sum("cps_first" in line for line in lines) == 1
