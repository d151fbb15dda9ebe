"""LG-ER-MT (fengweie/LG-ER-MT)."""

from typing import Any

import torch
from steps.stage import Case, Draws, Given, Run, backbone, in_one_tensor, learning_rates, make, of_network, training
from torch import Tensor

from semiseg.blocks.losses import cross_entropy, dice_squared_fg, half_ce_dice_fg

HYPER = {"block": "block", "ema_decay": "ema_decay"} | {
    f"{term}_weight": f"{term}_weight" for term in ("consistency", "local", "global", "entropy")
}


def run(case: Case) -> dict[str, Any]:
    given, setting = Given(case), case["setting"]
    parts: list[dict[str, float]] = []

    def supervised(logits: Tensor, labels: Tensor) -> Tensor:
        """The supervised loss of the protocol; the case gives its two parts."""
        dice = dice_squared_fg(logits.softmax(1), labels)
        parts.append({"cross_entropy": cross_entropy(logits, labels).item(), "dice": dice.item()})
        return half_ce_dice_fg(logits, labels)

    method = make(
        "lg_er",
        setting["classes"],
        backbone("vnet", setting["filters"]),
        supervised,
        patch=tuple(setting["crop"]),
        **{ours: setting[theirs] for ours, theirs in HYPER.items()},
    )
    ramp = {"every": setting["iterations_per_ramp_unit"], "length": int(setting["rampup"])}
    rules = training({**setting, "iterations": setting["max_iterations"]}, ramp, {"rule": "step"}, "lr")
    stage = Run(method, rules, setting, {role: of_network(method, role) for role in given.start})
    stage.load(given.start)
    terms = {name: name for name in ("consistency", "local", "global", "entropy")}
    losses = stage.steps(in_one_tensor(given), draws(given), terms)
    losses = [{**part, **loss} for part, loss in zip(parts, losses, strict=True)]
    return stage.result(losses, case, {"learning_rates": learning_rates(stage)})


def draws(given: Given) -> list[Draws]:
    """Noise and block indices of each step; an axis of n blocks takes a permutation that begins with the indices."""
    counts = [side // given.setting["block"] for side in given.setting["crop"]]
    axes = (given.draws[f"blocks_{axis}"] for axis in "xyz")
    return [
        {
            "torch.randn_like": [noise],
            "torch.randperm": [permutation(first, n) for first, n in zip(indices, counts, strict=True)],
        }
        for noise, *indices in zip(given.draws["noise"], *axes, strict=True)
    ]


def permutation(first: Tensor, count: int) -> Tensor:
    known = first.tolist()
    return torch.tensor(known + [index for index in range(count) if index not in known])
