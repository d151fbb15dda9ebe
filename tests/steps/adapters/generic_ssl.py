"""GenericSSL (xmed-lab/GenericSSL)."""

from typing import Any

from steps.stage import Case, Given, Run, at_epoch, by_epoch, make, of_network

from semiseg.methods.generic_ssl import GenericSSL
from semiseg.methods.parts.generic_ssl_network import SharedVNet


def run(case: Case) -> dict[str, Any]:
    given, setting = Given(case), case["setting"]
    method = make(
        "generic_ssl",
        setting["classes"],
        lambda channels: SharedVNet(1, channels, setting["filters"]),
        "ce_dice_organs",
        weight=float(setting["mu"]),
        ema_decay=setting["ema"],
        ddim_steps=setting["ddim_steps"],
    )
    assert isinstance(method, GenericSSL)
    names = {}
    for part in ("network", "psi", "denoiser"):
        names |= of_network(method, part)
    stage = Run(method, by_epoch(setting, "base_lr"), at_epoch(setting), {"network": names})
    stage.load(given.start)
    draws = given.by_step(randn_like="noise", randint="timesteps", randn="start")
    gumbel = [{"semiseg.methods.generic_ssl.gumbel_like": [noise]} for noise in given.draws["gumbel"]]
    steps = [{**ours, **theirs} for ours, theirs in zip(draws, gumbel, strict=True)]
    losses = stage.steps(given.batches(), steps, {name: name for name in ("denoising", "difficulty", "pseudo")})
    state = {
        "learning_rate": stage.rate,
        "mu": stage.weight("pseudo"),
        "class_weights": method.difficulty_weights(),
        "last_dice": method.difficulty.dice,
        "cls_learn": method.difficulty.learn,
        "cls_unlearn": method.difficulty.unlearn,
        "dice_weight": method.difficulty.lack,
        "prediction": stage.logits("network", given.batches()[-1].unlabelled),
    }
    return stage.result(losses, case, state)
