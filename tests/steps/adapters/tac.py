"""TAC (jingkunchen/TAC)."""

from typing import Any

from steps.decoders import first_rows
from steps.stage import Case, Given, Run, backbone, make, of_network, training

from semiseg.learning.schedule import TrainingSchedule

TERMS = {name: name for name in ("supervised", "attention", "encoder")}


class LateSchedule(TrainingSchedule):
    """The protocol's schedule with the rate that the step before left, which no protocol has yet."""

    def learning_rate(self, iteration: int) -> float:
        return super().learning_rate(max(iteration - 1, 0))


def run(case: Case) -> dict[str, Any]:
    given, setting = Given(case), case["setting"]
    method = make(
        "tac",
        setting["classes"],
        backbone("vnet_gated", setting["filters"]),
        "half_ce_dice_fg",
        patch=tuple(setting["crop"]),
        attention_weight=setting["attention_weight"],
        encoder_weight=setting["encoder_weight"],
        epsilon=setting["eps"],
    )
    rules = training(setting, {"per": "epoch"}, {"rule": "poly", "per": "epoch", "power": 0.9}, "lr")
    stage = Run(method, rules, setting, {"network": of_network(method, "network")})
    stage.trainer.schedule = LateSchedule(rules, setting["iterations_per_epoch"])
    stage.load(given.start)
    losses, rates = [], []
    for batch in first_rows(given, setting["labelled_batch"]):
        losses += stage.steps([batch], [{}], TERMS)[-1:]
        rates.append(stage.rate)
    return stage.result(losses, case, {"learning_rates": rates})
