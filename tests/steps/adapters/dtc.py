"""DTC (HiLab-git/DTC)."""

from typing import Any

from steps.stage import Case, Given, Run, backbone, by_iteration, make, of_checkpoint

BINARY = 2


def run(case: Case) -> dict[str, Any]:
    given, setting = Given(case), case["setting"]
    method = make(
        "dtc",
        BINARY,
        backbone("vnet", setting["filters"]),
        "half_ce_dice_fg",
        weight=setting["consistency"],
        beta=setting["beta"],
        steepness=float(setting["steepness"]),
    )
    stage = Run(method, by_iteration(setting), setting, {"model": of_checkpoint(method)})
    stage.load(given.start)
    batches = given.batches()
    terms = {"dice": "supervised", "sdf": "distance", "consistency": "consistency"}
    losses = stage.steps(batches, [{}] * len(batches), terms)
    state = {
        "consistency_weight_of_last_step": stage.weight("consistency"),
        "learning_rate_of_last_step": stage.rate,
    }
    return stage.result(losses, case, state)
