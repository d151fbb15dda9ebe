"""AutoSAM."""

from typing import Any

import numpy as np
import torch
from adapters.backbones import Inputs, count, shape

from semiseg.method import total
from semiseg.methods.autosam import min_max, terms
from semiseg.methods.parts.autosam_prompt import HarDNetSizes, PromptNetwork
from semiseg.networks.sam import PUBLISHED, Sam
from semiseg.scoring.measurements import organ_scores
from semiseg.scoring.scoring_rules import DICE, JACCARD, get_rule

WIDTHS = {"vit_b": 768, "vit_l": 1024, "vit_h": 1280}


def loss(i: Inputs, p: Inputs) -> dict[str, Any]:
    found = terms(min_max(i["logits"]), i["gt"], p["smooth"])
    return {**found, "total": total(found, {})}


def dice_and_iou(i: Inputs, p: Inputs) -> list[float]:
    """Of one image, by the rule of the LA tables, in which they are percentages."""
    found = (min_max(i["logits"])[p["image"]] > p["threshold"]).numpy().astype(np.uint8)
    (organ,) = organ_scores(i["gt"][p["image"]].numpy(), found, [1], np.eye(3))
    row = {name: np.array([value]) for name, value in organ.columns().items()}
    return (get_rule("la").values(row)[0, [DICE, JACCARD]] / 100).tolist()


def sizes(i: Inputs, p: Inputs) -> dict[str, Any]:
    """Parameters of the networks, without content."""
    published = PUBLISHED[WIDTHS["vit_h"]]
    with torch.device("meta"):
        prompt = PromptNetwork(HarDNetSizes(), published.decoder.embedding, published.tokens)
        sams = {name: count(Sam(3, 2, width)) for name, width in WIDTHS.items()}
        return {"prompt_network": count(prompt), "prompt_shape": shape(prompt(torch.empty(p["input"]))), **sams}


ADAPTERS = {
    "train.py:norm_batch": lambda i, p: min_max(i["logits"]),
    "train.py:gen_step (criterion + Dice_loss)": loss,
    "train.py:get_dice_ji": dice_and_iou,
    "models/model_single.py:ModelEmb; segment_anything/build_sam.py": sizes,
}
