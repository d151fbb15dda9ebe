"""Debiased Self-Training."""

from typing import Any

import torch
from stage import Speaker, at, batch, cast, co_training
from torch import Tensor, nn

from semiseg.blocks.gradient_reversal import warm_coefficient
from semiseg.blocks.losses import cross_entropy
from semiseg.method import Method
from semiseg.methods.dst import certain, shifted_log, unlike

Inputs = dict[str, Any]
CODE = "code/train_dst.py"
NETWORK = "code/models/vnet_dst.py"


def method(classes: int, filters: int = 1, **hyper: Any) -> Method:
    return cast("dst", "ce_dice_organs", classes, {}, filters=filters, **hyper)


def speaking(i: Inputs, **hyper: Any) -> Any:
    """The method whose decoders give the logits of a case."""
    ours: Any = method(i["main_A"].shape[1], **hyper)
    for network in ("a", "b"):
        main, pseudo, worst = (i[f"{head}_{network.upper()}"] for head in ("main", "pseudo", "worst"))
        setattr(ours, network, Speaker(main))
        setattr(ours, f"pseudo_{network}", Speaker(pseudo))
        setattr(ours, f"worst_{network}", Speaker(worst))
    return ours


def worst_case(i: Inputs, p: Inputs) -> dict[str, Tensor]:
    rows, worst = p["labelled_rows"], i["worst"]
    heads = {f"{head}_{network}": i[head] for network in "AB" for head in ("main", "worst")}
    ours = speaking({**heads, "pseudo_A": worst, "pseudo_B": worst}, eta_prime=float(p["eta_prime"]))
    labels = i["main"].argmax(1)
    return {
        "total": ours.worst_case(ours.view("a", worst, rows, at(0))),
        "labelled": cross_entropy(worst[:rows], labels[:rows]),
        "unlabelled": unlike(worst[rows:], labels[rows:]),
    }


def step(i: Inputs, p: Inputs) -> dict[str, Tensor]:
    ours = speaking(i, weight=p["cps_w"], threshold=p["threshold"])
    labels = i["label"].squeeze(1)[: p["labelled_rows"]]
    terms = ours.losses(batch(labels, len(i["main_A"])), at(0))
    kept = {f"kept_{name}": certain(i[f"pseudo_{name}"], p["threshold"]).sum() for name in "AB"}
    return {**co_training(ours, terms), **kept, "worst": terms["worst_a"] + terms["worst_b"]}


def sizes(i: Inputs, p: Inputs) -> dict[str, Any]:
    with torch.device("meta"):  # shapes without numbers
        found = [method(classes, filters=32) for classes in p["classes"]]
    whole = [[ours.get_submodule(part) for part in ("a", "pseudo_a", "worst_a")] for ours in found]
    return {"total": [sum(map(numbers, parts)) for parts in whole], "one_decoder_k14": numbers(whole[0][1])}


def numbers(module: nn.Module) -> int:
    """Parameters of a module, trained or not."""
    return sum(each.numel() for each in module.parameters())


def untrained(i: Inputs, p: Inputs) -> dict[str, int]:
    ours = method(p["classes"], p["n_filters"])
    terms = ours.losses(batch(torch.zeros(2, 16, 16, 16, dtype=torch.long), 4), at(0))
    (terms["cross_a"] + terms["cross_b"]).backward()
    tensors = list(ours.get_submodule("pseudo_a").parameters())
    return {"tensors": len(tensors), "without_gradient": sum(each.grad is None for each in tensors)}


ADAPTERS = {
    f"{CODE}:shift_log": lambda i, p: shifted_log(i["x"], p["offset"]),
    f"{CODE}:WorstCaseEstimationLoss.forward": worst_case,
    f"{NETWORK}:WarmStartGradientReverseLayer": lambda i, p: [
        warm_coefficient(step, p["max_iters"], p["hi"], p["lo"], p["alpha"]) for step in i["steps"].tolist()
    ],
    f"{CODE}:training loop#total_step_loss": step,
    f"{NETWORK}:VNet_Decoupled": sizes,
    f"{CODE}:training loop#pseudo_decoder_untrained": untrained,
}
