"""Dual-task consistency."""

from typing import Any

import torch
from adapters.dan import moment
from adapters.sassnet import two_heads
from stage import Speaker, at, batch
from torch import Tensor

from semiseg.method import Method, total
from semiseg.methods.dtc import mask_of
from semiseg.network import build
from semiseg.networks.heads.distance import DistanceHead

Inputs = dict[str, Any]
LOOP = "code/train_la_dtc.py:training loop"


def method(i: Inputs, **hyper: Any) -> Method:
    return two_heads("dtc", i["logits"], head(i["pre_tanh"]), **hyper)


def head(before_tanh: Tensor) -> DistanceHead:
    """The method's own distance head on a convolution that says the given maps."""
    made = DistanceHead(build("vnet", 1, 1, "default", filters=1), 1)
    made.convolution = Speaker(before_tanh)
    return made


def consistency(i: Inputs) -> Tensor:
    labels = torch.zeros(1, *i["logits"].shape[2:], dtype=torch.int64)  # the term sees no label
    return method(i).losses(batch(labels, len(i["logits"])), at(0))["consistency"]


def gradient(i: Inputs, name: str) -> Tensor:
    leaves = {key: value.clone().requires_grad_() for key, value in i.items()}
    return torch.autograd.grad(consistency(leaves), leaves[name])[0]


def supervised(i: Inputs, p: Inputs) -> Tensor:
    found = method(i, beta=p["beta"])
    terms, _, _ = found.supervised_terms(batch(i["labels"][: p["labeled_bs"]], len(i["logits"])))
    return total(terms, found.weights(at(0)))


def objective(i: Inputs, p: Inputs) -> Tensor:
    found = method(i, beta=p["beta"], weight=p["consistency"])
    labels = i["labels"][: p["labeled_bs"]]
    return total(found.losses(batch(labels, len(i["logits"])), moment(p)), found.weights(moment(p)))


ADAPTERS = {
    f"{LOOP}#dis_to_mask": lambda i, p: mask_of(head(i["pre_tanh"])(None), p["k"]),
    f"{LOOP}#consistency": lambda i, p: consistency(i),
    f"{LOOP}#consistency_grad_logits": lambda i, p: gradient(i, "logits"),
    f"{LOOP}#consistency_grad_pretanh": lambda i, p: gradient(i, "pre_tanh"),
    f"{LOOP}#supervised": supervised,
    f"{LOOP}#total": objective,
}
