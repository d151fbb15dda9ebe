"""Base of sassnet and dtc: a backbone whose decoder ends in two heads, segmentation and signed distance.

Two classes (LA), as in the official code: each head has one channel (``semiseg.methods.parts.one_logit``), and L_sup is
the Dice loss alone. More classes (ours, unverified, because no code was released): one logit per class; one distance
per organ, with the organ's own mask as its target; and the protocol's L_sup. The background has no distance map,
because such a channel would have no target, and the discriminator would receive noise.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from semiseg.blocks.distance import signed_distance
from semiseg.blocks.losses import dice_squared_fg
from semiseg.method import Batch, Context, Terms
from semiseg.methods.parts.one_logit import BINARY, OneLogit
from semiseg.network import Backbone
from semiseg.networks.heads.distance import DistanceHead


class TwoHeads(OneLogit):
    """Base of the methods with a segmentation head and a distance head; the segmentation head predicts."""

    networks: Mapping[str, str] = {"network": "default"}
    inference_networks = ("network",)
    network: Backbone

    def __init__(self, context: Context, **hyper: Any) -> None:
        super().__init__(context, **hyper)
        self.distance_head = DistanceHead(self.network, context.classes - 1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits ``[b k z y x]`` and signed distances ``[b k-1 z y x]``, both float32, of images ``[b c z y x]``."""
        feature = self.network.features(images)[-1]
        return self.class_logits(self.network.head(feature)), self.distance_head(feature)

    def official_modules(self) -> list[dict[str, str]]:
        """The names of the official codes, in which both heads have names of their own."""
        heads, (network,) = self.distance_head.official_modules(), super().official_modules()
        return [{**network, "network.head": heads["head"], "distance_head.convolution": heads["convolution"]}]

    def supervised_terms(self, batch: Batch) -> tuple[Terms, Tensor, Tensor]:
        """L_sup and L_sdf of the labelled rows, then the logits and distances of all rows.

        L_sdf is the mean squared error of the distances.
        """
        # the true distances come first, because they wait for all work that the GPU has been given before
        truth = signed_distance(batch.labels, self.context.classes)
        logits, distances = self.forward(batch.everything)
        count = len(batch.labels)
        terms = {
            "supervised": self.supervised(logits[:count], batch.labels),
            "distance": (distances[:count] - truth).square().mean(),
        }
        return terms, logits, distances

    def supervised(self, logits: Tensor, labels: Tensor) -> Tensor:
        """L_sup without its distance part, of logits ``[b k z y x]`` and labels ``[b z y x]``."""
        if self.context.classes == BINARY:
            return dice_squared_fg(logits.softmax(1), labels)
        return self.context.supervised(logits, labels)
