"""BaCon."""

from typing import Any

import torch
from torch import Tensor

from semiseg.methods.parts import bacon_contrast

Inputs = dict[str, Any]
FILE = "semilearn/imb_algorithms/bacon/bacon.py:BaCon"


def temperatures(i: Inputs, p: Inputs) -> Tensor:
    return bacon_contrast.temperatures(i["class_freq"], p["iteration"], p["total_iterations"])


def contrast(i: Inputs, p: Inputs) -> dict[str, Tensor]:
    vectors, centres = i["feats"].requires_grad_(), i["centers"]
    valid = torch.ones(len(vectors), dtype=torch.bool)
    logits = (i["aux_logits_lb"], i["aux_logits_ulb"])
    samples = bacon_contrast.as_samples(vectors, i["y_lb"], *logits, p["select_cutoff"], valid)
    loss = bacon_contrast.contrast(samples, centres, torch.ones(len(centres), dtype=torch.bool), temperatures(i, p))
    return {"loss": loss, "grad_feats_l2": torch.autograd.grad(loss, vectors)[0].norm()}


def abc(i: Inputs, p: Inputs) -> dict[str, Tensor]:
    rarity = bacon_contrast.rarity(i["class_counts"])
    rule = bacon_contrast.SamplingRule(rarity, p["epoch"] / p["epochs"], p["p_cutoff"])
    weak, strong = i["aux_logits_ulb_weak"], i["aux_logits_ulb_strong"]
    uniform = (i["u_lb"], i["u_ulb"])
    loss = bacon_contrast.balanced_loss(i["aux_logits_lb"], i["y_lb"], weak, strong, rule, uniform)
    mask = bacon_contrast.sample(weak, rule, i["u_ulb"])[1]
    return {"loss": loss, "mask_ulb": mask.float()}


ADAPTERS = {
    f"{FILE}.contrastive_loss#contrastive": contrast,
    f"{FILE}.contrastive_loss#temperatures": temperatures,
    f"{FILE}.compute_abc_loss": abc,
}
