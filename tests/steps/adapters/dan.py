"""DAN (HiLab-git/SSL4MIS)."""

from typing import Any

from steps.stage import Case, Given, Run, backbone, by_iteration, make, of_network
from torch import Tensor

from semiseg.blocks.losses import cross_entropy, dice_squared_all, half_ce_dice_all


def run(case: Case) -> dict[str, Any]:
    given, setting = Given(case), case["setting"]
    parts: list[dict[str, float]] = []

    def supervised(logits: Tensor, labels: Tensor) -> Tensor:
        """The supervised loss of the protocol; the case also gives its two parts."""
        dice = dice_squared_all(logits.softmax(1), labels)
        parts.append({"ce": cross_entropy(logits, labels).item(), "dice": dice.item()})
        return half_ce_dice_all(logits, labels)

    method = make(
        "dan",
        setting["classes"],
        backbone("unet3d", setting["filters"]),
        supervised,
        weight=setting["consistency"],
        discriminator_lr=setting["discriminator_learning_rate"],
        lag=setting["schedule"].get("lag", 0),
    )
    names = {"model": of_network(method, "network"), "discriminator": of_network(method, "discriminator")}
    stage = Run(method, by_iteration(setting), setting, names)
    stage.load(given.start)
    batches = given.batches()
    terms = {name: name for name in ("adversarial", "discriminator")}
    losses = stage.steps(batches, [{}] * len(batches), terms)
    losses = [{**part, **loss} for part, loss in zip(parts, losses, strict=True)]
    state = {
        "adversarial_weight_of_last_step": stage.weight("adversarial"),
        "learning_rate_of_last_step": stage.rate,
        **stage.moments(),
    }
    return stage.result(losses, case, state)
