"""The contract between a backbone (one file of ``semiseg.networks``) and the methods that use it.

A method receives its backbones from the protocol and works with every architecture. It uses what ``Backbone`` defines:
logits at the input's resolution, five encoder maps, four decoder maps, a head, and further decoders.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Literal, get_args

from torch import Tensor, nn

from semiseg import catalogue
from semiseg.base.errors import UserError
from semiseg.base.names import unknown

Upsampling = Literal["transposed", "trilinear", "nearest"]
UPSAMPLING: tuple[str, ...] = get_args(Upsampling)


class Backbone(nn.Module):
    """Base of all backbones: an encoder-decoder with a head that gives logits at the input's resolution.

    ``forward`` maps images ``[b c z y x]`` to logits ``[b k z y x]``. A method that also needs feature maps calls
    ``encode``, ``decode`` and ``head`` itself, so that one forward pass serves for both. Example::

        maps = network.encode(image)        # five maps; maps[-1] is the bottleneck at 1/16
        feature = network.decode(maps)[-1]  # decoder map at full size, [b widths[0] z y x]
        logits = network.head(feature)      # equal to network(image)

    widths: channels of the five encoder maps, from full size to 1/16; ``head`` takes ``widths[0]`` channels.
    decoder: module that maps a list of encoder maps to the decoder maps. ``new_decoder`` gives further ones, so that
        one encoder can serve several decoders. Example::

        other = network.new_decoder("nearest")
        logits = head(other(network.encode(image))[-1])  # head: an own convolution of widths[0] channels

    initialisation: the rule by which the weights of convolutions are drawn, unless ``build`` is given another.

    Two class attributes say which crops and windows the network takes. The planner reads them from the text of the file
    and refuses others before any job starts; so they are plain values.

    divisor: every side of a crop or window in voxels is a multiple of it.
    batch_norm: True if the normalisation takes mean and deviation over all crops of a forward pass, and stored ones at
        inference. False if it takes them over one crop or window, whose deepest map must then have 2 voxels or more.
    """

    divisor: ClassVar[int] = 16  # the encoder halves each side four times
    batch_norm: ClassVar[bool] = False
    widths: tuple[int, ...]
    decoder: nn.Module
    head: nn.Module
    initialisation: str = "default"

    def encode(self, image: Tensor) -> list[Tensor]:
        """Encoder maps with ``widths`` channels, from full size to 1/16; dropout, if any, is applied to the deepest."""
        raise NotImplementedError

    def decode(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Decoder maps at 1/8, 1/4, 1/2 and full size; ``head`` turns the last one into logits."""
        decoded: tuple[Tensor, ...] = self.decoder(maps)
        return decoded

    def new_decoder(self, up: Upsampling | None = None) -> nn.Module:
        """A further decoder of the same shape, which maps encoder maps to decoder maps as ``decode`` does; no head.

        up: how a deeper map comes to twice its size; None: as in the network's own decoder. Its weights are drawn anew
        by the rule by which the network's own were. Raises UserError for another ``up``, and for a network that builds
        no further decoders.
        """
        if up is not None and up not in UPSAMPLING:
            raise unknown("upsampling", str(up), UPSAMPLING, f"{type(self).__name__}.new_decoder")
        decoder = self.build_decoder(up)
        initialise(decoder, self.initialisation)
        return decoder

    def build_decoder(self, up: Upsampling | None) -> nn.Module:
        """A decoder with torch's initialisation; up: as in ``new_decoder``, which calls this."""
        raise UserError(f"{type(self).__name__} builds no further decoders: choose another network for the protocol")

    def features(self, image: Tensor) -> tuple[Tensor, ...]:
        """The decoder maps of an image: ``decode(encode(image))``."""
        return self.decode(self.encode(image))

    def forward(self, image: Tensor) -> Tensor:
        """Logits ``[b k z y x]`` of images ``[b c z y x]``."""
        logits: Tensor = self.head(self.features(image)[-1])
        return logits

    def outputs(self, image: Tensor) -> tuple[Tensor, ...]:
        """Logits ``[b k z y x]`` of every scale that the network supervises, all at full size, the finest first.

        A network without deep supervision gives ``(forward(image),)``.
        """
        return (self.forward(image),)

    def official_modules(self) -> dict[str, str]:
        """Module with weights -> its name in the official code; {} for a network without such code."""
        return {}

    def check_sides(self, image: Tensor) -> None:
        """Raise UserError unless every spatial side can be halved as often as the encoder does."""
        sides = tuple(image.shape[2:])
        if any(side % self.divisor for side in sides):
            raise UserError(
                f"{type(self).__name__} needs crops and windows whose sides are multiples of {self.divisor}, found "
                f"{sides}: change training.patch or inference.window of the protocol"
            )


def within(place: str, modules: Mapping[str, str]) -> dict[str, str]:
    """These official modules, our names being below those of a place: ``decoder.up.0.0`` for ``up.0.0``."""
    return {f"{place}.{ours}": official for ours, official in modules.items()}


def in_two(modules: Mapping[str, str], encoder: str, decoder: str) -> dict[str, str]:
    """These official modules where encoder and decoder, which holds the head, are two official modules themselves."""
    return {
        ours: f"{decoder if ours.startswith(('decoder', 'head')) else encoder}.{official}"
        for ours, official in modules.items()
    }


def _keep(weight: Tensor) -> Tensor:
    """The network's own initialisation: the weight as it was built."""
    return weight


INITIALISATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "default": _keep,
    "kaiming": nn.init.kaiming_normal_,
    "xavier": nn.init.xavier_normal_,
}


def backbone_class(name: str) -> type[Backbone]:
    """The class that ``semiseg/networks/<name>.py`` defines. Raises UserError for an unknown network."""
    catalogue.require("networks", name, "network")
    return catalogue.load_class("networks", name, Backbone)


def build(name: str, channels: int, classes: int, initialisation: str, **options: int) -> Backbone:
    """Build the backbone of ``semiseg/networks/<name>.py``.

    channels: of the image; classes: channels of the head; options: passed to the network, such as ``filters``.
    initialisation: ``default`` keeps the network's own; ``kaiming`` (fan in, a=0) and ``xavier`` (gain 1) draw the
    weight of every Conv3d anew. Transposed convolutions and all biases keep torch's default; batch norm has weight 1
    and bias 0. Raises UserError for an unknown network or initialisation.
    """
    return construct(backbone_class(name), channels, classes, initialisation, **options)


def construct(backbone: type[Backbone], channels: int, classes: int, initialisation: str, **options: int) -> Backbone:
    """Build a backbone of this class, as ``build`` does by its name."""
    if initialisation not in INITIALISATIONS:
        raise UserError(f"unknown initialisation {initialisation!r}; known: {', '.join(INITIALISATIONS)}")
    network = backbone(channels, classes, **options)
    initialise(network, initialisation)
    if initialisation != "default":
        network.initialisation = initialisation
    return network


def initialise(network: nn.Module, initialisation: str) -> None:
    """Draw the weight of every Conv3d anew by a named rule (kimjisoo12/GuidedNet: train_guidedNet_flare.py)."""
    for module in network.modules():
        if isinstance(module, nn.Conv3d):
            INITIALISATIONS[initialisation](module.weight)
