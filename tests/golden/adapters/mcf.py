"""MCF."""

from typing import Any

import torch
from adapters.backbones import count, shape
from adapters.mc_net_plus import Function, sliding
from stage import Speaker, batch, cast, clock
from torch import Tensor, nn

from semiseg.blocks.losses import dice_squared_fg
from semiseg.method import TrainingTime, total
from semiseg.methods.mcf import a_teaches, disagreement
from semiseg.network import build
from semiseg.networks.resnet34 import ResNet34
from semiseg.params.config import Ramp

Inputs = dict[str, Any]
LOOP = "code/train_MCF.py"
BINARY, FILTERS = 2, 16


def method(networks: dict[str, nn.Module], classes: int = BINARY, **hyper: Any) -> Any:
    return cast("mcf", "half_ce_dice_fg", classes, networks, filters=1, **hyper)


def before(steps: int, length: float) -> TrainingTime:
    """The clock of the script when ``steps`` steps are done."""
    return clock(steps, steps + 1, Ramp(every=150, length=int(length)))


def step(i: Inputs, p: Inputs) -> dict[str, Any]:
    logits = {"a": i["vnet_logits"].requires_grad_(), "b": i["resnet_logits"].requires_grad_()}
    rows, (v, r) = p["labeled_bs"], logits.values()
    speakers = {name: Speaker(each) for name, each in logits.items()}
    ours = method(speakers, v.shape[1], temperature=p["T"], weight=p["consistency"])
    time = before(p["iter_num"], p["rampup"])
    terms, weights = ours.losses(batch(i["label"][:rows], len(v)), time), ours.weights(time)
    student = "b" if a_teaches(terms["dice_a"], terms["dice_b"]) else "a"
    own = {name: {term: value for term, value in terms.items() if term.endswith(f"_{name}")} for name in logits}
    own[student]["consistency"] = terms["consistency"]
    total(terms, weights).backward()
    return {
        "v_loss": total(own["a"], weights),
        "r_loss": total(own["b"], weights),
        "v_loss_seg": terms["ce_a"],
        "r_loss_seg": terms["ce_b"],
        "v_loss_seg_dice": terms["dice_a"],
        "r_loss_seg_dice": terms["dice_b"],
        "v_mse": terms["rectification_a"],
        "r_mse": terms["rectification_b"],
        "Good_student": int(student == "a"),
        "consistency_weight": weights["consistency"],
        "xor_voxels": disagreement(v[:rows], r[:rows]).sum(),
        "consistency": terms["consistency"],
        "grad_v_l2": v.grad.norm(),
        "grad_r_l2": r.grad.norm(),
        "grad_v_unlabeled_l2": v.grad[rows:].norm(),
        "grad_r_unlabeled_l2": r.grad[rows:].norm(),
    }


def sizes(i: Inputs, p: Inputs) -> dict[str, Any]:
    vnet, resnet = (build(name, 1, BINARY, "kaiming", filters=FILTERS) for name in ("vnet", "resnet34"))
    assert isinstance(resnet, ResNet34)
    image = torch.zeros(p["input"])
    return {
        "vnet": count(vnet),
        "resnet34": count(resnet),
        "resnet34_encoder": count(resnet.encoder),
        "out_vnet": shape(vnet(image)),
        "out_resnet": shape(resnet(image)),
    }


def norms(i: Inputs, p: Inputs) -> dict[str, Any]:
    encoder = ResNet34(1, BINARY, FILTERS).encoder
    weights = [module.weight for module in encoder.modules() if isinstance(module, nn.BatchNorm3d)]
    values = torch.cat(weights)
    return {"min": values.min(), "max": values.max(), "count": len(weights)}


def fused(i: Inputs, p: Inputs) -> dict[str, Any]:
    a = Function(lambda image: image, lambda image: -image)
    b = Function(lambda image: 0.5 * image.square() - 0.3, torch.zeros_like)
    scores = sliding(method({"a": a, "b": b}), i, p, ("a", "b"))
    return {"foreground": scores.argmax(0).sum(), "score": scores}


def dice(i: Inputs, p: Inputs) -> Tensor:
    return dice_squared_fg(torch.stack([1 - i["score"], i["score"]], 1), i["target"])


ADAPTERS = {
    f"{LOOP}:training loop": step,
    "code/utils/losses.py:dice_loss": dice,
    f"{LOOP}:get_current_consistency_weight": lambda i, p: [
        method({}).weights(before(steps, 40))["consistency"] for steps in p["iters"]
    ],
    "code/networks/vnet.py:VNet + code/networks/ResNet34.py:Resnet34": sizes,
    "code/networks/ResNet34.py:Resnet34.__init__": norms,
    "code/test_util.py:test_single_case": fused,
}
