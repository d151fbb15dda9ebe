"""MLRPL (Jiawei0o0/mutual-learning-with-reliable-pseudo-labels)."""

from typing import Any

from steps.decoders import counted_before, half_batches, of_decoders
from steps.stage import Case, Given, Run, backbone, make

HEADS = {"decoder1": ("network.decoder", "network.head"), "decoder2": ("second", "second_head")}


def run(case: Case) -> dict[str, Any]:
    given, setting = Given(case), case["setting"]
    method = make(
        "mlrpl",
        setting["classes"],
        backbone("vnet", setting["filters"]),
        "half_ce_dice_fg",
        patch=tuple(setting["crop"]),
        weight=setting["consistency"],
        lamda=setting["lamda"],
        ce_on_probabilities=setting["ce_on_probabilities"],
    )
    stage = Run(method, counted_before(setting, "lr"), setting, {"model": of_decoders(method, HEADS)})
    stage.load(given.start)
    losses, weights = [], []
    for batch in half_batches(given):
        losses += stage.steps([batch], [{}], {"seg": "supervised", "consist": "mutual"})[-1:]
        weights.append(stage.weight("mutual"))
    return stage.result(losses, case, {"consistency_weights": weights})
