"""What a backbone is: the contract between one file of ``semiseg.networks`` and the methods that share it."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from torch import Tensor, nn

from semiseg import catalogue
from semiseg.base.errors import UserError


class Backbone(nn.Module):
    """Base of all backbones: an encoder-decoder whose head speaks at the input's resolution.

    ``forward`` maps ``[b c z y x]`` to logits ``[b k z y x]``. A method that needs maps on the way calls ``encode``,
    ``decode`` and ``head`` itself, so that one forward pass serves all.

    widths: channels of the encoder's five maps, from full size to 1/16; ``head`` takes ``widths[0]`` channels.
    """

    divisor: ClassVar[int] = 16  # four halvings
    widths: tuple[int, ...]
    head: nn.Module

    def encode(self, image: Tensor) -> list[Tensor]:
        """Encoder maps of ``widths`` channels, from full size to 1/16, the deepest after dropout if there is any."""
        raise NotImplementedError

    def decode(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Decoder maps at 1/8, 1/4, 1/2 and full size; the last is the tensor that ``head`` turns into logits."""
        raise NotImplementedError

    def features(self, image: Tensor) -> tuple[Tensor, ...]:
        """``decode`` of ``encode``."""
        return self.decode(self.encode(image))

    def forward(self, image: Tensor) -> Any:
        """Logits ``[b k z y x]`` of ``[b c z y x]``; networks with several heads say in their file what they return."""
        return self.head(self.features(image)[-1])

    def check_sides(self, image: Tensor) -> None:
        """Raise UserError unless every spatial side can be halved as often as the encoder does."""
        sides = tuple(image.shape[2:])
        if any(side % self.divisor for side in sides):
            raise UserError(
                f"{type(self).__name__} needs crops and windows whose sides are multiples of {self.divisor}, found "
                f"{sides}: change training.patch or inference.window of the protocol"
            )


def _keep(weight: Tensor) -> Tensor:
    """The network's own initialisation: the weight as it was built."""
    return weight


INITIALISATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "default": _keep,
    "kaiming": nn.init.kaiming_normal_,
    "xavier": nn.init.xavier_normal_,
}


def build(name: str, channels: int, classes: int, initialisation: str, **options: int) -> Backbone:
    """Build the backbone of ``semiseg/networks/<name>.py``.

    ``kaiming`` (fan in, a=0) and ``xavier`` (gain 1) redraw every Conv3d weight; transposed convolutions and all biases
    keep torch's default, batch norm has weight 1 and bias 0. ``default`` is the network's own.
    Options such as ``filters`` go to the network. Raises UserError for an unknown network or initialisation.
    """
    catalogue.require("networks", name, "network")
    if initialisation not in INITIALISATIONS:
        raise UserError(f"unknown initialisation {initialisation!r}; known: {', '.join(INITIALISATIONS)}")
    network = catalogue.load_class("networks", name, Backbone)(channels, classes, **options)
    initialise(network, initialisation)
    return network


def initialise(network: nn.Module, initialisation: str) -> None:
    """Redraw the weight of every Conv3d by a named rule (kimjisoo12/GuidedNet: train_guidedNet_flare.py)."""
    for module in network.modules():
        if isinstance(module, nn.Conv3d):
            INITIALISATIONS[initialisation](module.weight)
