"""Estimated cost of a training step and size of a prepared case, without torch.

The counts behind the estimates come from ``semiseg.learning.counting``, which runs steps with small crops. Those of all
rows of the project's params.yaml come with the package (``counts.json``, written by ``make counts``); others are kept
in a folder. So torch is loaded only for a step that was not counted before.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import lcm, prod
from pathlib import Path
from typing import Any

from semiseg import catalogue
from semiseg.base import sources
from semiseg.base.controls import is_control
from semiseg.base.files import digest, read_json, write_json
from semiseg.base.parallel import each
from semiseg.jobs.code_hash import code_hash, plug_ins
from semiseg.learning.work import BYTES, COPIES, Work
from semiseg.params.config import Training

SMALL = ((1, 1, 2), (1, 2, 2))  # sides of the two crops that are counted, in steps of what the network takes
CUBES = ((1, 2, 1), (1, 2, 2))  # and in cubes, for a method that cuts crops into cubes
NO_WORK = Work(operations=0.0, memory=0.0, parameters=0)
SHIPPED = sources.PACKAGE / "learning/counts.json"
Counts = list[Work]  # of a step with the small crops and of one with the larger ones; or of a whole step alone


@dataclass(frozen=True)
class Step:
    """One training step of a run: ``Specs.train``'s specification, and the number of classes with the background."""

    spec: Mapping[str, Any]
    classes: int

    @property
    def key(self) -> str:
        """Hash of all that the counts depend on: method, parameters, what it wraps, network, classes and code."""
        code = code_hash("semiseg.learning.counting", *plug_ins(self.spec))
        precision = Training.model_validate(self.spec["training"]).precision
        parts = [self.spec["method"], self.spec["hyper"], self.spec["network"], self.classes, precision, code]
        parts += [self.spec["wrapped"]] if "wrapped" in self.spec else []
        if self.is_counted_whole:
            return digest([*parts, self.patch, self.spec["training"]["batch"]])
        return digest([*parts, self.patch] if self.has_weights_of_patch else parts)

    @property
    def is_trained(self) -> bool:
        """Whether there are steps at all: a control has none, and a row with imported weights neither."""
        return "training" in self.spec and not is_control(self.spec["method"])

    @property
    def patch(self) -> list[int]:
        """Sides of the protocol's crop in voxels."""
        return list(self.spec["training"]["patch"])

    @property
    def is_counted_whole(self) -> bool:
        """Whether a step of the protocol's own batch and crop is counted (``Method.counted_whole``)."""
        return bool(catalogue.declared(self.spec["method"])["counted_whole"])

    @property
    def has_weights_of_patch(self) -> bool:
        """Whether weights depend on the size of a crop: the method requires windows of that size."""
        switches = (
            (one["method"], one["hyper"], catalogue.requirements(one["method"])["window_is_patch"])
            for one in _together(self.spec)
            if "window_is_patch" in catalogue.requirements(one["method"])
        )
        return any(
            not name or hyper.get(name, catalogue.hyperparameters(method)[name].default)
            for method, hyper, name in switches
        )


def work(steps: Mapping[str, Step], kept: Path, workers: int, what: str) -> dict[str, Work]:
    """The work of these steps, by the names that they are given.

    One step with one labelled and one unlabelled crop is counted, for two sizes of small crops. The part that grows
    with the size is scaled to the protocol's batch and crop; the rest (weights, terms on a fixed number of voxels) is
    not. A method that resizes its crops is counted as a whole (``Method.counted_whole``). Counts that do not come with
    the package are stored in the folder ``kept``. workers: processes that count. what: the name of the progress line.
    What is not trained has no work.
    """
    trained = {name: step for name, step in steps.items() if step.is_trained}
    keys, known = {name: step.key for name, step in trained.items()}, shipped()
    files = {key: kept / f"{key}.json" for key in keys.values() if key not in known}
    known |= {key: [Work(**one) for one in read_json(file)] for key, file in files.items() if file.exists()}
    counted = count({keys[name]: step for name, step in trained.items() if keys[name] not in known}, workers, what)
    for key, counts in counted.items():
        write_json(files[key], [asdict(one) for one in counts])
    works = {name: _scaled(step, (known | counted)[keys[name]]) for name, step in trained.items()}
    return {name: works.get(name, NO_WORK) for name in steps}


