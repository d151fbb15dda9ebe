"""MC-CauSSL (JuzhengMiao/CauSSL)."""

from typing import Any

from steps.la_line import labelled_first
from steps.stage import Case, Given, Run, backbone, make, of_network, training

TERMS = ("supervised_1", "supervised_2", "supervised_3", "consistency")
TERMS += ("independence_1", "independence_2", "independence_3")


def run(case: Case) -> dict[str, Any]:
    given, setting = Given(case), case["setting"]
    method = make(
        "mc_caussl",
        setting["classes"],
        backbone("vnet", setting["filters"]),
        "half_ce_dice_fg",
        patch=tuple(setting["crop"]),
        weight=setting["consistency"],
        independence_weight=setting["independence_weight"],
        temperature=setting["T"],
        interval=setting["interval"],
        start_after=setting["start_after"],
        inner_steps=setting["inner_steps"],
        mixing_rate=setting["mixing_lr"],
    )
    names = {"net": of_network(method, "network")}
    for number in (0, 1):
        names["net"] |= of_network(method, f"branches.{number}")
    for role in given.start.keys() - names:
        number = int(role.removeprefix("mixing_")) - 1
        names[role] = {f"{layer}.paras": f"mixing.sets.{number}.{layer}" for layer in range(len(given.start[role]))}
    ramp = {"every": setting["iterations_per_ramp_unit"], "length": setting["rampup"]}
    fall = {"rule": "step", "every": setting["lr_decay_every"], "factor": setting["lr_decay"]}
    stage = Run(method, training(setting, ramp, fall, "lr"), setting, names)
    stage.load(given.start)
    losses, rates, weights = [], [], []
    for batch in labelled_first(given):
        losses = stage.steps([batch], [{}], {term: term for term in TERMS})
        rates.append(stage.rate)
        weights.append(stage.weight("consistency"))
    return stage.result(losses, case, {"lr": rates, "consistency_weight": weights})
