"""Decoders of skcdf, the module that predicts, and the transfers of weights between decoders and heads.

Follows yinguanchun/SKCDF: SKCDF/code/models/SKCDF.py and SKCDF/code/train_skcdf.py.
"""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn

from semiseg.blocks import ema
from semiseg.methods.parts.skcdf_attention import SemanticComplementarity
from semiseg.network import Backbone


class Predictor(nn.Module):
    """The backbone and its attention: the encoder, one decoder with its main head, and what lies between them.

    attention: None where the deepest map goes to the decoder as it is.
    """

    def __init__(self, network: Backbone, attention: SemanticComplementarity | None) -> None:
        super().__init__()
        self.network, self.attention = network, attention

    def maps(self, images: Tensor, labelled: int | None = None) -> list[Tensor]:
        """Encoder maps of images ``[b c z y x]``, the deepest one after the attention.

        labelled: None where each crop attends to itself, else the number of labelled crops, which come first.
        """
        maps = self.network.encode(images)
        return maps if self.attention is None else [*maps[:-1], self.attention(maps[-1], labelled)]

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``[b k z y x]`` of the main head, each crop attending to itself."""
        logits: Tensor = self.network.head(self.network.decode(self.maps(images))[-1])
        return logits


class Branch(NamedTuple):
    """A decoder, its main head, and its auxiliary head if there is one. It registers nothing: modules may be shared."""

    decoder: nn.Module
    main: nn.Module
    auxiliary: nn.Module | None = None

    def logits(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Logits ``[b k z y x]`` of each head, the main one first."""
        feature = self.decoder(maps)[-1]
        return [head(feature) for head in (self.main, self.auxiliary) if head is not None]

    def registered(self) -> nn.ModuleDict:
        """The modules by name, for a method to own."""
        return nn.ModuleDict({name: module for name, module in self._asdict().items() if module is not None})


def transfer(order: str, labelled: Branch, unlabelled: Branch, decay: float) -> None:
    """Average weights in place, target <- decay target + (1 - decay) source; buffers are not changed.

    order: steps in their order, each of which reads what the one before it wrote. ``H_l`` and ``H_u`` average the
    auxiliary head of the labelled or unlabelled branch into its main head; without auxiliary heads they do nothing.
    ``D`` averages the labelled decoder and its heads into the unlabelled ones.
    """
    for step in order.split():
        if step == "D":
            pairs = list(zip(unlabelled, labelled, strict=True))
        else:
            branch = {"H_l": labelled, "H_u": unlabelled}[step]
            pairs = [(branch.main, branch.auxiliary)]
        for target, source in pairs:
            if target is not None and source is not None:
                ema.update(target, source, decay)
