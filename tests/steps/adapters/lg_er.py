"""LG-ER-MT (fengweie/LG-ER-MT)."""

from typing import Any
from unittest import mock

from steps.decoders import first_rows
from steps.stage import Case, Given, Run, backbone, make, of_network, training

from semiseg.methods.parts import lg_er_structure

HYPER = {
    "weight": "consistency_weight",
    "local_weight": "local_weight",
    "global_weight": "global_weight",
    "entropy_weight": "entropy_weight",
    "block": "block",
    "ema_decay": "ema_decay",
}
TERMS = {name: name for name in ("cross_entropy", "dice", "consistency", "local", "global", "entropy")}
FALL = {"rule": "step", "every": 2500, "factor": 0.1}  # of the rate


def run(case: Case) -> dict[str, Any]:
    given, setting = Given(case), case["setting"]
    method = make(
        "lg_er",
        setting["classes"],
        backbone("vnet", setting["filters"]),
        "half_ce_dice_fg",
        patch=tuple(setting["crop"]),
        **{ours: setting[theirs] for ours, theirs in HYPER.items()},
    )
    ramp = {"every": setting["iterations_per_ramp_unit"], "length": setting["rampup"]}
    rules = training({**setting, "iterations": setting["max_iterations"]}, ramp, FALL, "lr")
    stage = Run(method, rules, setting, {role: of_network(method, role) for role in given.start})
    stage.load(given.start)
    losses, rates = [], []
    places = zip(*(given.draws[f"blocks_{axis}"] for axis in "xyz"), strict=True)
    for batch, noise, axes in zip(
        first_rows(given, setting["labelled_batch"]), given.draws["noise"], places, strict=True
    ):
        with mock.patch.object(lg_er_structure, "chosen", side_effect=[each.tolist() for each in axes]):
            losses += stage.steps([batch], [{"torch.randn_like": [noise]}], TERMS)[-1:]
        rates.append(stage.rate)
    return stage.result(losses, case, {"learning_rates": rates})
