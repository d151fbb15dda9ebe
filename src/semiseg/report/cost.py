"""What the rows of a table cost: parameters, time, memory, as their runs measured it (``cost.json``)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from semiseg.base.files import read_json
from semiseg.params.table_spec import TableSpec
from semiseg.report.cells import methods_in_order

COST = (
    "method",
    "label",
    "parameters",
    "seconds_per_iteration",
    "waiting_share",
    "peak_memory_gib",
    "hours",
    "device",
)


def read_cost(spec: TableSpec) -> pd.DataFrame:
    """A line per row of the table, with the columns ``COST``; what a run did not measure leaves its row undefined.

    seconds_per_iteration: mean over iterations of all runs, s; waiting_share: share of the steps' time, over all runs,
    in which they waited for data; peak_memory_gib: largest of the runs (of the GPU, or of the process on a CPU); hours:
    sum over runs, validation included. Raises UserError for a damaged file.
    """
    lines = []
    for method in methods_in_order(spec):
        paths = [Path(folder) / "cost.json" for folder in spec.trainings(method)]
        runs = [read_json(path) for path in paths if path.exists()]
        measured = runs if len(runs) == len(paths) else []
        lines.append({"method": method, "label": spec.label(method), **_over_runs(measured)})
    return pd.DataFrame(lines, columns=list(COST)).astype({"parameters": "Int64"})


def cost_as_csv(cost: pd.DataFrame) -> str:
    """The table as text, four digits behind the point; undefined is empty."""
    return cost.to_csv(index=False, lineterminator="\n", float_format="%.4f")


def _over_runs(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    trained = [run for run in runs if run["iterations"]]  # controls are not
    if not trained:
        return {}
    iterations = sum(run["iterations"] for run in trained)
    stepping = [run["seconds_per_iteration"] * run["iterations"] for run in trained]
    waiting = sum(run["waiting_share"] * seconds for run, seconds in zip(trained, stepping, strict=True))
    return {
        "parameters": trained[0]["parameters"],
        "seconds_per_iteration": sum(stepping) / iterations,
        "waiting_share": waiting / sum(stepping),
        "peak_memory_gib": max(run["peak_memory_bytes"] for run in trained) / 2**30,
        "hours": sum(run["hours"] for run in trained),
        "device": ", ".join(sorted({run["device"] for run in trained})),
    }
