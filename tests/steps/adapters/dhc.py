"""DHC (xmed-lab/DHC)."""

from typing import Any

from steps.stage import CO_TRAINING, Case, Given, dhc_line

from semiseg.methods.dhc import DHC


def run(case: Case) -> dict[str, Any]:
    given = Given(case)
    stage = dhc_line("dhc", given, case, given.inputs["labelled_voxels"])
    method, batches = stage.method, given.batches()
    assert isinstance(method, DHC)
    losses = stage.steps(batches, [{}] * len(batches), {term: term for term in CO_TRAINING})
    state = {
        **stage.rates(),
        "class_weights_a": method.difficulty_weights(),
        "class_weights_b": method.distribution_weights,
        "last_dice": method.difficulty.dice,
        "learn": method.difficulty.learn,
        "unlearn": method.difficulty.unlearn,
        "lack": method.difficulty.lack,
    }
    return stage.result(losses, case, {name: state[name] for name in case["state"]})
