"""Cross Pseudo Supervision."""

from typing import Any

from adapters.backbones import count, shape
from stage import Speaker, at, batch, cast, clock
from torch import Tensor

from semiseg.blocks.consistency import cross_supervision
from semiseg.blocks.losses import ce_dice_organs, dice_linear_per_organ, one_hot
from semiseg.blocks.ramps import poly
from semiseg.method import total
from semiseg.network import build
from semiseg.params.config import Ramp

Inputs = dict[str, Any]


def step(i: Inputs, supervised: str, weight: float, rows: str = "all") -> dict[str, Tensor]:
    a, b, label = i["logits_A"], i["logits_B"], i["label"].squeeze(1)
    speakers = {"a": Speaker(a), "b": Speaker(b)}
    method = cast("cps", supervised, a.shape[1], speakers, weight=weight, cross_rows=rows)
    terms = method.losses(batch(label, len(a)), at(0))
    return {
        "sup": terms["supervised_a"] + terms["supervised_b"],
        "sup_A": terms["supervised_a"],
        "sup_B": terms["supervised_b"],
        "cps": terms["cross"],
        "total": total(terms, method.weights(at(0))),
    }


def weights(times: Tensor, weight: float, ramp: Ramp, by: str) -> list[float]:
    method = cast("cps", "ce_dice_organs", 2, {}, weight=weight)
    length = int(times.max()) + 1
    return [method.weights(clock(time, length, ramp, by))["cross"] for time in times.tolist()]


def dice_per_class(i: Inputs, p: Inputs) -> Tensor:
    rows = p["labelled_rows"]
    return dice_linear_per_organ(i["logits"][:rows].softmax(1), i["label"].squeeze(1), p["smooth"])


def vnet_shapes(i: Inputs, p: Inputs) -> dict[str, Any]:
    network = build("vnet", 1, p["classes"], "kaiming", filters=32).eval()
    return {"out": shape(network(i["image"])), "features": shape(network.encode(i["image"]))}


ADAPTERS = {
    "code/utils/loss.py:DC_and_CE_loss.forward": lambda i, p: ce_dice_organs(
        i["logits"][: p["labelled_rows"]], i["label"].squeeze(1)
    ),
    "code/utils/loss.py:SoftDiceLoss.forward": dice_per_class,
    "code/train_cps.py:training loop#cps_term": lambda i, p: cross_supervision(i["logits_A"], i["logits_B"]),
    "code/train_cps.py:training loop#total_step_loss": lambda i, p: step(i, "ce_dice_organs", p["cps_w"]),
    "code/utils/loss.py:SoftDiceLoss.forward (as used for validation)": lambda i, p: dice_linear_per_organ(
        one_hot(i["pred"], p["classes"]), i["gt"], p["smooth"]
    ),
    "code/train_cps.py:sigmoid_rampup": lambda i, p: weights(
        i["epochs"], p["w"], Ramp(per="epoch", length=p["rampup_length"]), "epoch"
    ),
    "code/utils/__init__.py:poly_lr": lambda i, p: [
        poly(p["base_lr"], epoch, p["max_epoch"], p["exponent"]) for epoch in i["epochs"].tolist()
    ],
    "HiLab-git/SSL4MIS:code/train_cross_pseudo_supervision_3D.py:training loop + utils/losses.py:DiceLoss": (
        lambda i, p: step(i, "half_ce_dice_all", p["consistency_weight"], "unlabelled")
    ),
    "kimjisoo12/GuidedNet:train_guidedNet_flare.py:train with unweighted RobustCrossEntropyLoss": lambda i, p: step(
        i, "half_ce_dice_all", p["consistency_weight"]
    ),
    "kimjisoo12/GuidedNet:train_guidedNet_flare.py:get_current_consistency_weight": lambda i, p: weights(
        i["iterations"], p["consistency"], Ramp(every=p["divide"], length=p["rampup"]), "iteration"
    ),
    "code/models/vnet.py:VNet#vnet_params": lambda i, p: [
        count(build("vnet", 1, classes, "kaiming", filters=p["n_filters"])) for classes in p["classes"]
    ],
    "code/models/vnet.py:VNet#vnet_shapes": vnet_shapes,
    "kimjisoo12/GuidedNet:networks/unet_3D.py:unet_3D": lambda i, p: [
        count(build("unet3d", p["in_channels"], classes, "kaiming", filters=64 // p["feature_scale"]))
        for classes in p["classes"]
    ],
}
