"""Whether ``precision: fast`` learns as ``published`` does, and what a step costs on a CPU.

Four methods are trained for 200 steps on small synthetic cases, from the same three seeds under both precisions. Their
loss curves are means over 20 steps. The distance of two curves is the mean of their absolute differences: that of a
fast run to the published run of its seed is to be at most that of two published runs of different seeds. Then one step
of two methods is timed on larger crops: processor time of one thread.
"""

import itertools
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from measuring import Row, alternate, main, print_rows
from numpy.typing import NDArray
from torch import Tensor

from semiseg.learning.batches import KeptOnDevice, Sampler, StoredCase
from semiseg.learning.build import Facts, Runtime, build_method
from semiseg.learning.loop import Trainer, start
from semiseg.learning.order import Order
from semiseg.learning.precision import Precision, has_amx
from semiseg.learning.schedule import TrainingSchedule
from semiseg.params.config import Inference, Network, Training

METHODS = {"ua_mt": "vnet", "cps": "vnet", "dhc": "vnet", "guidednet": "unet3d"}
TIMED = {"ua_mt": "vnet", "cps": "vnet"}
CPU, CASES, CLASSES, SEEDS, MEAN_OF = torch.device("cpu"), 4, 3, (1, 2, 3), 20


def ball_case(seed: int, side: int) -> tuple[Tensor, Tensor]:
    """An image of two bright balls in noise, and its label map."""
    rng, grid = np.random.default_rng(seed), np.indices((side,) * 3)
    label = np.zeros((side,) * 3, np.uint8)
    for organ in range(1, CLASSES):
        centre = rng.uniform(0.3 * side, 0.7 * side, (3, 1, 1, 1))
        label[((grid - centre) ** 2).sum(0) < 0.05 * side**2] = organ
    return torch.from_numpy((label + rng.normal(0, 0.5, label.shape)).astype(np.float32)), torch.from_numpy(label)


def trainer(method: str, network: Network, side: int, steps: int, precision: str, seed: int, folder: Path) -> Trainer:
    """A training on four labelled and four unlabelled synthetic cases, which lie in memory.

    side: of a crop's first two axes, in voxels; the third is twice as long, because U-Net's norms need two voxels.
    """
    training = Training.model_validate(
        {
            "patch": [side, side, 2 * side],
            "batch": {"labelled": 2, "unlabelled": 2},
            "iterations": steps,
            "epoch": "labelled",
            "supervised": "half_ce_dice_all",
            "optimiser": {"lr": 0.01, "momentum": 0.9, "weight_decay": 0.0001},
            "schedule": {"rule": "poly"},
            "ramp": {"length": steps // 2},
            "augmentation": {"rot90": True, "flip_one_of": [0, 1]},
            "precision": precision,
        }
    )
    cases = [StoredCase(Path(str(number)), (2 * side + 8,) * 3) for number in range(2 * CASES)]
    arrays = {case: ball_case(number, 2 * side + 8) for number, case in enumerate(cases)}
    source = KeptOnDevice({case: arrays[case][0] for case in cases}, {case: arrays[case][1] for case in cases}, CPU)
    order = Order("endless", CASES, CASES, training.batch, training.epoch)
    sampler = Sampler(cases[:CASES], cases[CASES:], order, training.patch, training.augmentation, seed, source)
    torch.manual_seed(seed)
    voxels = [float(sum((label == organ).sum() for _, label in arrays.values())) for organ in range(CLASSES)]
    built = build_method(method, {}, network, training, Facts([voxels], CASES, training.patch, training.patch))
    window = Inference(window=training.patch, stride=training.patch)
    state = start(built, window, training.optimiser, CPU, Precision.of(training, CPU))
    schedule = TrainingSchedule(training, order.steps_per_epoch, built.rate_lag)
    return Trainer(method, state, sampler, schedule, {}, Runtime(CPU, 0, 1e9), folder / "state", "")


def curve(method: str, precision: str, seed: int, steps: int, folder: Path) -> NDArray[np.float64]:
    """Total loss of a training, means over 20 steps."""
    run = trainer(method, Network(name=METHODS[method], filters=2), 16, steps, precision, seed, folder)
    run.run()
    losses = run.state.history.as_tensor()[:, run.state.history.columns.index("total")].numpy()
    return np.asarray(losses.reshape(-1, min(MEAN_OF, steps)).mean(1), np.float64)


def distance(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Mean absolute difference of two curves."""
    return float(np.abs(one - other).mean())


def compared(method: str, steps: int, folder: Path) -> Row:
    """Distance of fast runs to published runs of the same seed, against that of published runs of two seeds."""
    published, fast = ([curve(method, each, seed, steps, folder) for seed in SEEDS] for each in ("published", "fast"))
    between = statistics.mean(distance(*pair) for pair in itertools.combinations(published, 2))
    apart = statistics.mean(distance(*pair) for pair in zip(fast, published, strict=True))
    return Row(
        f"{method}: loss apart, fast and published", apart, between, "two published seeds", target="at most two seeds"
    )


def timed(method: str, side: int, filters: int, folder: Path) -> Row:
    """Processor time of a fast step against a published one."""

    def stepped(precision: str) -> Callable[[], None]:
        run = trainer(method, Network(name=TIMED[method], filters=filters), side, 1000, precision, 1, folder)
        batch = run.sampler[0].to(CPU)
        run.state.method.train()
        return lambda: run.step(batch)

    fast, published = alternate(stepped("fast"), stepped("published"), clock=time.process_time)
    return Row(
        f"{method}: step of {side}x{side}x{2 * side} crops, {filters} filters: s", fast, published, "published float32"
    )


def rows(tiny: bool) -> list[Row]:
    torch.set_num_threads(1)
    methods, timed_methods = (("ua_mt",), ()) if tiny else (METHODS, TIMED)
    with TemporaryDirectory() as folder:
        curves = [compared(method, 2 if tiny else 200, Path(folder)) for method in methods]
        return curves + [timed(method, 32, 16, Path(folder)) for method in timed_methods]


if __name__ == "__main__":
    if has_amx():
        main(rows)
    else:
        print_rows([])
        print("| no AMX here, so `precision: fast` was not measured | | | | | | |")
