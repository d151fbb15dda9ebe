"""Basak et al. (xmed-lab/DHC)."""

from typing import Any

from steps.stage import Case, Given, dhc_line, watched
from torch import Tensor

from semiseg.methods.acisis import ACISIS

HYPER = ("ema_decay", "top_m", "rank_penalty", "score_momentum", "rate_power", "confidence_power")


def run(case: Case) -> dict[str, Any]:
    given, setting = Given(case), case["setting"]
    stage = dhc_line("acisis", given, case, **{name: setting[name] for name in HYPER})
    assert isinstance(stage.method, ACISIS)
    stage.method.scores.score.copy_(given.inputs["class_score"])
    kept: list[Tensor] = []
    with watched("semiseg.methods.acisis.sampled_confidence", kept.append):
        terms = {"supervised": "supervised", "cross": "pseudo"}
        losses = stage.steps(given.batches(), given.by_step(rand="uniform"), terms)
    state = {
        "class_score": stage.method.scores.score,
        "sampling_rate": stage.method.rates(),
        "kept": float(kept[-1].mean()),
    }
    return stage.result(losses, case, {**stage.rates("pseudo"), **state})