def shipped() -> dict[str, Counts]:
    """The counts that come with the package, by ``Step.key``."""
    return {key: [Work(*one) for one in counts] for key, counts in read_json(SHIPPED).items()}


def count(steps: Mapping[str, Step], workers: int, what: str) -> dict[str, Counts]:
    """The counts of these steps by the same keys; workers, what: as in ``work``."""
    counted = each(_count, list(steps.values()), workers, what, "row") if steps else []
    return dict(zip(steps, counted, strict=True))


def _count(step: Step) -> Counts:
    # Several processes count at once. torch reads this when it is loaded; more threads than cores wait for each other.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from semiseg.learning.counting import count, count_parameters, count_whole

    if step.is_counted_whole:
        return [count_whole(step.spec, step.classes)]
    counts = [count(step.spec, step.classes, crop) for crop in _crops(step.spec)]
    if not step.has_weights_of_patch:
        return counts
    parameters = count_parameters(step.spec, step.classes, step.patch)
    return [_with_parameters(one, parameters) for one in counts]


def _with_parameters(counted: Work, parameters: int) -> Work:
    """The work with this number of parameters in place of its own, which fill more memory or less."""
    more = BYTES * (parameters - counted.parameters)
    return replace(
        counted, memory=counted.memory + COPIES * more, parameters=parameters, stored=max(counted.stored + more, 0)
    )


def _scaled(step: Step, counts: Sequence[Work]) -> Work:
    """The work of the protocol's batch and crop, from those of two small crops."""
    if step.is_counted_whole:
        return counts[0]
    small, large = counts
    training, sizes = Training.model_validate(step.spec["training"]), [2 * prod(crop) for crop in _crops(step.spec)]
    voxels = (training.batch.labelled + training.batch.unlabelled) * prod(training.patch)
    steps = (voxels - sizes[0]) / (sizes[1] - sizes[0])
    operations, memory = (
        getattr(small, name) + steps * (getattr(large, name) - getattr(small, name))
        for name in ("operations", "memory")
    )
    return replace(small, operations=operations, memory=memory)


def _crops(spec: Mapping[str, Any]) -> list[tuple[int, ...]]:
    """The two sizes of crops that are counted, in voxels: the smallest that serve network and method."""
    together = _together(spec)
    required = {kind: (one, name) for one in together for kind, name in catalogue.requirements(one["method"]).items()}
    if "cubes" in required:
        one, name = required["cubes"]
        side = one["hyper"].get(name, catalogue.hyperparameters(one["method"])[name].default)
        return [tuple(side * factor for factor in crop) for crop in CUBES]
    backbones = [written for one in together for _, written in catalogue.own_backbones(one["method"]).values()]
    backbones.append(catalogue.declared(spec["network"]["name"], "networks"))
    divisor = lcm(*(written["divisor"] for written in backbones))
    side = 2 * divisor if "even_bottleneck" in required else divisor
    return [tuple(side * factor for factor in crop) for crop in SMALL]


def _together(spec: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """A method and the one that it wraps, if any, each with its hyperparameters."""
    return [spec, *([spec["wrapped"]] if "wrapped" in spec else [])]


def prepared_voxels(shape: Sequence[float], spacing: Sequence[float], steps: Sequence[Mapping[str, Any]]) -> float:
    """Largest number of voxels of a case after a preparation; crops are ignored, because they depend on the case.

    shape (voxels) and spacing (mm) along x, y, z; steps as in params.yaml.
    """
    sides = list(map(float, shape))
    for step in steps:
        if step["step"] != "resample":
            continue
        if step.get("shape"):
            sides = list(map(float, step["shape"]))
        elif step.get("spacing"):
            sides = [side * old / new for side, old, new in zip(sides, spacing, step["spacing"], strict=True)]
        else:
            factor = step["factor"]
            factors = factor if isinstance(factor, list | tuple) else [factor] * 3
            sides = [side * each for side, each in zip(sides, factors, strict=True)]
    return prod(sides)
