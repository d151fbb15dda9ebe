"""UA-MT (yulequan/UA-MT, and the port of xmed-lab/DHC)."""

from typing import Any

from steps.stage import Case, Given, Run, backbone, by_epoch, by_iteration, make, of_network


def run(case: Case) -> dict[str, Any]:
    given, setting = Given(case), case["setting"]
    method = make(
        "ua_mt",
        setting["classes"],
        backbone("vnet", setting["filters"]),
        setting["supervised_loss"],
        weight=setting["weight"],
        rounds=setting["passes"] // 2,
        ema_decay=setting["ema_decay"],
        ema_clock=setting["ema_clock"],
        threshold_clock=setting["threshold_clock"],
    )
    rules = by_epoch(setting, "learning_rate") if setting["line"] == "DHC" else by_iteration(setting)
    stage = Run(method, rules, setting, {role: of_network(method, role) for role in given.start})
    stage.load(given.start)
    noise = zip(given.draws["target_noise"], given.draws["pass_noise"], strict=True)
    draws = [{"torch.randn_like": [target, *passes]} for target, passes in noise]
    terms = {"supervised": "supervised", "consistency": "consistency"}
    losses = stage.steps(given.batches(), draws, terms)
    state = {
        "consistency_weight_of_last_step": stage.weight("consistency"),
        "learning_rate_of_last_step": stage.rate,
    }
    return stage.result(losses, case, state)
