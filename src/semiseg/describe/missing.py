"""What a table needs that is not here and that no rule makes by itself: data on registration, files of weights."""

from collections.abc import Iterator
from pathlib import Path

from semiseg.dataset import Dataset, get_dataset
from semiseg.graph.plan import Plan
from semiseg.paths import RAW, WEIGHTS


def missing(plan: Plan, table: str) -> Iterator[str]:
    """A sentence for each thing that a build of the table would ask for: where to get it, and how to bring it."""
    dataset = plan.table(table).dataset
    kind, options = get_dataset(dataset), plan.options(dataset)
    is_made = options.source or options.generate or options.standin or kind.import_from is None or _is_downloaded(kind)
    if not is_made and not Path(RAW.format(dataset=dataset)).exists():
        yield f"scans of {kind.title}: {how_to_bring(kind)}"
    runs = (run for method in plan.served(table) for run in plan.runs(table, method))
    for name in dict.fromkeys(filter(None, map(plan.brought, runs))):
        known, origin = plan.params.weights.get(name), plan.origin(name)
        if not Path(WEIGHTS.format(weights=name)).exists() and not (known and known.standin):
            yield f"weights {name}{f' ({origin})' if origin else ''}: `semiseg import-weights {name} FILE`"


def how_to_get(kind: Dataset) -> str:
    """Where a collection is to be had."""
    if kind.generate is not None:
        return "drawn here, by rule"
    fetched = "" if kind.remote is None else " (open parts are downloaded by the workflow)"
    return f"{kind.how_to_get}{fetched}"


def how_to_bring(kind: Dataset) -> str:
    """Where a collection is to be had, and the call that takes in a user's copy of it."""
    return f"{how_to_get(kind)}; then call `semiseg import {kind.name} FOLDER_OR_ARCHIVE`"


def _is_downloaded(kind: Dataset) -> bool:
    """Whether the workflow downloads the whole collection."""
    return kind.remote is not None and all(part.open for part in kind.parts)
