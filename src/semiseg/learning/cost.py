"""The cost of a training (time, memory, parameters), measured while it runs, over all its sessions."""

import resource
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


@dataclass
class Cost:
    """Cost so far.

    stepping: seconds in training steps; whole: seconds in all, with validation and checkpoints; peak: largest memory in
    bytes, allocated by torch on a GPU, or held by the process if there is none; mark: clock at the last measurement.
    """

    stepping: float = 0.0
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

    def as_note(self) -> dict[str, Any]:
        """The numbers from which a later session continues."""
        return {"stepping": self.stepping, "whole": self.whole, "peak": self.peak}


def peak_bytes(device: "torch.device") -> int:
    """Largest memory in bytes since the start of the process."""
    if device.type == "cuda":
        import torch

        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


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
        "hours": cost.whole / 3600 if trained else None,
        "peak_memory_bytes": cost.peak if trained else None,
        "memory": "gpu" if gpu else "host",
    }
