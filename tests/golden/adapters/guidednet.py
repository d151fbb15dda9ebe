"""GuidedNet."""

from typing import Any

import torch
from adapters.backbones import count, features_and_head, unet3d
from stage import Speaker, batch, cast, clock
from torch import Tensor

from semiseg.blocks import losses
from semiseg.blocks.class_counts import class_counts, prototypes
from semiseg.blocks.class_weights import knowledge_weights
from semiseg.method import Method, total
from semiseg.methods.guidednet import correct_counts
from semiseg.methods.parts import guidednet_similarity
from semiseg.params.config import Ramp

Inputs = dict[str, Any]
TRAIN = "train_guidedNet_flare.py:train"
TOOLS = "utils/tools.py"


def counts(i: Inputs, p: Inputs) -> Tensor:
    return class_counts(i["label"], p["num_classes"])


def present(i: Inputs, p: Inputs) -> Tensor:
    return (counts(i, p) > 0).float()


def centres(i: Inputs, p: Inputs, feature: str = "feat") -> Tensor:
    return prototypes(i[feature][: p["labeled_bs"]], i["label"], counts(i, p))


def maps(i: Inputs, p: Inputs, rows: slice) -> Tensor:
    features = i["feat"][rows]
    distances = guidednet_similarity.l1_distances(features.flatten(2).transpose(1, 2), centres(i, p))
    return guidednet_similarity.similarity(distances, features.shape[1]).unflatten(2, features.shape[2:])


def labelled_maps(i: Inputs, p: Inputs) -> Tensor:
    found = maps(i, p, slice(p["labeled_bs"]))
    return guidednet_similarity.mask_absent(found.flatten(2), present(i, p)).view_as(found)


def of_one(i: Inputs, p: Inputs) -> tuple[Tensor, ...]:
    """self, gt, rectify of one network."""
    networks, centre = [(i["feat"], i["logits"])], [centres(i, p)]
    return guidednet_similarity.similarity_losses(i["label"], present(i, p), networks, centre)


def consistency(i: Inputs, p: Inputs) -> Tensor:
    any_logits = torch.zeros(len(i["feat_a"]), p["num_classes"], *i["label"].shape[1:])
    networks = [(i["feat_a"], any_logits), (i["feat_b"], any_logits)]
    both = [centres(i, p, "feat_a"), centres(i, p, "feat_b")]
    return guidednet_similarity.similarity_losses(i["label"], present(i, p), networks, both)[3]


def method(i: Inputs, p: Inputs, **hyper: Any) -> Method:
    rules = {"rectify": "paper", **hyper}  # the cases have the gradient of the float32 form
    return cast("guidednet", "half_ce_dice_all", p["num_classes"], {}, i.get("init_counts"), **rules)


def class_weights(i: Inputs, p: Inputs) -> list[Tensor]:
    guided = method(i, p, momentum=p["momentum"])
    rows = p["labeled_bs"]
    return [guided._update_class_weights(i[f"logits_{name}"][:rows].argmax(1), i["label"]) for name in "ab"]  # type: ignore[operator]


def objective(i: Inputs, p: Inputs) -> Tensor:
    guided = method(i, p, momentum=p["momentum"], lambda_g=p["lambda_g"], weight=p["consistency"])
    guided.a = Speaker(i["logits_a"], features=i["feat_a"])
    guided.b = Speaker(i["logits_b"], features=i["feat_b"])
    progress = clock(p["iteration"], p["iteration"] + 1, Ramp(every=150, length=200))
    terms = guided.losses(batch(i["label"], len(i["logits_a"])), progress)
    return total(terms, guided.weights(progress))


def gradients(i: Inputs, p: Inputs) -> list[Tensor]:
    names = ("logits_a", "logits_b", "feat_a", "feat_b")
    leaves = [i[name].requires_grad_() for name in names]
    return list(torch.autograd.grad(objective(i, p), leaves))


def ramp_weights(i: Inputs, p: Inputs) -> list[float]:
    guided = method(i, {"num_classes": 2}, weight=p["consistency"])
    ramp, times = Ramp(every=p["every"], length=int(p["rampup"])), i["iterations"].tolist()
    return [guided.weights(clock(time, max(times) + 1, ramp))["cross"] for time in times]


def network(i: Inputs, p: Inputs) -> dict[str, Any]:
    pred, rep = features_and_head(p | {"input_shape": [1, p["in_channels"], 32, 32, 32]})
    return {"parameters": count(unet3d(p)), "pred": pred, "rep": rep}


def supervised(i: Inputs, p: Inputs) -> Tensor:
    return losses.half_ce_dice_all(i["logits"][: p["labeled_bs"]], i["label"])


def plain_cross(i: Inputs, p: Inputs) -> Tensor:
    return method(i, p, kt_weights=False)._cross(i["logits_a"], i["logits_b"], i["logits_a"][:0])  # type: ignore[operator]


def weighted_cross(i: Inputs, p: Inputs) -> Tensor:
    return method(i, p, momentum=p["momentum"])._cross(i["logits_a"], i["logits_b"], i["label"])  # type: ignore[operator]


ADAPTERS = {
    "utils/losses.py:DiceLoss.forward": lambda i, p: losses.dice_squared_all(i["prob"], i["label"]),
    f"{TRAIN}#sup_loss": supervised,
    f"{TOOLS}:build_cur_cls_label": present,
    f"{TOOLS}:cal_protypes": centres,
    f"{TOOLS}:cal_protypes/proto_loss": lambda i, p: guidednet_similarity.separation(centres(i, p), present(i, p)),
    f"{TOOLS}:GMM": labelled_maps,
    f"{TOOLS}:GMM_predict": lambda i, p: maps(i, p, slice(p["labeled_bs"], None)),
    f"{TOOLS}:cal_gmm_loss (loss1)": lambda i, p: of_one(i, p)[0][0],
    f"{TOOLS}:cal_gmm_loss (loss2)": lambda i, p: of_one(i, p)[1][0],
    f"{TOOLS}:cal_gmm_loss": lambda i, p: of_one(i, p)[0][0] + of_one(i, p)[1][0],
    f"{TOOLS}:gmm_loss (half casts removed)": lambda i, p: of_one(i, p)[2][0],
    f"{TOOLS}:gmm_loss": lambda i, p: of_one(i, p)[2][0],
    f"{TRAIN}#loss_cons": consistency,
    "train_guidedNet_flare.py:get_current_consistency_weight": ramp_weights,
    "train_guidedNet_flare.py:KTCPS._cal_weights": lambda i, p: knowledge_weights(i["counts"]),
    "train_guidedNet_flare.py:KTCPS.get_ema_weights#kt_ema_step": class_weights,
    "train_guidedNet_flare.py:KTCPS.get_ema_weights#kt_counts": lambda i, p: correct_counts(
        i["logits"][: p["labeled_bs"]].argmax(1), i["label"], p["num_classes"]
    ),
    f"{TRAIN}#loss_kt_cps": weighted_cross,
    f"{TRAIN} (weight=None)": plain_cross,
    f"{TRAIN}#total_loss": objective,
    f"{TRAIN}#total_loss_grads": gradients,
    "networks/unet_3D_gmm.py:unet_gmm": network,
}
