"""A training step of each method of SKCDF's and PLBOpt's tables beside a step of CPS on the same batch.

Processor time of one thread on a CPU, the clock on a GPU; all methods in one process, in turn with CPS. Memory: one
fresh process per method, the high-water mark of the resident set above what it held before the first step (on CUDA:
torch's own peak). The step of PLBOpt is that of DHC as its base; its superpixels have a row of their own, because
threads compute them beside the steps of a GPU.
"""

import multiprocessing
import time
from collections.abc import Callable
from functools import partial

import measuring
import torch
from measuring import Row, alternate, main

from semiseg.learning.batches import derived_maps
from semiseg.learning.build import Facts, build_method
from semiseg.learning.loop import Trainer, start
from semiseg.learning.schedule import TrainingSchedule
from semiseg.learning.state import State
from semiseg.method import Batch, TrainingTime
from semiseg.params.config import Inference, Network, Optimiser, Training

PEER = "cps"
METHODS = [
    "ua_mt",
    "urpc",
    "ss_net",
    "cld",
    "dhc",
    "crest",
    "simis",
    "adsh",
    "depl",
    "dst",
    "acisis",
    "generic_ssl",
    "skcdf",
    "plbopt",
]
NETWORKS = {"urpc": "unet3d_ds"}  # the others: vnet
WRAPPED = {"plbopt": {"method": "dhc", "hyper": {}}}
CROPS, CASES = 2, 8  # of each stream
Sides = tuple[int, int, int]


class Late(TrainingSchedule):
    """A schedule that stays at one step of a long training."""

    def __init__(self) -> None:
        pass

    def time(self, iteration: int) -> TrainingTime:
        return TrainingTime(9000, 20000, 150, 300, 0.5)

    def learning_rate(self, iteration: int) -> float:
        return 0.01

    def begins_update(self, iteration: int) -> bool:
        return True

    def ends_update(self, iteration: int) -> bool:
        return True


def prepare(method: str, device: torch.device, classes: int, filters: int, crop: Sides) -> State:
    """The method as a training builds it."""
    torch.manual_seed(0)
    training = Training.model_construct(supervised="ce_dice_organs")
    network = Network(name=NETWORKS.get(method, "vnet"), filters=filters)
    facts = Facts([[float(10 ** (4 + (k == 0)) + k) for k in range(classes)]] * CASES, CASES, crop, crop)
    built = build_method(method, {}, network, training, facts, WRAPPED.get(method))
    inference = Inference(window=crop, stride=crop)
    state = start(built, inference, Optimiser(lr=0.01, momentum=0.9, weight_decay=1e-4), device)
    state.method.train()
    return state


def draw(state: State, classes: int, crop: Sides) -> Batch:
    """Smooth noise with blocky labels, so that every class is there; maps as the loader derives them."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(2 * CROPS, 1, *crop, generator=generator)
    coarse = torch.randint(classes, (CROPS, 1, *(side // 8 for side in crop)), generator=generator)
    labels = torch.nn.functional.interpolate(coarse.float(), scale_factor=8)[:, 0].long()
    unlabelled = images[CROPS:]
    maps = derived_maps(state.method.derive, unlabelled)
    return Batch(images[:CROPS], labels, unlabelled, maps=maps).to(state.device)


def stepped(method: str, device: torch.device, classes: int, filters: int, crop: Sides) -> Callable[[], None]:
    """A function that does one step of the training loop."""
    state = prepare(method, device, classes, filters, crop)
    trainer, batch = Trainer.__new__(Trainer), draw(state, classes, crop)
    trainer.state, trainer.schedule = state, Late()

    def step() -> None:
        trainer.step(batch)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return step


def peak_mib(method: str, device: torch.device, classes: int, filters: int, crop: Sides) -> float:
    """Peak MiB of two steps above the state before them."""
    torch.set_num_threads(1)
    step = stepped(method, device, classes, filters, crop)
    return measuring.peak_mib(step, device if device.type == "cuda" else None)


def in_a_process(*given: object) -> float:
    """``peak_mib`` of a process that has done nothing else."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(peak_mib, given)


def superpixels(classes: int, filters: int, crop: Sides) -> Callable[[], object]:
    """A function that derives the superpixels of the unlabelled crops of a step."""
    state = prepare("plbopt", torch.device("cpu"), classes, filters, crop)
    unlabelled = torch.randn(CROPS, 1, *crop, generator=torch.Generator().manual_seed(0))
    return partial(derived_maps, state.method.derive, unlabelled)


def rows(tiny: bool) -> list[Row]:
    torch.set_num_threads(1)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    crop, classes, filters = ((32, 32, 32), 3, 2) if tiny else ((32, 64, 64), 14, 8)
    methods, repeats = (("urpc",), 1) if tiny else (METHODS, 5)
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    peer, found = stepped(PEER, device, classes, filters, crop), []
    for method in methods:
        own = stepped(method, device, classes, filters, crop)
        costs = alternate(own, peer, repeats=repeats, clock=clock)
        found.append(Row(f"{method}: a step: s", *costs, "a CPS step"))
    if tiny:  # a fresh process imports torch for seconds
        return found
    costs = alternate(superpixels(classes, filters, crop), peer, repeats=repeats, clock=clock)
    found.append(Row("plbopt: superpixels of a step, in the loader: s", *costs, "a CPS step"))
    of_peer = in_a_process(PEER, device, classes, filters, crop)
    peaks = {method: in_a_process(method, device, classes, filters, crop) for method in methods}
    return found + [Row(f"{method}: a step: MiB", peak, of_peer, "a CPS step") for method, peak in peaks.items()]


if __name__ == "__main__":
    main(rows)
