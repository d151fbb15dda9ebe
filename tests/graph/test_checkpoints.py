"""Rows that show another checkpoint than their protocol keeps: one training, its own prediction, refusals."""

import copy
from pathlib import Path

import pytest
from support import params_yaml

from semiseg.base.errors import UserError
from semiseg.describe.cost import TableView
from semiseg.engine.rehearsal import shrunk
from semiseg.graph.graph import Graph
from semiseg.graph.plan import Plan
from semiseg.params.reading import parse_params

WHOLE = params_yaml.content()
EVERY_200 = {"every": 200, "per": "iteration", "first": 800, "region": "volume", "absent": "zero"}


@pytest.fixture(scope="module")
def graph() -> Graph:
    return Graph(Plan(parse_params(WHOLE)))


def with_table(name: str = "la_8", **changes) -> dict:
    content = copy.deepcopy({key: WHOLE[key] for key in WHOLE if key != "tables"})
    return {**content, "tables": {name: {**copy.deepcopy(WHOLE["tables"][name]), **changes}}}


def test_the_last_and_the_best_are_two_predictions_of_one_training(graph):
    last, best = (graph.predict(graph.plan.runs("la_8", row)[0]) for row in ("mc_net_plus", "mc_net_plus_best"))
    assert last.inputs == best.inputs, "the same weights file"
    assert "checkpoint" not in last.spec and best.spec == {**last.spec, "checkpoint": "best_test"}
    assert best.main == last.main.replace("/seed1337/", "/seed1337_best_test/")
    assert graph.maker(best.main) == best, "its name alone identifies the job"
    jobs = graph.chain("results/la_8.csv")
    assert len({job.main for job in jobs if job.rule == "predict"}) == len(WHOLE["tables"]["la_8"]["rows"])
    assert len({job.main for job in jobs if job.rule == "train"}) == len(jobs_without_best()) + 1, "BCP's pre-training"
    assert not {"mc_net_plus_best", "bcp_best"} & set(TableView.of(graph.plan, "la_8").runs), "priced once"


def jobs_without_best() -> list[str]:
    return [row["method"] for row in WHOLE["tables"]["la_8"]["rows"] if "checkpoint" not in row]


def test_a_training_is_scored_on_the_test_list_only_where_a_row_asks_for_it(graph):
    """All others keep the parameters that they had before there were such rows."""
    asked, other = (graph.maker(graph.predict(graph.plan.runs("la_8", row)[0]).inputs["weights"]).spec
                    for row in ("mc_net_plus", "ua_mt"))  # fmt: skip
    assert asked["checkpoints"] == ["best_test"] and asked["training"]["selection"] == EVERY_200
    assert "checkpoints" not in other and "selection" not in other["training"]
    shared = graph.maker(graph.predict(graph.plan.runs("crln_t5", "crln")[0]).inputs["weights"])
    assert shared.spec["checkpoints"] == ["best_test"], "another table's row, la_8's"


def test_a_table_chooses_for_all_its_rows_and_controls_stay_as_they_are():
    rows = ["ua_mt", {"method": "ua_mt_last", "checkpoint": "last"}, "control_perfect"]
    content = with_table(split="8lab_val", checkpoint="best_validation", rows=rows, reference=None)
    content["variants"]["ua_mt_last"] = {"method": "ua_mt", "parameters": {}}
    graph = Graph(Plan(parse_params(content)))
    folders = [graph.plan.runs("la_8", row)[0].folder for row in ("ua_mt", "ua_mt_last", "control_perfect")]
    assert [Path(folder).name for folder in folders] == ["seed1337_best_validation", "seed1337", "seed1337"]
    train = graph.maker(graph.predict(graph.plan.runs("la_8", "ua_mt")[0]).inputs["weights"])
    assert train.spec["checkpoints"] == ["best_validation"] and train.spec["training"]["validation"] is None
    shown = graph.specs.table("la_8").checkpoints
    assert list(shown) == ["ua_mt"] and shown["ua_mt"].last == "ua_mt_last"


def test_the_last_weights_of_a_protocol_that_validates(graph):
    plan = graph.plan
    last, best = (plan.runs("brats19_25", row)[0] for row in ("crln", "crln_best"))
    assert (last.checkpoint, best.checkpoint) == ("_last", "") and plan.training(last) == best
    spec = graph.train(best).spec
    assert spec["checkpoints"] == ["last"] and "selection" not in spec["training"]
    with pytest.raises(UserError, match="crln_last differs from crln at prediction or in the checkpoint alone and has"):
        graph.maker(f"{last.folder}/weights.safetensors")


def test_rehearsals_score_too():
    small = shrunk(parse_params(WHOLE), "la_8")
    assert small.protocols["la_counted"].training.selection.every == 2
    assert Plan(small).further(Plan(small).runs("la_8", "mc_net_plus")[0]) == ("best_test",)


TWICE = [{"method": "crln", "label": "a"}, {"method": "crln", "label": "b", "checkpoint": "best_test"}]
REFUSED = {
    "two rows of one name": ({"rows": TWICE}, r"rows: the method 'crln' occurs twice; give each once; a further row"
                             r" of it needs a second name of its own \(variants, parameters {}\)$"),
    "two rows with one checkpoint": (
        {"rows": ["crln", {"method": "crln_best", "checkpoint": "last"}]},
        r"rows\.crln_best: has the runs of the row crln: give it another split, protocol or checkpoint, or write"),
    "two rows with the best of one list": (
        {"rows": [{"method": "crln_best", "checkpoint": "best_test"}, {"method": "crln", "checkpoint": "best_test"}]},
        r"rows\.crln: has the runs of the row crln_best: "),
    "a control's": ({"rows": ["crln", {"method": "control_perfect", "checkpoint": "best_test"}]},
                    r"rows\.control_perfect\.checkpoint: control_perfect is a control, which has no weights"),
    "one that is scored nowhere": (
        {"protocol": "bare", "rows": [{"method": "ua_mt", "checkpoint": "best_test"}]},
        r"rows\.ua_mt\.checkpoint: best_test needs weights that are scored during training, and protocol bare of row"
        r" ua_mt does not say when: give it training\.selection"),
    "one of the whole table that is scored nowhere": (
        {"protocol": "bare", "checkpoint": "best_test", "rows": ["ua_mt"]}, r"la_8\.checkpoint: best_test needs"),
    "a row of another row's runs": (
        {"rows": ["crln", {"method": "crln_best", "same_as": "crln", "checkpoint": "last"}]}, "remove checkpoint"),
    "no such rule": ({"checkpoint": "best"}, "checkpoint"),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "reason"), REFUSED.values(), ids=REFUSED)
def test_checkpoints_that_cannot_be_shown_are_refused(changes, reason):
    content = with_table(**{"reference": None, **changes})
    bare = copy.deepcopy(content["protocols"]["la"])
    del bare["training"]["selection"]
    content["protocols"]["bare"] = bare
    with pytest.raises(UserError, match=reason):
        Plan(parse_params(content))


def test_the_best_on_validation_needs_validation_cases():
    plan = Plan(parse_params(with_table(checkpoint="best_validation", rows=["ua_mt"], reference=None)))
    with pytest.raises(UserError, match="it has no validation cases, on which the checkpoint best_validation is"):
        plan.served("la_8")
