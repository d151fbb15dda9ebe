"""SASSNet (kleinzcy/SASSnet)."""

from typing import Any

from steps.stage import Case, Given, Run, backbone, by_iteration, make, of_checkpoint, of_network

BINARY = 2


def run(case: Case) -> dict[str, Any]:
    given, setting = Given(case), case["setting"]
    method = make(
        "sassnet",
        BINARY,
        backbone("vnet", setting["filters"]),
        "half_ce_dice_fg",
        weight=setting["consistency"],
        beta=setting["beta"],
        discriminator_lr=setting["discriminator_learning_rate"],
    )
    names = {"model": of_checkpoint(method), "discriminator": of_network(method, "discriminator")}
    stage = Run(method, by_iteration(setting), setting, names)
    stage.load(given.start)
    batches = given.batches()
    terms = {"dice": "supervised", "sdf": "distance", "adversarial": "adversarial", "discriminator": "discriminator"}
    losses = stage.steps(batches, [{}] * len(batches), terms)
    state = {
        "adversarial_weight_of_last_step": stage.weight("adversarial"),
        "learning_rate_of_last_step": stage.rate,
        **stage.moments(),
    }
    return stage.result(losses, case, state)
