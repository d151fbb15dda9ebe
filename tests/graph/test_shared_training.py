"""Rows that differ at prediction alone share one training: in the graph, in the specifications, in the plan."""

import re
from pathlib import Path

import pytest
from support import finished_table, params_yaml

from semiseg.base.errors import UserError
from semiseg.describe.cost import TableView
from semiseg.engine.snakemake_memory import finished_job
from semiseg.graph.graph import Graph
from semiseg.graph.plan import Plan, Run
from semiseg.params.reading import parse_params
from semiseg.report.notes import about_training

WHOLE = params_yaml.content()
TABLE = "plbopt_t9"
SHARED = {"dhc_weak": "dhc_weak", "dhc_strong": "dhc_weak", "plbopt_weak": "plbopt", "plbopt_strong": "plbopt"}


@pytest.fixture(scope="module")
def graph() -> Graph:
    return Graph(Plan(parse_params(WHOLE)))


def test_a_table_whose_rows_differ_in_the_noise_of_test_scans_trains_two_of_four(graph):
    jobs = graph.chain(f"results/{TABLE}.csv")
    count = {rule: sum(job.rule == rule for job in jobs) for rule in ("train", "predict", "evaluate", "row")}
    assert count == {"train": 2 * 3, "predict": 4 * 3, "evaluate": 4 * 3, "row": 4}
    assert {Path(job.main).parents[1].name for job in jobs if job.rule == "train"} == {"dhc_weak", "plbopt"}


@pytest.mark.parametrize(("row", "trained"), SHARED.items())
def test_a_prediction_has_its_own_values_and_the_weights_of_the_shared_training(graph, row, trained):
    run = graph.plan.runs(TABLE, row)[0]
    job = graph.predict(run)
    assert job.spec["hyper"]["noise"] == row.partition("_")[2]
    weights = job.inputs["weights"]
    assert Path(weights).parents[1].name == trained and Path(job.main).parents[1].name == row
    assert "noise" not in graph.maker(weights).spec["hyper"]


def test_the_method_itself_and_a_variant_that_differs_at_prediction_have_one_training(graph):
    """So the table of the noise uses the training of the table without noise."""
    clean, noisy = graph.plan.runs("synapse_10pct", "plbopt")[0], graph.plan.runs(TABLE, "plbopt_weak")[0]
    assert graph.plan.training(noisy) == graph.plan.training(clean) == clean
    assert graph.predict(noisy).main != graph.predict(clean).main


def test_no_training_of_a_run_that_has_the_weights_of_another_one(graph):
    folder = graph.plan.runs(TABLE, "dhc_strong")[0].folder
    reason = (
        r"dhc_strong differs from dhc_weak at prediction or in the checkpoint alone and has its weights: name"
        r" .*/dhc_weak/seed\d+/weights"
    )
    with pytest.raises(UserError, match=reason):
        graph.maker(f"{folder}/weights.safetensors")


def test_a_value_that_acts_in_training_parts_the_trainings():
    content = {**WHOLE, "variants": {**WHOLE["variants"], "other": {"method": "plbopt", "parameters": {"alpha": 0.4}}}}
    plan = Plan(parse_params(content))
    run = Run("btcv", "dhc_short", "dhc_10p", "other", 0)
    assert plan.training(run) == run


def test_noise_that_a_protocol_gives_a_method_is_no_part_of_its_training():
    short = WHOLE["protocols"]["dhc_short"]
    noisy = {**short, "methods": {**short["methods"], "plbopt": {"noise": "weak"}}}
    graph = Graph(Plan(parse_params({**WHOLE, "protocols": {**WHOLE["protocols"], "dhc_short": noisy}})))
    run = graph.plan.runs("synapse_10pct", "plbopt")[0]
    assert graph.train(run).spec["hyper"] == {} and graph.predict(run).spec["hyper"] == {"noise": "weak"}


def test_the_plan_prices_each_training_once_and_all_predictions(graph):
    view = TableView.of(graph.plan, TABLE)
    assert list(view.runs) == ["dhc_weak", "plbopt_weak"] and len(view.predictions) == 4 * 3
    assert {run.method for runs in view.runs.values() for run in runs} == {"dhc_weak", "plbopt"}


def test_the_page_says_so_and_reads_the_history_and_cost_of_the_training(graph):
    job = graph.table(TABLE)
    read = [path for path in job.inputs["page"] if "dhc_strong" in path or "dhc_weak" in path]
    assert {path for path in read if path.endswith(("history.csv", "cost.json"))} == {
        f"{run.folder}/{name}" for run in graph.plan.runs(TABLE, "dhc_weak") for name in ("history.csv", "cost.json")
    }
    assert sum("dhc_strong" in path for path in read) == 2 * 3 and len(read) == len(set(read))
    changed = {
        "trained_elsewhere": {"mt": ("results/runs/a",)},
        "runs": {"mt": ("b",), "sup_only": ("results/runs/a",)},
    }
    notes = about_training(finished_table.table_spec(**changed))
    label = finished_table.ROWS
    assert notes == [
        f"{label['sup_only']} and {label['mt']} differ at prediction or in the checkpoint alone: one training"
        " makes their weights."
    ]


def test_snakemake_is_told_of_the_state_of_the_training_that_made_the_weights(graph):
    job = graph.predict(graph.plan.runs(TABLE, "dhc_strong")[0])
    record = {
        "rule": "predict",
        "params": job.spec,
        "inputs": [{"path": path, "sha256": "0"} for path in job.read],
        "outputs": [{"path": job.main, "sha256": "0"}],
        "code": {"hash": "c"},
        "time": {"start": "2026-01-01T00:00:00+00:00", "end": "2026-01-01T00:00:01+00:00"},
    }
    state = finished_job(record, graph, {}).params[-1]
    assert re.fullmatch(r"results/state/btcv/dhc_short/dhc_10p/dhc_weak/seed\d+", state)
