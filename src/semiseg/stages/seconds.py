"""Rule ``seconds``: times a training step of each row of a table, side by side on one device."""

import csv
import io
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles
from typing import Any, ClassVar

import torch
from torch import Tensor

from semiseg.base.files import write_text
from semiseg.base.progress import Progress
from semiseg.learning.batches import Drawn, Sampler, Sides
from semiseg.learning.build import Facts, Runtime, build_method
from semiseg.learning.loop import Trainer, start
from semiseg.learning.order import Order
from semiseg.learning.precision import Precision, require_bfloat16
from semiseg.learning.scans import StoredCase
from semiseg.learning.schedule import TrainingSchedule
from semiseg.params.config import Inference, Network, Training

logger = logging.getLogger(__name__)

COLUMNS = ("method", "label", "seconds", "low", "high", "steps", "crops", "patch", "network", "device")
REPEATS, FIRST = 10, 2  # steps that are timed of each row, and steps before these, in which libraries choose algorithms
LATE = 0.9  # of the training is over, so that all parts of a method are at work
VOXELS = 1e5  # of each class in a case; a weight of a class follows from it, and no time
PARTS = ("labelled", "unlabelled")
BLOCK = 8  # side of the cubes of one class


def seconds(spec: Mapping[str, Any], out: Path, runtime: Runtime) -> None:
    """Write the seconds of a step of each row: median and quartiles of ``REPEATS`` steps, in turn with the other rows.

    spec: ``Specs.seconds``. The crops are noise of the protocol's size, and each step is that of the training loop. The
    time until crops are ready does not count, because threads prepare them beside the steps.
    """
    steps = {name: _step(row, spec["classes"], runtime) for name, row in spec["rows"].items()}
    costs: dict[str, list[float]] = {name: [] for name in steps}
    with Progress(f"seconds of {len(steps)} rows", FIRST + REPEATS, "round") as bar:
        for number in range(FIRST + REPEATS):
            for name, step in steps.items():
                cost = step()
                if number >= FIRST:
                    costs[name].append(cost)
            bar.step()
    device = torch.cuda.get_device_name(runtime.device) if runtime.device.type == "cuda" else "CPU"
    lines = [_line(name, row, costs[name], device) for name, row in spec["rows"].items()]
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    write_text(out, text.getvalue())
    logger.info(f"{out}: {len(lines)} rows, {REPEATS} steps each on {device}")


def _line(name: str, row: Mapping[str, Any], costs: Sequence[float], device: str) -> dict[str, Any]:
    low, middle, high = (f"{cost:.4f}" for cost in quantiles(costs, n=4, method="inclusive"))
    training = row["train"]["training"]
    crops = sum(training["batch"].values())
    patch, network = "x".join(map(str, training["patch"])), row["train"]["network"]["name"]
    return dict(
        zip(COLUMNS, (name, row["label"], middle, low, high, len(costs), crops, patch, network, device), strict=True)
    )


def _step(row: Mapping[str, Any], classes: int, runtime: Runtime) -> Callable[[], float]:
    """A function that does one step of a row's training and returns its seconds."""
    spec, device = row["train"], runtime.device
    training, inference = Training.model_validate(spec["training"]), Inference.model_validate(spec["inference"])
    require_bfloat16(training, device)
    torch.manual_seed(spec["seed"])
    cases = {part: [_case(part, number, training.patch) for number in range(row["cases"][part])] for part in PARTS}
    facts = Facts(
        [[VOXELS] * classes] * len(cases["labelled"]), len(cases["unlabelled"]), training.patch, inference.window
    )
    network = Network.model_validate(spec["network"])
    method = build_method(spec["method"], spec["hyper"], network, training, facts, spec.get("wrapped"))
    unlabelled = [] if method.labelled_only else cases["unlabelled"]
    order = Order.of(training, row["cases"], labelled_only=method.labelled_only)
    drawn = cases["labelled"], unlabelled, order, training.patch, training.augmentation, spec["seed"]
    sampler = Sampler(*drawn, Noise(classes), method.derive)
    trainer = Trainer(
        title=row["label"],
        state=start(method, inference, training.optimiser, device, Precision.of(training, device)),
        sampler=sampler,
        schedule=TrainingSchedule(training, order.steps_per_epoch, method.rate_lag),
        validators={},
        runtime=runtime,
        path=Path(),
        fingerprint="",
    )
    trainer.state.iteration = int(LATE * trainer.schedule.iterations)
    trainer.state.method.train()

    def step() -> float:
        batch = sampler[trainer.state.iteration].to(device)
        _wait(device)
        begin = time.perf_counter()
        trainer.step(batch)
        _wait(device)
        return time.perf_counter() - begin

    return step


def _case(part: str, number: int, patch: Sides) -> StoredCase:
    """A case of which no file is read."""
    return StoredCase(Path(f"{part}{number}"), patch)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@dataclass(frozen=True)
class Noise:
    """Crops of noise from 0 to 1, with cubes of all classes as their label maps."""

    classes: int
    on_device: ClassVar[bool] = False

    def images(self, drawn: Drawn, patch: Sides) -> Tensor:
        """As ``Source.images``."""
        return torch.rand(len(drawn), 1, *patch)

    def labels(self, drawn: Drawn, patch: Sides) -> Tensor:
        """As ``Source.labels``."""
        cubes = torch.randint(self.classes, (len(drawn), *(-(-side // BLOCK) for side in patch)), dtype=torch.uint8)
        for axis, side in enumerate(patch, start=1):
            cubes = cubes.repeat_interleave(BLOCK, axis).narrow(axis, 0, side)
        return cubes
