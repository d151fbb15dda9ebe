"""GPU memory that a job is planned to need, found out before the job has a GPU. An upper estimate, not a limit."""

from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

from semiseg import catalogue
from semiseg.base.files import read_json
from semiseg.learning.estimate import Step, work
from semiseg.learning.work import BYTES, PROCESS
from semiseg.paths import COUNTED
from semiseg.stages.task import Task

MAPS = 2  # copies of a volume's class scores while a window slides: sums and their mean


def planned_memory(task: Task) -> float | None:
    """Bytes of GPU memory of a job of ``train`` or ``predict``; None where they are unknown, as for ``seconds``.

    A training needs what ``semiseg plan`` prints for a step, or what its validation needs, if that is more; and with
    ``data_on_device`` the cases that it is trained on. A prediction needs the scores of the largest case, and for a
    window no more than its training needed for a step: the weights' cost.json holds that of a training on a GPU.
    """
    if "prepared" not in task.files:
        return None
    index = read_json(task.files["prepared"])
    if "training" in task.spec:
        step = Step(task.spec, index["classes"])
        inside = work({"step": step}, Path(COUNTED), 1, "runs_per_gpu: count operations")["step"].memory
        slides = any(task.spec["training"].get(key) is not None for key in ("validation", "selection"))
    else:
        measured = read_json(task.files["weights"].with_name("cost.json"))
        if measured["memory"] != "gpu":
            return None
        inside, slides = measured["peak_memory_bytes"], True
    voxels = [prod(case["shape"]) for case in index["cases"].values()]
    maps = BYTES * max(voxels) * (MAPS * index["classes"] + 1) if slides else 0
    kept = (BYTES + 1) * _trained_on(task, index) if task.options.data_on_device else 0  # images and label maps
    return float(inside + maps + kept + PROCESS)


def _trained_on(task: Task, index: Mapping[str, Any]) -> int:
    """Voxels of the cases that a training cuts crops from."""
    parts = read_json(task.files["split"])
    labelled_only = catalogue.declared(task.spec["method"]).get("labelled_only")
    names = {*parts["labelled"], *(() if labelled_only else parts["unlabelled"])}
    return sum(prod(index["cases"][name]["shape"]) for name in names if name in index["cases"])
