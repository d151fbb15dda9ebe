"""ACISIS (xmed-lab/DHC)."""

from typing import Any

from steps.stage import Case, Given, dhc_line, watched

from semiseg.methods.acisis import ACISIS

HYPER = ("top_m", "rank_penalty", "score_momentum", "rate_power", "confidence_power", "ema_decay")


def run(case: Case) -> dict[str, Any]:
    given, setting = Given(case), case["setting"]
    stage = dhc_line("acisis", given, case, **{name: setting[name] for name in HYPER})
    method = stage.method
    assert isinstance(method, ACISIS)
    method.score.copy_(given.inputs["class_score"])
    masks: list[Any] = []
    with watched("semiseg.methods.acisis.sampled_confidence", masks.append):
        losses = stage.steps(
            given.batches(), given.by_step(rand="uniform"), {"supervised": "supervised", "cross": "pseudo"}
        )
    state = {"class_score": method.score, "sampling_rate": method.rates(), "kept": masks[-1].mean()}
    return stage.result(losses, case, {**stage.rates("pseudo"), **state})
