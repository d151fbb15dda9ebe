"""ASE-Net (SUST-reynole/ASE-Net)."""

from typing import Any

from steps.stage import Case, Given, Run, backbone, make, of_network, training

BINARY = 2
ROLES = {"student": "student", "teacher": "teacher", "discriminator1": "first", "discriminator2": "second"}
TERMS = {
    **{"d1": "discriminator_1", "d2": "discriminator_2", "bce": "cross_entropy", "dice": "dice"},
    **{"adv1": "adversarial_1", "adv2": "adversarial_2", "three_way": "consistency"},
}


def run(case: Case) -> dict[str, Any]:
    given, setting = Given(case), case["setting"]
    first, second = setting["betas"]
    method = make(
        "ase_net",
        BINARY,
        backbone("vnet", filters(case)),
        "half_ce_dice_fg",
        weight=setting["consistency"],
        ema_decay=setting["ema"],
        discriminator_lr=setting["discriminator_learning_rate"],
        discriminator_beta1=first,
        discriminator_beta2=second,
        discriminator_eps=setting["adam_eps"],
        as_released=setting["as_released"],
    )
    ramp = {"every": setting["iterations_per_ramp_unit"], "length": int(setting["rampup"])}
    numbers = {**setting, "momentum": first, "weight_decay": 0.0}
    adam = {"rule": "adam", "beta2": second, "eps": setting["adam_eps"]}
    rules = training(numbers, ramp, {"rule": "step", "every": 5000}, **adam)
    stage = Run(method, rules, setting, {role: of_network(method, ours) for role, ours in ROLES.items()})
    stage.load(given.start)
    losses = stage.steps(given.batches(), given.by_step(randn_like="noise"), TERMS)
    state = {
        "consistency_weight_of_last_step": stage.weight("consistency"),
        "learning_rate_of_last_step": stage.rate,
    }
    return stage.result(losses, case, state)


def filters(case: Case) -> int:
    """Filters of the case's V-Net: the setting does not give them."""
    shapes = dict(case["networks"]["student"]["parameters"])
    return int(shapes["out_conv.weight"][1])
