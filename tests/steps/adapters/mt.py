"""Mean Teacher (HiLab-git/SSL4MIS)."""

from typing import Any

from steps.stage import Case, Given, Run, backbone, by_iteration, make, of_network


def run(case: Case) -> dict[str, Any]:
    given, setting = Given(case), case["setting"]
    hyper = {"weight": setting["weight"], "ema_decay": setting["ema_decay"], "lag": setting["schedule"].get("lag", 0)}
    method = make("mt", setting["classes"], backbone("unet3d", setting["filters"]), "half_ce_dice_all", **hyper)
    stage = Run(method, by_iteration(setting), setting, {role: of_network(method, role) for role in given.start})
    stage.load(given.start)
    terms = {"supervised": "supervised", "consistency": "consistency"}
    losses = stage.steps(given.batches(), given.by_step(randn_like="teacher_noise"), terms)
    state = {
        "consistency_weight_of_last_step": stage.weight("consistency"),
        "learning_rate_of_last_step": stage.rate,
    }
    return stage.result(losses, case, state)
