"""The cost of a training (time, memory, parameters), measured while it runs, over all its sessions."""

import resource
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import torch

T = TypeVar("T")
HELD = Path("/proc/self/status")


@dataclass
class Cost:
    """Cost so far.

    stepping: seconds in training steps, waiting included; waiting: seconds in which a step waited for its data; whole:
    seconds in all, with validation and checkpoints; peak: largest memory in bytes, allocated by torch on a GPU, or held
    by the process if there is none; mark: clock at the last measurement.
    """

    stepping: float = 0.0
    waiting: float = 0.0
    whole: float = 0.0
    peak: int = 0
    mark: float = 0.0

    def begin(self) -> None:
        """Start the clock of this session."""
        self.mark = time.monotonic()

    def lap(self, device: "torch.device", *, stepping: bool) -> None:
        """Add the time since the last measurement, after waiting for the work that a GPU has not finished yet."""
        if device.type == "cuda":
            import torch

            torch.cuda.synchronize(device)
        now = time.monotonic()
        self.whole += now - self.mark
        self.stepping += now - self.mark if stepping else 0.0
        self.mark, self.peak = now, max(self.peak, peak_bytes(device))

    def awaited(self, batches: Iterable[T], device: "torch.device") -> Iterator[T]:
        """The same batches. The time until one is there counts as waiting, but not while a GPU still works on a step.

        Where the GPU ends its work during that time, the whole of it counts.
        """
        batches = iter(batches)
        while True:
            before, asked = _queued(device), time.monotonic()
            batch = next(batches, None)
            if before is None or before.query():  # type: ignore[no-untyped-call]
                self.waiting += time.monotonic() - asked
            if batch is None:
                return
            yield batch

    @property
    def waiting_share(self) -> float:
        """Share of the time of the steps that they waited for data, in [0, 1]."""
        return self.waiting / self.stepping if self.stepping else 0.0

    def as_note(self) -> dict[str, Any]:
        """The numbers from which a later session continues."""
        return {"stepping": self.stepping, "waiting": self.waiting, "whole": self.whole, "peak": self.peak}


def _queued(device: "torch.device") -> "torch.cuda.Event | None":
    """The event at the end of all work that a GPU has been given so far; None on a CPU."""
    if device.type != "cuda":
        return None
    import torch

    end: torch.cuda.Event = torch.cuda.current_stream(device).record_event()
    return end


def peak_bytes(device: "torch.device") -> int:
    """Largest memory in bytes since the start of the process."""
    if device.type == "cuda":
        import torch

        return torch.cuda.max_memory_allocated(device)
    return largest_resident()


def largest_resident() -> int:
    """Most bytes of main memory that this process has held since its program began."""
    # Not from getrusage on Linux: that number outlives exec, so a small job of a large Snakemake would have its size.
    if HELD.exists():
        lines = HELD.read_text(encoding="ascii", errors="replace").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def shared_gpu(name: str, runs_per_gpu: int) -> str:
    """A GPU's name for cost.json, which says how many runs may have slowed each other down."""
    return name if runs_per_gpu == 1 else f"{name} shared by up to {runs_per_gpu} runs"


def record(cost: Cost, *, parameters: int, iterations: int, threads: int, gpu: str | None = None) -> dict[str, Any]:
    """The content of cost.json. A control is not trained, so its times and memory are None.

    parameters: how many are trained. threads: of the CPU. gpu: name of the GPU that computed, None where the CPU did.
    """
    trained = iterations > 0
    return {
        "device": gpu or "CPU",
        "threads": threads,
        "parameters": parameters,
        "iterations": iterations,
        "seconds_per_iteration": cost.stepping / iterations if trained else None,
        "waiting_share": cost.waiting_share if trained else None,
        "hours": cost.whole / 3600 if trained else None,
        "peak_memory_bytes": cost.peak if trained else None,
        "memory": "gpu" if gpu else "host",
    }
