"""One GuidedNet step beside one CPS step on the same batch, and beside GuidedNet by the plain formula.

The floor is the CPS step, to which GuidedNet adds its similarity losses. Time: all in one process, in turn; processor
time of one thread on a CPU, the clock on a GPU. Memory: one fresh process per method, high-water mark of the resident
set above what it held before the first step (on CUDA: torch's own peak). The plain formula (``naive``) works on tensors
of crops x classes x channels x voxels.
"""

import contextlib
import multiprocessing
import time
from collections.abc import Iterator
from functools import partial

import measuring
import torch
from measuring import Row, alternate, main

from semiseg.learning.build import Facts, build_method
from semiseg.learning.loop import start
from semiseg.learning.state import State
from semiseg.method import Batch, TrainingTime, total
from semiseg.methods import guidednet
from semiseg.methods.parts.guidednet_similarity import reference_similarity_losses
from semiseg.params.config import Inference, Network, Optimiser, Training

METHODS = ("guidednet", "naive", "cps")
LABELLED, CLASSES, FILTERS = 2, 14, 16
SIDES = (16, 16, 16)  # of the facts about the run, which no method here uses


@contextlib.contextmanager
def formulation(method: str) -> Iterator[None]:
    """Swap the similarity losses for the naive ones while the naive step runs."""
    kept = guidednet.similarity_losses
    if method == "naive":
        guidednet.similarity_losses = reference_similarity_losses
    try:
        yield
    finally:
        guidednet.similarity_losses = kept


def prepare(method: str, device: torch.device, classes: int, filters: int) -> State:
    """The method as training builds it."""
    torch.manual_seed(0)
    training = Training.model_construct(supervised="half_ce_dice_all")
    network = Network(name="unet3d", filters=filters)
    name = "guidednet" if method == "naive" else method
    voxels = [float(10 ** (4 + (k == 0)) + k) for k in range(classes)]
    built = build_method(name, {}, network, training, Facts([voxels], LABELLED, SIDES, SIDES))
    inference = Inference(window=SIDES, stride=SIDES)
    return start(built, inference, Optimiser(lr=0.01, momentum=0.9, weight_decay=1e-4), device)


def draw(device: torch.device, classes: int, crop: tuple[int, int, int]) -> Batch:
    """Noise with blocky labels, so that every class has prototypes."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(2 * LABELLED, 1, *crop, generator=generator)
    coarse = torch.randint(classes, (LABELLED, 1, *(side // 8 for side in crop)), generator=generator)
    labels = torch.nn.functional.interpolate(coarse.float(), scale_factor=8)[:, 0].long()
    return Batch(images[:LABELLED], labels, images[LABELLED:]).to(device)


def step(state: State, batch: Batch, method: str) -> None:
    """One step, as the training loop does it."""
    clock = TrainingTime(9000, 20000, 0, 1, 0.5)
    with formulation(method):
        loss = total(state.method.losses(batch, clock), state.method.weights(clock))
        state.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
    state.optimiser.step()
    state.method.after_step(clock)
    if state.device.type == "cuda":
        torch.cuda.synchronize(state.device)


def peak_mib(method: str, device: torch.device, crop: tuple[int, int, int]) -> float:
    """Peak MiB of two steps above the state before them."""
    torch.set_num_threads(1)
    state, batch = prepare(method, device, CLASSES, FILTERS), draw(device, CLASSES, crop)
    return measuring.peak_mib(lambda: step(state, batch, method), device if device.type == "cuda" else None)


def in_a_process(method: str, device: torch.device, crop: tuple[int, int, int]) -> float:
    """``peak_mib`` of a process that has done nothing else."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(peak_mib, (method, device, crop))


def rows(tiny: bool) -> list[Row]:
    torch.set_num_threads(1)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    crop, classes, filters = ((16, 16, 32), 3, 2) if tiny else ((32, 64, 64), CLASSES, FILTERS)
    batch = draw(device, classes, crop)
    states = [prepare(method, device, classes, filters) for method in METHODS]
    steps = [partial(step, state, batch, method) for state, method in zip(states, METHODS, strict=True)]
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    costs = alternate(*steps, repeats=1 if tiny else 7, clock=clock)
    found = [Row("a GuidedNet step: s", *costs[:2], "plain formula", costs[2], "a CPS step", "at most 1.2x the floor")]
    if tiny:  # a fresh process imports torch for seconds
        return found
    peaks = [in_a_process(method, device, crop) for method in METHODS]
    return [
        *found,
        Row("a GuidedNet step: MiB", *peaks[:2], "plain formula", peaks[2], "a CPS step", "at most 1.3x the floor"),
    ]


if __name__ == "__main__":
    main(rows)
