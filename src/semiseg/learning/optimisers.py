"""The optimisers of a run, as the protocol and the method describe them."""

from collections.abc import Sequence

import torch
from torch import nn

from semiseg.method import SGD, Adam
from semiseg.params.config import Optimiser


def of_networks(rule: Optimiser, weights: Sequence[nn.Parameter], fused: bool) -> torch.optim.Optimizer:
    """The protocol's optimiser for these weights. fused: one kernel updates all of them."""
    if rule.rule == "sgd":
        return _sgd(SGD(rule.lr, rule.momentum, rule.weight_decay, rule.nesterov), weights, fused)
    kind = torch.optim.AdamW if rule.rule == "adamw" else torch.optim.Adam
    betas = (rule.momentum, rule.beta2)
    return kind(weights, rule.lr, betas, rule.eps, rule.weight_decay, fused=fused or None)


def of_adversary(rule: Adam | SGD, weights: Sequence[nn.Parameter], fused: bool) -> torch.optim.Optimizer:
    """The optimiser that a method gives an adversary with these weights."""
    if isinstance(rule, SGD):
        return _sgd(rule, weights, fused)
    return torch.optim.Adam(weights, rule.lr, rule.betas, rule.eps, fused=fused or None)


def _sgd(rule: SGD, weights: Sequence[nn.Parameter], fused: bool) -> torch.optim.Optimizer:
    decay, nesterov = rule.weight_decay, rule.nesterov
    optimiser = torch.optim.SGD(weights, rule.lr, rule.momentum, 0.0, decay, nesterov, fused=fused or None)
    if fused and rule.momentum:
        # torch's fused kernel fails where some weights get their first gradient later than others.
        optimiser.state.update({each: {"momentum_buffer": torch.zeros_like(each)} for each in weights})
    return optimiser
