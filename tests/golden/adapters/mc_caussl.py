"""MC-CauSSL."""

from typing import Any

import torch
from adapters.backbones import count, shape
from stage import Speaker, batch, cast, clock
from torch import nn

from semiseg.blocks.mutual_consistency import distances, sharpened
from semiseg.method import total
from semiseg.methods.parts.mc_caussl_independence import dependences
from semiseg.params.config import Ramp

Inputs = dict[str, Any]
LOOP = "train_CT_MCCauSSL.py"
BINARY, FIRST = 2, 3
BRANCHES = ("main", "trilinear", "nearest")


def method(filters: int = 1, **hyper: Any) -> Any:
    return cast("mc_caussl", "half_ce_dice_fg", BINARY, {}, filters=filters, **hyper)


def task_loss(i: Inputs, p: Inputs) -> dict[str, Any]:
    logits, rows = [each.requires_grad_() for each in i["logits"]], p["labeled_bs"]
    ours = method(temperature=p["T"], start_after=p["iter_num"] + 1, independence_weight=0.0)
    ours.network.encode = lambda images: [images]
    ours.network.decode = lambda maps: (None,)
    ours.network.head = Speaker(logits[0])
    ours.branches = nn.ModuleList(Speaker(each) for each in logits[1:])
    time = clock(p["iter_num"], p["iter_num"] + 1, Ramp(every=150, length=40))
    terms = ours.losses(batch(i["label"][:rows], len(logits[0])), time)
    loss = total(terms, ours.weights(time))
    loss.backward()
    probabilities = [each.detach()[rows:].softmax(1) for each in logits]
    return {
        "loss": loss,
        "supervised": [terms[f"supervised_{number}"] for number in (1, 2, 3)],
        "consistency": distances(probabilities, [sharpened(each, p["T"]) for each in probabilities]),
        "consistency_weight": ours.weights(time)["consistency"],
        "grad_l2": [each.grad.norm() for each in logits],
        "grad_unlabeled_l2": [each.grad[rows:].norm() for each in logits],
    }


def norm(gradients: list[Any]) -> float:
    return float(sum(0.0 if each is None else each.square().sum() for each in gradients) ** 0.5)


def independence(i: Inputs, p: Inputs) -> dict[str, Any]:
    layers = [[each.requires_grad_() for each in i[name]] for name in BRANCHES]
    matrices = [[each.requires_grad_() for each in i[f"A{number}"]] for number in (1, 2, 3)]
    values, gradients = dependences(layers, matrices, method().learning), []
    for value, own in zip(values, matrices, strict=True):
        given = [own, *layers]
        found = torch.autograd.grad(value, [each for group in given for each in group], allow_unused=True)
        groups = [norm(list(found[start : start + len(own)])) for start in range(0, len(found), len(own))]
        gradients.append(dict(zip(("linear_l2", *(f"net_{name}" for name in BRANCHES)), groups, strict=True)))
    return {"values": values, "gradients": gradients}


def sizes(i: Inputs, p: Inputs) -> dict[str, Any]:
    ours = method(filters=16)
    unused = 2 * count(ours.network.encoder[-1])  # two copies of block five, which ours leaves out
    maps = ours.network.encode(torch.zeros(1, 1, 32, 32, 32))
    outputs = [ours.network.head(ours.network.decode(maps)[-1]), *(branch(maps) for branch in ours.branches)]
    return {
        "total": count(ours) + unused,
        "unused_block_five_copies": unused,
        "layers": len(ours.layers[0]),
        "layer_out_channels": [len(layer) for layer in ours.layers[0]],
        "linear_set": sum(matrix.numel() for matrix in ours.mixing.matrices[0]),
        "out_shapes": shape(outputs),
    }


def schedule(i: Inputs, p: Inputs) -> dict[str, Any]:
    ours = method()
    found = [iteration for iteration in range(p["max_iterations"]) if ours.is_max_step(iteration)]
    return {"first": found[:FIRST], "count": len(found), "total_inner_steps": len(found) * ours.inner_steps}


ADAPTERS = {
    f"{LOOP}:training loop#task_loss": task_loss,
    "utils/losses.py:l_correlation_cos_mean_mct1/2/3": independence,
    f"networks/vnet.py:VNet_mct + {LOOP}:main": sizes,
    f"{LOOP}:get_current_consistency_weight": lambda i, p: [
        method().weights(clock(steps, steps + 1, Ramp(every=150, length=40)))["consistency"] for steps in p["iters"]
    ],
    f"{LOOP}:training loop#max_step_schedule": schedule,
}
