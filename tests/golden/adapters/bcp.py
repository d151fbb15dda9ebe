"""Bidirectional copy-paste."""

from typing import Any
from unittest import mock

import torch
from adapters import ss_net
from adapters.backbones import count, shape
from stage import Holder, Speaker, at, batch, cast
from torch import Tensor

from semiseg.blocks import ema
from semiseg.blocks.sample_dice import dice_per_sample
from semiseg.method import total
from semiseg.methods.parts import bcp_mix
from semiseg.network import build

Inputs = dict[str, Any]
MIX = "code/utils/BCP_utils.py"


def mix(i: Inputs, p: Inputs) -> dict[str, Tensor]:
    logits, mask, labels = i["logits"].requires_grad_(), i["mask"].bool(), (i["image_label"], i["patch_label"])
    known, unknown = 1.0, p["u_weight"]
    loss = bcp_mix.mix_loss(logits, *labels, mask, (unknown, known) if p["unlab"] else (known, unknown))
    (gradient,) = torch.autograd.grad(loss, logits)
    outside, inside = (dice_per_sample(logits.softmax(1), *each) for each in zip(labels, (mask, ~mask), strict=True))
    return {"loss": loss, "dice_outside": outside, "dice_inside": inside, "grad_l2": gradient.norm()}


def pretrained(i: Inputs, p: Inputs) -> dict[str, Tensor]:
    logits, target = i["logits"], i["target"]
    ours = cast("bcp", "half_ce_dice_fg", logits.shape[1], {"student": Speaker(logits)}, pretrain_steps=1)
    terms = ours.losses(batch(torch.cat([target, target]), 2 * len(target)), at(0))
    return {"loss": total(terms, ours.weights(at(0))), "dice": terms["dice"]}


def mask(i: Inputs, p: Inputs) -> dict[str, Any]:
    with mock.patch("torch.randint", side_effect=[torch.tensor(each) for each in p["offsets"]]) as drawn:
        found = bcp_mix.region(p["shape"][2:], p["mask_ratio"])
    places = ((5, 17, 9), (78, 90, 61), (79, 90, 61), (4, 17, 9))
    return {
        "randint_bounds": [call.args[:2] for call in drawn.call_args_list],
        "mask_sum": found.sum(),
        "loss_mask_shape": shape(found.expand(p["shape"][0], -1, -1, -1)),
        "first_zero": (~found).nonzero()[0],
        "corner_values": [found[place].long() for place in places],
    }


def cleaned(i: Inputs, p: Inputs) -> dict[str, Any]:
    raw = (bcp_mix.confident(i["logits"], 0.5) == 1).long()
    la, pancreas = (bcp_mix.largest_components(raw, neighbours) for neighbours in (26, 18))
    voxels = {"raw_voxels": raw, "la_voxels": la, "pancreas_voxels": pancreas}
    return {**{name: each.flatten(1).sum(1) for name, each in voxels.items()}, "la_mask": la}


def sizes(i: Inputs, p: Inputs) -> dict[str, Any]:
    with torch.device("meta"):  # shapes without numbers
        la, pancreas = (build(name, 1, 2, "default", filters=16) for name in ("vnet", "vnet_magic"))
        outputs = la(torch.zeros(1, 1, 112, 112, 80)), pancreas(torch.zeros(1, 1, 32, 32, 32))
    return {
        "la_total": ss_net.parameters(2, filters=16),  # the class of that method, whose other heads are not used
        "la_used": count(la),
        "pancreas_total": count(pancreas),
        "la_out": shape(outputs[0]),
        "pancreas_out": [shape(outputs[1])],
    }


def averaged(i: Inputs, p: Inputs) -> Tensor:
    teacher, student = Holder(i["teacher"]), Holder(i["student"])
    ema.update(teacher, student, p["alpha"])
    return teacher.value


ADAPTERS = {
    f"{MIX}:mix_loss": mix,
    "code/LA_BCP_train.py:pre_train": pretrained,
    "code/utils/losses.py:mask_DiceLoss.forward": lambda i, p: dice_per_sample(
        i["logits"].softmax(1), i["target"], i["mask"]
    ),
    f"{MIX}:context_mask": mask,
    "code/LA_BCP_train.py:get_cut_mask + code/pancreas/pancreas_utils.py:get_cut_mask": cleaned,
    "code/LA_BCP_train.py:get_cut_mask": lambda i, p: bcp_mix.confident(i["logits"], 0.5).sum(),
    "code/networks/VNet.py:VNet + code/pancreas/Vnet.py:VNet": sizes,
    f"{MIX}:update_ema_variables": averaged,
}
