"""Cost of one GuidedNet step against one CPS step on the same batch: ``python benchmarks/guidednet_vs_cps.py``.

Time: both methods in one process, in turn; median. On a CPU these are CPU seconds of one thread, which other work on
the machine hardly inflates. Memory: one fresh process per method, high-water mark of the resident set above what it
held before the first step (on CUDA: torch's own peak). ``naive`` is GuidedNet with the reference formula of the
similarity losses, which works on tensors of crops x classes x channels x voxels.
"""

import argparse
import contextlib
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

import torch

from semiseg.learning.build import build_method
from semiseg.learning.loop import start
from semiseg.learning.state import State
from semiseg.method import Batch, TrainingTime, total
from semiseg.methods import guidednet
from semiseg.methods.parts.guidednet_similarity import reference_similarity_losses
from semiseg.params.config import Inference, Network, Optimiser, Training

METHODS = ("cps", "guidednet", "naive")
LABELLED = 2


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
    built = build_method(name, {}, network, training, voxels)
    inference = Inference(window=(16, 16, 16), stride=(16, 16, 16))
    return start(built, inference, Optimiser(lr=0.01, momentum=0.9, weight_decay=1e-4), device)


def draw(device: torch.device, classes: int, crop: list[int]) -> Batch:
    """Noise with blocky labels, so that every class has prototypes."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(2 * LABELLED, 1, *crop, generator=generator)
    coarse = torch.randint(classes, (LABELLED, 1, *(side // 8 for side in crop)), generator=generator)
    labels = torch.nn.functional.interpolate(coarse.float(), scale_factor=8)[:, 0].long()
    return Batch(images[:LABELLED], labels, images[LABELLED:]).to(device)


def step(state: State, batch: Batch, method: str) -> float:
    """Seconds of one step, as the training loop does it."""
    clock = TrainingTime(9000, 20000, 0, 1, 0.5)
    now = time.perf_counter if state.device.type == "cuda" else time.process_time
    began = now()
    with formulation(method):
        loss = total(state.method.losses(batch, clock), state.method.weights(clock))
        state.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
    state.optimiser.step()
    state.method.after_step(clock)
    if state.device.type == "cuda":
        torch.cuda.synchronize(state.device)
    return now() - began


def measure_memory(method: str, device: torch.device, classes: int, filters: int, crop: list[int]) -> float:
    """Peak MiB of two steps above the state before them."""
    state, batch = prepare(method, device, classes, filters), draw(device, classes, crop)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
    else:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    for _ in range(2):
        step(state, batch, method)
    if device.type == "cuda":
        return (torch.cuda.max_memory_allocated(device) - before) / 2**20
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before) / 2**20


def measure_time(
    methods: tuple[str, ...], repeats: int, size: tuple[torch.device, int, int], batch: Batch
) -> dict[str, list[float]]:
    """Seconds of each step, the methods taking turns; a first round warms up."""
    states = {method: prepare(method, *size) for method in methods}
    rounds = [{method: step(state, batch, method) for method, state in states.items()} for _ in range(repeats + 1)]
    return {method: [taken[method] for taken in rounds[1:]] for method in methods}


def main() -> None:
    """Measure, print one line of ratios and one of absolute figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--crop", type=int, nargs=3, default=[32, 64, 64])
    parser.add_argument("--classes", type=int, default=14)
    parser.add_argument("--filters", type=int, default=16)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--memory-of", choices=METHODS, help="used by the script itself, in a fresh process")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    device = torch.device(arguments.device)
    size = (device, arguments.classes, arguments.filters)
    if arguments.memory_of:
        print(measure_memory(arguments.memory_of, *size, arguments.crop))
        return
    memory = {
        method: float(subprocess.check_output([sys.executable, *sys.argv, "--memory-of", method])) for method in METHODS
    }
    batch = draw(device, arguments.classes, arguments.crop)
    seconds = measure_time(("cps", "guidednet"), arguments.repeats, size, batch)
    seconds |= measure_time(("naive",), 1, size, batch)
    median = {method: statistics.median(values) for method, values in seconds.items()}
    print(
        f"guidednet / cps: time {median['guidednet'] / median['cps']:.2f} (limit 1.20), "
        f"memory {memory['guidednet'] / memory['cps']:.2f} (limit 1.30); "
        f"naive / cps: time {median['naive'] / median['cps']:.2f}, memory {memory['naive'] / memory['cps']:.2f}"
    )
    for method in METHODS:
        print(f"  {method}: {median[method]:.3f} s, {memory[method]:.0f} MiB above start")


if __name__ == "__main__":
    main()
