"""Number formats and memory layout of a training step: as the official script has them, or faster by name."""

from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import nn

from semiseg.base.errors import UserError
from semiseg.params.config import Training

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
        """The protocol's precision on a device.

        Raises UserError where ``precision: fast`` meets a GPU without bfloat16 (older than NVIDIA's Ampere). Each CPU
        has it; only some are faster by it.
        """
        if training.precision == "published":
            return cls(torch.float16, scaled=True) if training.amp and device.type == "cuda" else cls()
        if device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
            raise UserError(
                f"precision fast computes in bfloat16, which {torch.cuda.get_device_name(device)} does not have: set"
                " training.precision of the protocol to published, or train on a newer GPU"
            )
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
