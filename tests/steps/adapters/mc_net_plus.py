"""MC-Net+ and MC-Net (ycwu1997/MC-Net)."""

from typing import Any

from steps.decoders import counted_before
from steps.la_line import labelled_first
from steps.stage import Case, Given, Run, backbone, make, of_checkpoint

UNIT = 150  # iterations in which the ramp of the script rises by one step
TERMS = {"dice": "supervised", "consistency": "consistency"}


def run(case: Case) -> dict[str, Any]:
    given, setting = Given(case), case["setting"]
    start, decoders = given.start["network"], setting["decoders"]
    method = make(
        "mc_net_plus",
        len(start["decoder1.out_conv.bias"]),
        backbone("vnet", len(start["encoder.block_one.conv.0.bias"])),
        "half_ce_dice_fg",
        third={2: "none", 3: "nearest"}[decoders],
        weight=setting["consistency"],
        supervised_weight=setting["lamda"],
        temperature=setting["T"],
    )
    ramp = {"rampup": setting["consistency_rampup"], "iterations_per_ramp_unit": UNIT}
    rules = counted_before({**setting, **ramp, "iterations": setting["max_iterations"]}, "lr")
    stage = Run(method, rules, setting, {"network": of_checkpoint(method)})
    stage.load(given.start)
    losses, weights = [], []
    for batch in labelled_first(given):
        losses = stage.steps([batch], [{}], TERMS)
        weights.append(stage.weight("consistency"))
    return stage.result(losses, case, {"consistency_weights": weights})
