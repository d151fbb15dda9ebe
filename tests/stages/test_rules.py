"""The table of rules: complete, and true to what jobs read and write."""

import inspect
from pathlib import Path

import pytest
from support import finished_project

from semiseg.base.errors import UserError
from semiseg.graph.graph import MAIN_OUTPUTS
from semiseg.jobs.record import read_record
from semiseg.paths import record_path
from semiseg.stages.execution import recorded_task
from semiseg.stages.rules import RULES
from semiseg.stages.task import Options

RUN = f"{finished_project.RUN}/cps/seed1"


def test_the_table_has_every_rule_of_the_graph_with_its_main_output():
    assert {rule.outputs[0].template for rule in RULES.values()} == set(MAIN_OUTPUTS)
    assert {rule.outputs[0].name for rule in RULES.values()} == {"out"}


def test_only_inputs_can_be_restored_and_every_verb_has_a_help():
    for rule in RULES.values():
        assert set(rule.restores) <= {item.name for item in rule.inputs}, rule.name
        assert rule.function.__doc__, rule.name


def test_a_stage_that_runs_on_a_gpu_takes_its_options():
    for rule in RULES.values():
        assert rule.on_gpu == ({"device", "gpu", "runs_per_gpu", "threads"} <= set(rule.options)), rule.name
        assert rule.on_gpu == ("task.runtime()" in inspect.getsource(rule.function)), rule.name


def test_the_task_of_a_record_is_that_of_the_graph_whatever_the_order_of_its_inputs(project):
    jobs = finished_project.graph().chain(finished_project.TABLE)
    assert {job.rule for job in jobs} == {"raw", "prepare", "split", "train", "predict", "evaluate", "row", "table"}
    for job in jobs:
        rule, record = RULES[job.rule], read_record(job.record)
        backwards = {**record, "inputs": record["inputs"][::-1]}
        for order in (record, backwards):
            task = recorded_task(order, Path(job.main).parent, Options())
            assert set(map(str, rule.read(task))) == set(job.read), job.main
            assert set(map(str, rule.written(task))) == set(job.outputs.values()), job.main
            for name in rule.file_names:
                if name in job.inputs:
                    assert str(task.files[name]) == job.inputs[name], job.main
        read = rule.read(recorded_task(record, Path(), Options()))
        assert list(map(str, read)) == [entry["path"] for entry in record["inputs"]], job.main


def test_a_record_that_lacks_an_input_of_its_rule_is_refused(project):
    record = read_record(record_path(f"{RUN}/predictions.json"))
    record["inputs"] = [entry for entry in record["inputs"] if "splits" not in entry["path"]]
    with pytest.raises(UserError, match=r"predictions\.json names no input like data/splits/.*: build .* again"):
        recorded_task(record, Path(), Options())
