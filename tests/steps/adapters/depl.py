"""DePL (xmed-lab/DHC)."""

from typing import Any

from steps.stage import CO_TRAINING, Case, Given, dhc_line


def run(case: Case) -> dict[str, Any]:
    given, setting = Given(case), case["setting"]
    stage = dhc_line(
        "depl", given, case, tau=setting["tau"], threshold=setting["threshold"], momentum=setting["q_momentum"]
    )
    batches = given.batches()
    losses = stage.steps(batches, [{}] * len(batches), {term: term for term in CO_TRAINING})
    state = {f"q_{name}": stage.method.get_buffer(f"prior_{name}") for name in ("a", "b")}
    return stage.result(losses, case, {**stage.rates(), **state})
