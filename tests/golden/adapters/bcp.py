"""Bidirectional copy-paste."""

from typing import Any
from unittest import mock

import torch
from stage import at, batch, cast
from torch import Tensor, nn

from semiseg.blocks.components import largest_component
from semiseg.method import total
from semiseg.methods.parts import bcp_mixing
from semiseg.network import build

Inputs = dict[str, Any]
FORMS = {"la": 26, "pancreas": 18}  # neighbours of the two scripts


class Given(nn.Module):
    """A network that gives these logits, half by half."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = list(bcp_mixing.halves(logits)) if len(logits) > 1 else [logits, logits]

    def forward(self, image: Tensor) -> Tensor:
        return self.logits.pop(0)


def mix(i: Inputs, p: Inputs) -> dict[str, Tensor]:
    logits, weights = i["logits"].requires_grad_(), (1.0, p["u_weight"])
    outside, inside = weights[::-1] if p["unlab"] else weights
    mask = i["mask"].float().unsqueeze(1)
    loss = bcp_mixing.mix_loss(logits, i["image_label"], i["patch_label"], mask, outside, inside)
    loss.backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    return {
        "loss": loss,
        "dice_outside": bcp_mixing.region_dice(logits, i["image_label"], mask),
        "dice_inside": bcp_mixing.region_dice(logits, i["patch_label"], 1 - mask),
        "grad_l2": logits.grad.norm(),
    }


def pretraining(i: Inputs, p: Inputs) -> dict[str, Tensor]:
    """Both halves of the labelled rows have the target, so that the mix has it too."""
    target = i["target"].repeat(2, 1, 1, 1)
    method = cast("bcp_pretrain", "half_ce_dice_all", i["logits"].shape[1], {"student": Whole(i["logits"])})
    terms = method.losses(batch(target, len(target)), at(0))
    return {"loss": total(terms, method.weights(at(0))), "dice": terms["dice"]}


class Whole(nn.Module):
    """A network that gives these logits."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, image: Tensor) -> Tensor:
        return self.logits


def dice(i: Inputs, p: Inputs) -> Tensor:
    return bcp_mixing.region_dice(i["logits"], i["target"], i["mask"].float().unsqueeze(1))


def context_mask(i: Inputs, p: Inputs) -> dict[str, Any]:
    offsets, bounds = list(p["offsets"]), []

    def draw(low: int, high: int, shape: tuple[int, ...]) -> Tensor:
        bounds.append([low, high])
        return torch.tensor(offsets[len(bounds) - 1])

    crops, _, *sides = p["shape"]
    with mock.patch("torch.randint", draw):
        mask = bcp_mixing.cuboid_mask(sides, p["mask_ratio"], torch.device("cpu"))
    first = [int(places.min()) for places in torch.where(mask == 0)]
    after = [int(places.max()) + 1 for places in torch.where(mask == 0)]
    last = [end - 1 for end in after]
    corners = [mask[*first], mask[*last], mask[after[0], *last[1:]], mask[first[0] - 1, *first[1:]]]
    return {
        "randint_bounds": bounds,
        "mask_sum": int(mask.sum()),
        "loss_mask_shape": [crops, *mask.shape],
        "first_zero": first,
        "corner_values": [int(value) for value in corners],
    }


def pseudo_labels(i: Inputs, p: Inputs, neighbours: int = 26) -> tuple[Tensor, Tensor]:
    """The labels before and after the clean-up."""
    seen: list[Tensor] = []

    def kept(labels: Tensor, *rest: Any) -> Tensor:
        seen.append(labels)
        return largest_component(labels, *rest)

    method: Any = cast("bcp", "half_ce_dice_all", i["logits"].shape[1], {}, neighbours=neighbours)
    method.teacher = Given(i["logits"])
    with mock.patch("semiseg.methods.bcp.largest_component", kept):
        found = torch.cat(method.pseudo_labels(torch.zeros(len(i["logits"]), 1, 1, 1, 1)))
    return seen[0][: len(i["logits"])], found[: len(i["logits"])]


def both_scripts(i: Inputs, p: Inputs) -> dict[str, Any]:
    """Official networks give more channels than two; the code thresholds channel 1 of all."""
    raw, la = pseudo_labels(foreground(i), p, FORMS["la"])
    _, pancreas = pseudo_labels(foreground(i), p, FORMS["pancreas"])
    counts = {"raw": raw, "la": la, "pancreas": pancreas}
    return {f"{name}_voxels": mask.sum((1, 2, 3)).tolist() for name, mask in counts.items()} | {"la_mask": la}


def foreground(i: Inputs) -> Inputs:
    """Two channels with the given probability of channel 1."""
    share = i["logits"].softmax(1)[:, 1]
    return {"logits": torch.stack([(1 - share).log(), share.log()], 1)}


def tie(i: Inputs, p: Inputs) -> int:
    return int(pseudo_labels(i, p)[1].sum())


def networks(i: Inputs, p: Inputs) -> dict[str, Any]:
    """The official class for LA carries the heads of SS-Net as well, which it never uses."""
    with torch.device("meta"):
        la, pancreas = (build(name, 1, 2, "default", filters=16) for name in ("vnet", "vnet_magic"))
        heads = cast("ss_net", "half_ce_dice_all", 2, {}, filters=16)
        la_out, pancreas_out = la(torch.empty(1, 1, 112, 112, 80)), pancreas(torch.empty(1, 1, 32, 32, 32))
    la_used, total_of_ss_net, pancreas_total = (
        sum(each.numel() for each in module.parameters()) for module in (la, heads, pancreas)
    )
    return {
        "la_used": la_used,
        "la_total": total_of_ss_net,
        "pancreas_total": pancreas_total,
        "la_out": list(la_out.shape),
        "pancreas_out": [list(pancreas_out.shape)],
    }


def ema(i: Inputs, p: Inputs) -> Tensor:
    method: Any = cast("bcp", "half_ce_dice_all", 2, {}, ema_decay=p["alpha"])
    method.student, method.teacher = Value(i["student"]), Value(i["teacher"])
    method.after_step(at(0))
    return method.teacher.value.detach()


class Value(nn.Module):
    """A network that is one parameter."""

    def __init__(self, value: Tensor) -> None:
        super().__init__()
        self.value = nn.Parameter(value.clone())


ADAPTERS = {
    "code/utils/BCP_utils.py:mix_loss": mix,
    "code/LA_BCP_train.py:pre_train": pretraining,
    "code/utils/losses.py:mask_DiceLoss.forward": dice,
    "code/utils/BCP_utils.py:context_mask": context_mask,
    "code/LA_BCP_train.py:get_cut_mask + code/pancreas/pancreas_utils.py:get_cut_mask": both_scripts,
    "code/LA_BCP_train.py:get_cut_mask": tie,
    "code/networks/VNet.py:VNet + code/pancreas/Vnet.py:VNet": networks,
    "code/utils/BCP_utils.py:update_ema_variables": ema,
}
