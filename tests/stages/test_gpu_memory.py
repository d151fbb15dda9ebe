"""GPU memory that jobs are planned to need: a training by the planner's counts, a prediction by its training."""

import json
from dataclasses import replace
from math import prod

import pytest
from support import finished_project

from semiseg.graph.specs import as_text
from semiseg.learning.estimate import Step, work
from semiseg.learning.work import PROCESS
from semiseg.stages.gpu_memory import planned_memory
from semiseg.stages.task import Options, Task

TRAIN = f"{finished_project.RUN}/cps/seed1/weights.safetensors"
PREDICT = f"{finished_project.RUN}/cps/seed1/predictions.json"


@pytest.fixture
def tasks(project):
    """The tasks of a run: of its training and its prediction."""
    jobs = {job.main: job for job in finished_project.graph().chain(PREDICT)}
    return [
        Task(
            json.loads(as_text(jobs[main].spec)),
            {n: project / str(p) for n, p in jobs[main].inputs.items()},
            {},
            Options(),
        )
        for main in (TRAIN, PREDICT)
    ]


def maps(task: Task) -> int:
    """Bytes of an image in float32 and twice its class scores, of the largest case."""
    index = json.loads(task.files["prepared"].read_text())
    return 4 * (2 * index["classes"] + 1) * max(prod(case["shape"]) for case in index["cases"].values())


def of_cases(task: Task, *parts: str) -> int:
    """Bytes of float32 images and uint8 label maps of the cases of these parts."""
    index, split = (json.loads(task.files[name].read_text()) for name in ("prepared", "split"))
    return 5 * sum(prod(index["cases"][name]["shape"]) for part in parts for name in split[part])


def test_a_training_needs_what_the_planner_prints_and_its_validation(tasks, tmp_path):
    train, _ = tasks
    classes = json.loads(train.files["prepared"].read_text())["classes"]
    step = work({"step": Step(train.spec, classes)}, tmp_path, 1, "count")["step"].memory
    slides = train.spec["training"]["validation"] is not None
    assert planned_memory(train) == step + slides * maps(train) + PROCESS
    on_device = planned_memory(replace(train, options=Options(data_on_device=1)))
    assert on_device == planned_memory(train) + of_cases(train, "labelled", "unlabelled")
    alone = replace(train, spec=train.spec | {"method": "sup_only", "hyper": {}})
    on_device = planned_memory(replace(alone, options=Options(data_on_device=1)))
    assert on_device == planned_memory(alone) + of_cases(train, "labelled")


def test_a_prediction_needs_no_more_for_a_window_than_its_training_for_a_step(tasks):
    _, predict = tasks
    assert planned_memory(predict) is None, "its training ran on the CPU"
    cost = predict.files["weights"].with_name("cost.json")
    cost.write_text(json.dumps(json.loads(cost.read_text()) | {"memory": "gpu", "peak_memory_bytes": 7_000}))
    assert planned_memory(predict) == 7_000 + maps(predict) + PROCESS
