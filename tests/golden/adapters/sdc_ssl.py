"""Shape-guided dual consistency."""

from typing import Any

import torch
import torch.nn.functional as F
from adapters.backbones import shape
from stage import batch, cast, clock
from support.facts import facts
from torch import Tensor, nn

from semiseg.blocks.distance import signed_distance
from semiseg.learning.build import build_method
from semiseg.method import TrainingTime, total
from semiseg.methods.parts import sdc_ssl_shape
from semiseg.methods.parts.sdc_ssl_networks import Outputs
from semiseg.params.config import Network, Ramp

Inputs = dict[str, Any]
LOOP = "code/train_LA.py:training loop"
BINARY = 2
OF_SEG = ("seg_ce", "seg_dice", "consistency_seg", "side_seg")
OF_SDM = ("sdm_dice", "consistency_sdm", "side_sdm")


def speaking(i: Inputs) -> Any:
    """The method whose networks give the outputs of a case."""
    ours: Any = cast("sdc_ssl", "half_ce_dice_fg", BINARY, {}, filters=1)
    unused = torch.zeros_like(i["sdm"])
    seg, sdm = Outputs(i["seg_logits"], unused, i["dsv_seg"]), Outputs(unused, i["sdm"], i["dsv_sdm"])
    ours.outputs = lambda images: (seg, sdm)
    return ours


def moment(step: int) -> TrainingTime:
    return clock(step, step + 1, Ramp(every=150, length=40))


def leaves(value: Any) -> Any:
    return [leaves(each) for each in value] if isinstance(value, list) else value.requires_grad_()


def step(i: Inputs, p: Inputs) -> dict[str, Any]:
    i = {name: leaves(value) if name != "label" else value for name, value in i.items()}
    known, ours, time = p["labeled_bs"], speaking(i), moment(p["iter_num"])
    terms, weights = ours.losses(batch(i["label"][:known], len(i["sdm"])), time), ours.weights(time)
    seg, sdm = ({name: terms[name] for name in names} for names in (OF_SEG, OF_SDM))
    total(terms, weights).backward()
    found = sdc_ssl_shape.mask_of(i["sdm"].detach())
    pseudo = sdc_ssl_shape.pseudo_distance(found)
    distances = signed_distance(i["label"], BINARY)  # those of all rows, for a term that no loss uses
    sides = {
        f"loss_dsv_{name}_{kind}": function([each[:known] for each in i[f"dsv_{name}"]], i["label"][:known])
        for name in ("seg", "sdm")
        for kind, function in (("dice", sdc_ssl_shape.side_dice), ("ce", sdc_ssl_shape.side_entropy))
    }
    return {
        "loss_ce": terms["seg_ce"],
        "loss_dice": terms["seg_dice"],
        "loss_seg": total({name: terms[name] for name in ("seg_ce", "seg_dice")}, weights),
        "loss_sdm_dice": terms["sdm_dice"],
        "bd_loss": sdc_ssl_shape.boundary(i["seg_logits"].detach().sigmoid(), pseudo),
        "consistency_loss": terms["consistency_seg"],
        "consistency_weight": weights["consistency_seg"],
        **sides,
        "loss_dsv_sdm": terms["side_sdm"],
        "loss_dsv_seg": terms["side_seg"],
        "loss_sdm_l1_not_used": F.l1_loss(i["sdm"], distances),
        "pseudo_sdm_abs_sum": pseudo.abs().sum(),
        "pseudo_foreground": (found >= 1).sum(),
        "model_seg_loss_without_shape": total(seg, weights),
        "model_sdm_loss_without_shape": total(sdm, weights),
        "grad_seg_logits_l2": i["seg_logits"].grad.norm(),
        "grad_seg_unlabeled_l2": i["seg_logits"].grad[known:].norm(),
        "grad_sdm_l2": i["sdm"].grad.norm(),
        "grad_dsv_seg_l2": [each.grad.norm() for each in i["dsv_seg"]],
    }


def mask(i: Inputs, p: Inputs) -> dict[str, Tensor]:
    found = sdc_ssl_shape.mask_of(i["sdm"])
    return {"mask": found, "foreground": (found >= 1).sum()}


def reconstruction(i: Inputs, p: Inputs) -> dict[str, Tensor]:
    return {
        "loss": sdc_ssl_shape.reconstruction(i["x"], i["y"]),
        "perfect": sdc_ssl_shape.reconstruction(i["x"], i["x"]),
    }


def numbers(*modules: nn.Module) -> int:
    """Parameters of modules, trained or not."""
    return sum(each.numel() for module in modules for each in module.parameters())


def sizes(i: Inputs, p: Inputs) -> dict[str, Any]:
    with torch.device("meta"):  # shapes without numbers
        ours: Any = build_method("sdc_ssl", {}, Network(name="vnet", filters=16), None, facts([1.0, 1.0]))
        seg, sdm = ours.outputs(torch.zeros(1, 1, 112, 112, 80))
        codes, found = ours.autoencoder(torch.zeros(1, 1, 16, 16, 8))
    return {
        "vnet": numbers(ours.seg, ours.seg_heads),
        "deep_supervision_heads": numbers(ours.seg_heads.sides),
        "autoencoder": numbers(ours.autoencoder),
        "sdm": shape(sdm.distances),
        "seg": shape(seg.logits),
        "dsv": shape(seg.sides),
        "code_for_16x16x8": shape(codes),
        "reconstruction": shape(found),
    }


ADAPTERS = {
    LOOP: step,
    "code/utils/util.py:compute_sdf (same text as code/utils/losses2.py:compute_sdf)": lambda i, p: signed_distance(
        (i["argmax"] == 1).long(), BINARY
    )[:, 0],
    f"{LOOP} + compute_sdf": mask,
    "code/networks/autoencoder.py:SoftDiceLoss": reconstruction,
    "code/networks/autoencoder.py:LambdaLR.step": lambda i, p: [
        sdc_ssl_shape.falling(epoch, p["max_epoch"]) for epoch in p["epochs"]
    ],
    "code/train_LA.py:get_current_consistency_weight": lambda i, p: [
        cast("sdc_ssl", "half_ce_dice_fg", BINARY, {}, filters=1).weights(moment(step))["consistency_seg"]
        for step in p["iters"]
    ],
    "code/networks/vnet_sdf_dkt.py:VNet + code/networks/autoencoder.py:Autoencoder": sizes,
}
