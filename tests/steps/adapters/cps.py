"""CPS (xmed-lab/DHC)."""

from typing import Any

from steps.stage import Case, Given, Run, backbone, by_epoch, make, of_network


def run(case: Case) -> dict[str, Any]:
    given, setting = Given(case), case["setting"]
    network = backbone("vnet", setting["filters"])
    method = make("cps", setting["classes"], network, "ce_dice_organs", weight=setting["w"])
    stage = Run(method, by_epoch(setting, "lr"), setting, {role: of_network(method, role) for role in given.start})
    stage.load(given.start)
    batches = given.batches()
    terms = {name: name for name in ("supervised_a", "supervised_b", "cross")}
    losses = stage.steps(batches, [{}] * len(batches), terms)
    return stage.result(losses, case, {"learning_rate": stage.rate, "cross_weight": stage.weight("cross")})
