"""AutoSAM (Shaharabany et al., arXiv 2306.06370): SAM with a learned dense prompt, slice by slice, on labelled crops.

Follows talshaharabany/AutoSAM: train.py, models/model_single.py. SAM itself stays as it is.
Departures: crops of one size are cut and padded with zeros before slices are resized, where the official code resizes
whole images of any size. Colour jitter and small affine changes of that code's loader are not done here.
Ours (unverified): all that is particular to volumes, since no code for volumes is published. Slices lie across the
shortest side of a crop; each is scaled from 0 to 255 on its own and repeated on three channels.
Weights to bring: SAM's, sam_vit_h_4b8939.pth (or sam_vit_l_0b3195.pth, sam_vit_b_01ec64.pth), from
github.com/facebookresearch/segment-anything, and hardnet85-a28faa00.pth, from ping-chao.com/hardnet, by `semiseg
import-weights NAME sam=FILE prompt=FILE`.
"""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from semiseg.blocks.slices import longest, padded, resized, scaled, stacks, unstacked
from semiseg.method import Batch, Context, Hyper, Method, Terms, TrainingTime
from semiseg.methods.parts.autosam_prompt import PromptedSam, normalised

CODE = "talshaharabany/AutoSAM: train.py"
EPSILON = 1e-6  # of the range of logits


class AutoSAM(Method):
    """L = BCE(q, y) + Tversky(q, y) with q = (l - min l) / (max l - min l + 1e-6) of the logits l of a slice.

    Tversky = 1 - mean over slices of (tp + 1) / (tp + fn / 2 + fp / 2 + 1). y is any organ against the background. A
    slice without organ has values of q above 0.5 as well, so something is found in every slice (``output``). The
    supervised loss is the method's own, not the protocol's. The weights of a run hold SAM as well.
    """

    inference_networks = ("network",)
    labelled_only = True
    counted_whole = True
    requires = ("sam", "binary", "pretrained")
    official_unused = ("prompt.base.19.",)  # the classifier of HarDNet-85

    prompt_scale = Hyper(0.5, "side of the prompt network's image over that of SAM's, 512 / 1024", CODE)
    output = Hyper(
        "min_max",
        "how logits become scores: by the range of a slice, or by a sigmoid",
        CODE,
        ("min_max", "sigmoid"),
    )

    def __init__(self, context: Context, **hyper: Any) -> None:
        super().__init__(context, **hyper)
        sam: Any = context.network("default", context.classes)
        self.network = PromptedSam.of(sam, round(self.prompt_scale * sam.sizes.side))

    def from_official(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weights of two files: ``sam.`` before the names of Meta's, ``prompt.`` before those of the HarDNet."""
        self.network.sam.require_width(tensors)
        return self.network.sam.fitted(super().from_official(tensors), "network.sam.")

    def losses(self, batch: Batch, time: TrainingTime) -> Terms:
        """Both terms on all slices."""
        return terms(self.scores(self.network(self.prepared(batch.images))), self.masks(batch.labels))

    def scores(self, logits: Tensor) -> Tensor:
        """Scores q from 0 to 1 of logits ``[n 1 h w]``, in float32."""
        return logits.float().sigmoid() if self.output == "sigmoid" else min_max(logits.float())

    @property
    def side(self) -> int:
        """Side of SAM's image in pixels."""
        side: int = self.network.sam.sizes.side
        return side

    def prepared(self, crops: Tensor) -> Tensor:
        """Slices of crops ``[b 1 z y x]`` as SAM's loader gives images, ``[b*n 3 s s]``."""
        slices = 255 * scaled(stacks(crops).transpose(1, 2).flatten(0, 1)).expand(-1, 3, -1, -1)
        return padded(normalised(resized(slices, longest(slices, self.side), "bilinear")), self.side)

    def masks(self, labels: Tensor) -> Tensor:
        """Masks of all organs in the slices of labels ``[b z y x]``, bool ``[b*n 1 s s]``."""
        slices = stacks(labels > 0).flatten(0, 1).unsqueeze(1).float()
        return padded(resized(slices, longest(slices, self.side), "bilinear"), self.side) > 0.5

    def predict(self, image: Tensor, networks: tuple[str, ...]) -> Tensor:
        """The scores 1 - q and q, resized to the slices; further classes have score 0."""
        slices = stacks(image)
        scores = resized(self.scores(self.network(self.prepared(image))), (self.side, self.side), "bilinear")
        h, w = longest(slices, self.side)
        found = resized(scores[..., :h, :w], slices.shape[-2:], "bilinear")
        found = found.view(len(image), 1, -1, *found.shape[-2:])
        absent = torch.zeros_like(found).expand(-1, self.context.classes - 2, -1, -1, -1)
        return unstacked(torch.cat([1 - found, found, absent], 1), image)


def min_max(logits: Tensor) -> Tensor:
    """Logits ``[n 1 h w]``, the lowest of each slice at 0 and the highest at nearly 1."""
    low, high = logits.amin((1, 2, 3), keepdim=True), logits.amax((1, 2, 3), keepdim=True)
    return (logits - low) / (high - low + EPSILON)


def terms(scores: Tensor, masks: Tensor, smooth: float = 1.0) -> Terms:
    """Cross-entropy and Tversky loss of scores ``[n 1 h w]``; masks ``[n 1 s s]`` come to their size (nearest)."""
    truth = F.interpolate(masks.float(), scores.shape[2:])
    with torch.autocast("cuda" if scores.is_cuda else "cpu", enabled=False):  # else torch refuses this loss
        cross_entropy = F.binary_cross_entropy(scores, truth)
    found, both, true = (part.sum((1, 2, 3)) for part in (scores, scores * truth, truth))
    overlap = (both + smooth) / (both + 0.5 * (true - both) + 0.5 * (found - both) + smooth)
    return {"bce": cross_entropy, "tversky": 1 - overlap.mean()}
