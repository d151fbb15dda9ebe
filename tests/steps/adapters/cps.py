"""CPS (xmed-lab/DHC)."""

from typing import Any

from steps.stage import Case, Given, dhc_line


def run(case: Case) -> dict[str, Any]:
    given = Given(case)
    stage = dhc_line("cps", given, case)
    batches = given.batches()
    terms = {name: name for name in ("supervised_a", "supervised_b", "cross")}
    losses = stage.steps(batches, [{}] * len(batches), terms)
    return stage.result(losses, case, stage.rates("cross"))
