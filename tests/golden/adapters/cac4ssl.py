"""Contour-aware consistency."""

from typing import Any

import torch
from adapters.backbones import count, shape
from stage import at, batch, cast
from support.facts import facts
from torch import Tensor

from semiseg.learning.build import build_method
from semiseg.method import Terms
from semiseg.methods.parts.cac4ssl_contrast import anchors, contrast
from semiseg.methods.parts.cac4ssl_network import Outputs, contour
from semiseg.params.config import Network

Inputs = dict[str, Any]
LOOP = "code/train_3d.py:training loop"


def terms(i: Inputs, known: int) -> Terms:
    """The terms of a method whose decoders give the logits of a case."""
    first, second = i["logits_decoder1"], i["logits_decoder2"]
    ours: Any = cast("cac4ssl", "half_ce_dice_fg", first[0].shape[1], {}, filters=1)
    silence = torch.zeros(len(first[0]), 1, *first[0].shape[2:])
    ours.outputs = lambda images: (Outputs(tuple(first), silence), Outputs(tuple(second), silence))
    found: Terms = ours.losses(batch(i["label"][:known], len(first[0])), at(0))
    return found


def agreement(i: Inputs, p: Inputs) -> list[Tensor]:
    pairs = zip(i["logits_decoder1"], i["logits_decoder2"], strict=True)
    return [(first.argmax(1) == second.argmax(1)).sum() for first, second in pairs]


def contrasts(i: Inputs, p: Inputs) -> dict[str, Tensor]:
    """The contrast of each decoder; the first voxels in C order are the anchors."""
    first, second, disagree = i["proj1"], i["proj2"].requires_grad_(), i["agreement_mask"] == 0
    order = torch.arange(disagree[0].numel(), dtype=torch.float64).expand(len(disagree), -1).view(disagree.shape)
    chosen = anchors(disagree, order, p["sample_num"])
    losses = [contrast(*pair, *chosen, p["temperature"]) for pair in ((first, second), (second, first))]
    (gradient,) = torch.autograd.grad(losses[0], second, retain_graph=True)
    return {"decoder1": losses[0], "decoder2": losses[1], "grad_of_first_wrt_proj2": gradient}


def sizes(i: Inputs, p: Inputs) -> dict[str, Any]:
    hyper = {"dimension": p["emb_num"]}
    ours: Any = build_method("cac4ssl", hyper, Network(name="vnet", filters=16), None, facts([1.0, 1.0]))
    with torch.no_grad():
        first, second = ours.eval().outputs(torch.zeros(p["input"]))
    shapes = [*shape(first.logits), *shape(second.logits), shape(first.vectors), shape(second.vectors)]
    return {"parameters": count(ours), "shapes": shapes}


ADAPTERS = {
    f"{LOOP} (loss_seg_dice)": lambda i, p: terms(i, p["labelled"])["supervised"],
    f"{LOOP} (loss_consist)": lambda i, p: terms(i, 1)["consistency"],  # the term sees no label
    f"{LOOP} (y_mask)": agreement,
    "code/utils/contrast_loss.py:Contrast.forward": contrasts,
    "code/networks/VNet_mso.py:contour_attention_func": lambda i, p: contour(i["logits"]),
    "code/networks/VNet_mso.py:CACNet3d": sizes,
}
