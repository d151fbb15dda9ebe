"""Number formats and memory layout of a training step: as the official script has them, or faster by name."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from semiseg.base.errors import UserError
from semiseg.params.config import Training

PROCESSOR = Path("/proc/cpuinfo")
CHANNELS_LAST = torch.channels_last_3d


@dataclass(frozen=True)
class Precision:
    """How the device computes a step.

    half: number format of convolutions and matrix products under autocast, None for float32; weights and losses are
    float32 in any case. scaled: gradients are scaled, because float16 loses small ones. fast: weights of convolutions
    lie channels last, and one kernel updates all weights.
    """

    half: torch.dtype | None = None
    scaled: bool = False
    fast: bool = False

    @classmethod
    def of(cls, training: Training, device: torch.device) -> "Precision":
        """The protocol's precision on a device. Whether it can do it: ``require_bfloat16``."""
        if training.precision == "published":
            return cls(torch.float16, scaled=True) if training.amp and device.type == "cuda" else cls()
        return cls(torch.bfloat16, fast=True)

    def autocast(self, device: torch.device) -> AbstractContextManager[object]:
        """The context of forward passes.

        Under ``fast`` it keeps no cast weights: one that is cast in a pass without gradient (a pseudo-label's) would
        serve the later passes too, and no gradient would reach it.
        """
        return torch.autocast(device.type, self.half, enabled=self.half is not None, cache_enabled=not self.fast)

    def lay_out(self, method: nn.Module) -> None:
        """Put the weights of convolutions into the layout of this precision. Values and names stay."""
        for module in method.modules():
            if self.fast and isinstance(module, nn.Conv3d | nn.ConvTranspose3d):
                module.to(memory_format=CHANNELS_LAST)  # type: ignore[call-overload]


FLOAT32 = Precision()


def require_bfloat16(training: Training, device: torch.device) -> None:
    """Raise UserError where ``precision: fast`` meets a device that does not compute well in bfloat16.

    Such are a GPU without it (older than NVIDIA's Ampere) and a CPU without AMX.
    """
    if training.precision == "published":
        return
    if device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise UserError(
            f"precision fast computes in bfloat16, which {torch.cuda.get_device_name(device)} does not have: set"
            " training.precision of the protocol to published, or train on a newer GPU"
        )
    if device.type == "cpu" and not has_amx():
        raise UserError(
            "precision fast computes in bfloat16, which a processor without AMX computes slowly or not reproducibly:"
            " set training.precision of the protocol to published, or train on a GPU"
        )


def has_amx() -> bool:
    """Whether this processor has AMX's instructions for bfloat16.

    On one with AVX512-BF16 alone (seen on AMD EPYC) oneDNN's weight gradient of a 3x3x3 convolution on maps of 2x2x2
    reads memory that nobody wrote (torch 2.13), so that it differs from call to call and may be NaN.
    """
    return PROCESSOR.exists() and "amx_bf16" in PROCESSOR.read_text(encoding="ascii", errors="replace").split()
