"""SDC-SSL: shape-guided dual consistency (Lei et al., IEEE Transactions on Radiation and Plasma Medical Sciences 2023).

One V-Net learns masks, another one signed distances, which are turned into masks. On all crops their masks must agree,
and a boundary term relates the first network's mask to the distances of the second one's. Side heads at the four levels
of each decoder learn the labels as well. An autoencoder learns to give both masks one code.
Follows SUST-reynole/SDC-SSL: code/train_LA.py. The code SUBTRACTS the boundary term, which rewards a mask outside the
organ; ``bd_sign`` chooses. The consistency is in the loss of each network, and both are followed backwards, so it acts
twice. The shape term does not reach the networks, whose masks are detached; ``shape_grad`` lets it reach them, as the
abstract has it. Its networks are V-Nets whatever the protocol's network is. The supervised losses are its own.
Departures: the L1 distance to the true map, which the code computes without use, is left out; it reads the labels of
unlabelled crops. A mask that fills the crop has the distance -1, where the code divides 0 by 0.
Ours (unverified): more than one organ, with a softmax over the organs' logits and 0 for the background.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from semiseg.blocks.losses import cross_entropy
from semiseg.blocks.organ_dice import dice_squared_each
from semiseg.method import Adam, Batch, Context, Hyper, Method, Net, Terms, TrainingTime
from semiseg.methods.parts import sdc_ssl_shape as shape
from semiseg.methods.parts.sdc_ssl_networks import Autoencoder, Outputs, ShapeHeads, with_background
from semiseg.networks.vnet import VNet

CODE = "SUST-reynole/SDC-SSL: code/train_LA.py"


class SDCSSL(Method):
    """L = (CE + Dice)/2 + Dice_s + w r(t) 2 L_con + L_side + L_side_s; L_con = mean (p - p_s)^2 + 0.1 sign mean p D.

    p: mask of the first network; p_s: mask of the second one's distances; D: signed distances of p_s made hard. The
    autoencoder's loss is 5 mean (e(p) - e(p_s))^2 and the reconstruction of both masks, e being the codes.
    """

    networks = {"seg": Net("default", VNet), "sdm": Net("default", VNet)}
    inference_networks = ("seg",)
    seg: VNet
    sdm: VNet

    weight = Hyper(1.0, "weight w of the consistency, times the protocol's ramp", f"{CODE} --consistency")
    boundary_weight = Hyper(0.1, "weight of the boundary term in the consistency", CODE)
    bd_sign = Hyper(-1, "sign of the boundary term", f"{CODE}: -1; 1 is the usual boundary loss", (-1, 1))
    side_weight = Hyper(0.05, "weight of the side heads", CODE)
    shape_weight = Hyper(5.0, "weight of the distance between the codes of both masks", CODE)
    shape_grad = Hyper(False, "whether the shape term also trains the networks", f"{CODE}: false; the abstract: true")
    autoencoder_lr = Hyper(2e-4, "Adam rate of the autoencoder in the first half of the epochs", CODE)
    autoencoder_beta1 = Hyper(0.5, "decay of the mean gradient in the autoencoder's Adam", CODE)
    autoencoder_beta2 = Hyper(0.999, "decay of the mean squared gradient in the autoencoder's Adam", CODE)

    def __init__(self, context: Context, **hyper: Any) -> None:
        super().__init__(context, **hyper)
        organs = context.classes - 1
        self.seg_heads, self.sdm_heads = ShapeHeads(self.seg, organs), ShapeHeads(self.sdm, organs)
        self.autoencoder = Autoencoder(organs)
        self._masks: list[Tensor] = []

    @property
    def output_channels(self) -> int:
        """One per organ."""
        return self.context.classes - 1

    def outputs(self, images: Tensor) -> tuple[Outputs, Outputs]:
        """What both networks give for images ``[b c z y x]``."""
        return self.seg_heads(self.seg, images), self.sdm_heads(self.sdm, images)

    def losses(self, batch: Batch, time: TrainingTime) -> Terms:
        """Supervised terms of both networks on the labelled rows, and on all rows the consistency of each."""
        count, labels, (seg, sdm) = len(batch.images), batch.labels, self.outputs(batch.everything)
        logits, found = with_background(seg.logits), shape.mask_of(sdm.distances)
        probabilities = logits.softmax(1)
        consistency = self.consistency(probabilities[:, 1:], found)
        of_distances = torch.cat([torch.zeros_like(found[:count, :1]), found[:count]], 1)
        masks = [probabilities[:, 1:], found]
        self._masks = [mask.detach() for mask in masks]
        terms = {
            "seg_ce": cross_entropy(logits[:count], labels),
            "seg_dice": dice_squared_each(probabilities[:count], labels),
            "sdm_dice": dice_squared_each(of_distances, labels),
            "consistency_seg": consistency,
            "consistency_sdm": consistency,
            "side_seg": self.side(seg, labels),
            "side_sdm": self.side(sdm, labels),
        }
        if self.shape_grad:
            terms["shape_of_networks"] = self.code_distance(*map(self.autoencoder.encoder, masks))
        return terms

    def weights(self, time: TrainingTime) -> Mapping[str, float]:
        """1/2 for both supervised terms of the masks, and the ramped weight w r(t), for each network once."""
        ramped = self.weight * time.ramp
        shapes = {"shape_of_networks": 2 * ramped} if self.shape_grad else {}
        return {"seg_ce": 0.5, "seg_dice": 0.5, "consistency_seg": ramped, "consistency_sdm": ramped, **shapes}

    def consistency(self, mask: Tensor, found: Tensor) -> Tensor:
        """L_con of the masks ``[b o z y x]`` of the first network and of the distances."""
        edge = shape.boundary(mask, shape.pseudo_distance(found))
        return (found - mask).square().mean() + self.bd_sign * self.boundary_weight * edge

    def side(self, outputs: Outputs, labels: Tensor) -> Tensor:
        """The side heads' loss on the labelled rows; its Dice has no gradient, as in the code."""
        sides = [logits[: len(labels)] for logits in outputs.sides]
        return self.side_weight * (shape.side_dice(sides, labels) + shape.side_entropy(sides, labels))

    def code_distance(self, first: Tensor, second: Tensor) -> Tensor:
        """The shape term of the codes of both masks."""
        distance: Tensor = self.shape_weight * (first - second).float().square().mean()
        return distance

    def adversaries(self) -> Mapping[str, Adam]:
        """The autoencoder."""
        return {"autoencoder": Adam(self.autoencoder_lr, (self.autoencoder_beta1, self.autoencoder_beta2))}

    def adversary_losses(self, batch: Batch, time: TrainingTime) -> Terms:
        """Shape term and reconstruction of the masks that ``losses`` found in this step."""
        codes, found = zip(*(self.autoencoder(mask) for mask in self._masks), strict=True)
        seg, sdm = (shape.reconstruction(own.float(), mask) for own, mask in zip(found, self._masks, strict=True))
        return {"shape": self.code_distance(*codes), "reconstruction_seg": seg, "reconstruction_sdm": sdm}

    def adversary_rates(self, time: TrainingTime, scheduled: float) -> Mapping[str, float]:
        """The autoencoder's rate falls with the epochs of the code, which are one more than those here at most."""
        steps = -(-time.iterations // time.epochs)
        return {"autoencoder": shape.falling(time.epoch, time.iterations // steps + 1)}

    def predict(self, image: Tensor, networks: tuple[str, ...]) -> Tensor:
        """Class probabilities ``[b k z y x]`` of the first network."""
        return with_background(self.seg(image)).softmax(1)
