"""Adsh (xmed-lab/DHC)."""

from typing import Any

from steps.stage import CO_TRAINING, Case, Given, dhc_line


def run(case: Case) -> dict[str, Any]:
    given, setting = Given(case), case["setting"]
    stage = dhc_line("adsh", given, case, major=setting["tau_1"])
    batches = given.batches()
    losses = stage.steps(batches, [{}] * len(batches), {term: term for term in CO_TRAINING})
    state = {f"thresholds_{name}": stage.method.get_buffer(f"thresholds_{name}") for name in ("a", "b")}
    return stage.result(losses, case, {**stage.rates(), **state})
