"""URPC (HiLab-git/SSL4MIS, xmed-lab/DHC)."""

from typing import Any

from steps.stage import Case, Given, Run, backbone, by_epoch, make, of_network, training, watched
from torch import Tensor

from semiseg.params.config import Training

FORMS = {"ssl4mis": "half_ce_dice_all", "dhc": "half_ce_dice_organs"}


def run(case: Case) -> dict[str, Any]:
    given, setting = Given(case), case["setting"]
    network, supervised = backbone("unet3d_ds", setting["filters"]), FORMS[setting["script"]]
    method = make("urpc", setting["classes"], network, supervised, weight=setting["w"])
    stage = Run(method, rules(setting), setting, {"network": of_network(method, "network")})
    stage.load(given.start)
    batches, seen = given.batches(), []
    with watched("semiseg.methods.urpc.divergences", seen.append):
        losses = stage.steps(batches, [{}] * len(batches), {"supervised": "supervised", "consistency": "consistency"})
    distances: list[Tensor] = seen[-1][1]
    state = {
        "learning_rate": stage.rate,
        "cross_weight": stage.weight("consistency"),
        **{f"distance_{number}": each.mean().item() for number, each in enumerate(distances, 1)},
    }
    return stage.result(losses, case, state)


def rules(setting: Case) -> Training:
    """The schedule of the script; the lag of one step that the first one has is the method's own."""
    if setting["script"] == "dhc":
        return by_epoch(setting, "lr")
    ramp = {"every": setting["ramp_every"], "length": setting["ramp_length"]}
    given = {**setting, "iterations": setting["max_iterations"]}
    return training(given, ramp, {"rule": "poly", "power": setting["poly_power"]}, "lr")
