"""Contrastive complementary labelling."""

from typing import Any

import torch
from torch import Tensor

from semiseg.blocks.losses import confident_labels, cross_entropy, masked_cross_entropy
from semiseg.methods.parts import ccl_contrast

Inputs = dict[str, Any]
LOOP = "models/ccl_fixmatch/ccl_fixmatch.py:CCL_FixMatch.train"


def step(i: Inputs, p: Inputs) -> dict[str, Any]:
    leaves = [i[name].requires_grad_() for name in ("feat_lb", "feat_weak", "feat_strong")]
    labels, weak = i["y_lb"], i["logits_weak"]
    pseudo, confident = confident_labels(weak, p["p_cutoff"])
    valid = torch.ones(len(labels) + 2 * len(weak), dtype=torch.bool)
    pairs = ccl_contrast.pairs(labels, pseudo, confident, ccl_contrast.complementary_labels(weak, p["k"]), valid)
    loss = ccl_contrast.contrast(torch.cat(leaves), pairs, valid, p["temperature"])
    return {
        "con_loss": loss,
        "sup_loss": cross_entropy(i["logits_lb"], labels),
        "unsup_loss": masked_cross_entropy(i["logits_strong"], pseudo, confident),
        "n_high": confident.sum(),
        "n_low": (~confident).sum(),
        "n_negative_entries": pairs.compared.sum().float(),
        "rows_with_positive": pairs.positive.any(1).sum(),
        "grad_l2": [gradient.norm() for gradient in torch.autograd.grad(loss, leaves)],
    }


def label_lists(i: Inputs, p: Inputs) -> list[list[int]]:
    found: Tensor = ccl_contrast.complementary_labels(i["logits_weak"], p["k"])
    return [row.nonzero().flatten().tolist() for row in found]


ADAPTERS = {f"{LOOP}#con_loss": step, f"{LOOP}#complementary_labels": label_lists}
