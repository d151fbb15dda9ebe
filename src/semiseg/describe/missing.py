"""What a table needs that is not here and that no rule makes by itself: data on registration, files of weights."""

from collections.abc import Iterator
from pathlib import Path

from semiseg.dataset import Dataset, get_dataset
from semiseg.graph.plan import Plan
from semiseg.paths import RAW, WEIGHTS


def missing(plan: Plan, table: str) -> Iterator[str]:
    """A sentence for each thing that a build of the table would ask for: where to get it, and what to do with it."""
    kind, options = get_dataset(plan.table(table).dataset), plan.options(plan.table(table).dataset)
    is_made = options.source or options.generate or options.standin or _is_downloaded(kind)
    if not is_made and not Path(RAW.format(dataset=kind.name)).exists():
        yield f"scans of {kind.title}: {how_to_get(kind)}; then `semiseg import {kind.name} FOLDER`"
    runs = (run for method in plan.served(table) for run in plan.runs(table, method))
    for name in dict.fromkeys(filter(None, map(plan.brought, runs))):
        known = plan.params.weights.get(name)
        if not Path(WEIGHTS.format(weights=name)).exists() and not (known and known.standin):
            origin = plan.origin(name) or "its authors offer it, where the page of the method says"
            yield f"weights {name}: {origin}; then `semiseg import-weights {name} FILE`"


def _is_downloaded(kind: Dataset) -> bool:
    """Whether the workflow downloads the whole collection."""
    return kind.remote is not None and all(part.open for part in kind.parts)


def how_to_get(kind: Dataset) -> str:
    """Where a collection is to be had."""
    if kind.generate is not None:
        return "drawn here, by rule"
    fetched = "" if kind.remote is None else " (open parts are downloaded by the workflow)"
    return f"{kind.how_to_get}{fetched}"
