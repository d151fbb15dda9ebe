"""The network of crln, and the rules by which its class map M corrects its prediction.

Follows Yaan-Wang/CRLN: VnetLA/Model/Vnet.py. The projector of that code, which is never used, is left out. Two of the
four rules have no code; they are one reading of MedIA 2025, Table 7 (unverified).
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from semiseg.methods.parts.crln_interaction import Interaction
from semiseg.network import Backbone, initialise


class Outputs(NamedTuple):
    """Logits and class map ``[b k z y x]`` and representation ``[b r z y x]``; None for what is not wanted."""

    logits: Tensor
    representation: Tensor | None
    map: Tensor | None


class InteractingNetwork(nn.Module):
    """A backbone with a head for representations and with the interaction module, each if it is wanted.

    prototypes: R, their number for a class, which is the width of the representation too.
    """

    def __init__(
        self,
        backbone: Backbone,
        classes: int,
        prototypes: int,
        patch: tuple[int, int, int],
        form: str,
        *,
        represents: bool,
        interacts: bool,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        width, half, quarter, *_ = backbone.widths
        self.representation = self.interaction = None
        if represents:
            self.representation = nn.Sequential(
                nn.Conv3d(width, prototypes, 3, padding=1, bias=False),
                nn.BatchNorm3d(prototypes),
                nn.ReLU(inplace=True),
                nn.Conv3d(prototypes, prototypes, 1),
            )
            initialise(self.representation, "kaiming")
        if interacts:
            sides = [[side // share for side in patch] for share in (4, 2)]
            self.interaction = Interaction((quarter, half), sides, classes, prototypes, form)

    def forward(self, images: Tensor, *, represent: bool, interact: bool) -> Outputs:
        """The outputs for images ``[b c z y x]``."""
        _, quarter, half, full = self.backbone.features(images)
        return Outputs(
            self.backbone.head(full),
            self.representation(full) if represent and self.representation is not None else None,
            self.interaction((quarter, half)) if interact and self.interaction is not None else None,
        )


class Uncorrected(nn.Module):
    """p: the map corrects nothing."""

    def forward(self, logits: Tensor, maps: Tensor) -> Tensor:
        """The logits as they are."""
        return logits


class Scalar(nn.Module):
    """p + (1 - mu) M with one trained number mu, from 0 on."""

    def __init__(self) -> None:
        super().__init__()
        self.mu = nn.Parameter(torch.zeros(1))

    def forward(self, logits: Tensor, maps: Tensor) -> Tensor:
        """Corrected logits ``[b k z y x]``."""
        return logits + (1 - self.mu) * maps


class Exchange(nn.Module):
    """M in place of p where p is less certain than ``threshold`` and than M, by their largest softmax."""

    def __init__(self, threshold: float) -> None:
        super().__init__()
        self.threshold = threshold

    def forward(self, logits: Tensor, maps: Tensor) -> Tensor:
        """Corrected logits ``[b k z y x]``."""
        own, other = (each.float().softmax(1).amax(1, keepdim=True) for each in (logits, maps))
        return torch.where((own < self.threshold) & (own < other), maps, logits)


class Convolution(nn.Module):
    """A trained convolution 3x3x3 of p and M."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(2 * classes, classes, 3, padding=1)

    def forward(self, logits: Tensor, maps: Tensor) -> Tensor:
        """Corrected logits ``[b k z y x]``."""
        found: Tensor = self.conv(torch.cat([logits, maps], 1))
        return found


def rectifier(name: str, classes: int, threshold: float) -> nn.Module:
    """The rule of this name."""
    if name == "learned":
        return Scalar()
    if name == "convolution":
        return Convolution(classes)
    return Exchange(threshold) if name == "exchange" else Uncorrected()


class Predictor(nn.Module):
    """The teacher and the rule that corrects its predictions: all that predicts."""

    def __init__(self, teacher: InteractingNetwork, correct: nn.Module) -> None:
        super().__init__()
        self.teacher, self.correct = teacher.requires_grad_(False), correct

    def corrected(self, found: Outputs) -> Tensor:
        """Logits ``[b k z y x]`` of a network after the correction, where there is a map."""
        if found.map is None:
            return found.logits
        logits: Tensor = self.correct(found.logits, found.map)
        return logits

    def forward(self, images: Tensor) -> Tensor:
        """Corrected logits ``[b k z y x]`` of the teacher."""
        return self.corrected(self.teacher(images, represent=False, interact=True))
