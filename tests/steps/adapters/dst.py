"""DST (xmed-lab/DHC)."""

from typing import Any

from steps.stage import CO_TRAINING, Case, Given, dhc_line, of_modules, watched
from torch import Tensor

from semiseg.method import Method

HYPER = {
    "eta": "eta",
    "eta_prime": "eta_prime",
    "threshold": "threshold",
    "reversal": "reversal_hi",
    "reversal_steps": "reversal_max_iters",
    "reversal_alpha": "reversal_alpha",
}
TERMS = (*CO_TRAINING, "worst_a", "worst_b")


def run(case: Case) -> dict[str, Any]:
    given, setting = Given(case), case["setting"]
    stage = dhc_line("dst", given, case, names=names, **{ours: setting[theirs] for ours, theirs in HYPER.items()})
    certain: list[Tensor] = []
    with watched("semiseg.methods.dst.certain", certain.append):
        losses = stage.steps(given.batches(), [{}] * len(given.batches()), {term: term for term in TERMS})
    kept_b, kept_a = (float(mask.float().mean()) for mask in certain[-2:])  # A learns first, by what B is certain of
    state = {"reversal_counter": stage.trainer.state.iteration, "kept_a": kept_a, "kept_b": kept_b}
    return stage.result(losses, case, {**stage.rates(), **state})


def names(method: Method, role: str) -> dict[str, str]:
    """The official class has one encoder and the three decoders with their heads."""
    official: dict[str, str] = method.get_submodule(role).official_modules()  # type: ignore[operator]
    decoder = {ours: name for ours, name in official.items() if ours.startswith("decoder.")} | {"head": "head"}
    found = {name: f"{role}.{ours}" for ours, name in official.items() if ours not in decoder}
    for ours, theirs in ((role, "decoder"), (f"pseudo_{role}", "decoder_pseudo"), (f"worst_{role}", "decoder_worst")):
        found |= {f"{theirs}.{name}": f"{ours}.{part}" for part, name in decoder.items()}
    return of_modules(method, found)
