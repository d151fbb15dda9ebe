"""``semiseg counts``: the work of a training step of every row in params.yaml, as it comes with the package."""

import json
import os
from dataclasses import astuple

from semiseg.describe.cost import TableView
from semiseg.graph.plan import Plan
from semiseg.learning.estimate import Step, count, shipped


def steps_of(plan: Plan) -> dict[str, Step]:
    """A training step of every row that is trained, by its key; rows of equal work share one."""
    views = [TableView.of(plan, table) for table in plan.params.tables]
    steps = [view.step(name) for view in views for name in view.runs]
    return {step.key: step for step in steps if step.is_trained}


def counts_text(plan: Plan) -> str:
    """The content of ``learning/counts.json`` for these parameters and this code: a line per key.

    A step whose counts come with the package is not counted again.
    """
    steps, known = steps_of(plan), shipped()
    missing = {key: step for key, step in steps.items() if key not in known}
    counts = known | count(missing, os.cpu_count() or 1, "counts")
    lines = (f"{json.dumps(key)}: {json.dumps([astuple(one) for one in counts[key]])}" for key in sorted(steps))
    return "{\n" + ",\n".join(lines) + "\n}\n"
