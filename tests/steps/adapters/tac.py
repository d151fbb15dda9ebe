"""TAC (jingkunchen/TAC)."""

from typing import Any

from steps.stage import Case, Given, Run, in_one_tensor, learning_rates, make, of_network, training

from semiseg.methods.parts.tac_network import GatedVNet


def run(case: Case) -> dict[str, Any]:
    given, setting = Given(case), case["setting"]
    hyper = {"attention": "attention_weight", "encoder": "encoder_weight", "epsilon": "eps"}
    method = make(
        "tac",
        setting["classes"],
        lambda channels: GatedVNet(1, channels, setting["filters"]),
        "half_ce_dice_fg",
        patch=tuple(setting["crop"]),
        **{ours: setting[theirs] for ours, theirs in hyper.items()},
    )
    rules = training(setting, {}, {"rule": "poly", "per": "epoch", "late": True}, "lr")
    at_step = {**setting, "steps_per_epoch": setting["iterations_per_epoch"]}
    stage = Run(method, rules, at_step, {"network": of_network(method, "network")})
    stage.load(given.start)
    batches = in_one_tensor(given)
    terms = {name: name for name in ("supervised", "attention", "encoder")}
    losses = stage.steps(batches, [{}] * len(batches), terms)
    return stage.result(losses, case, {"learning_rates": learning_rates(stage)})
