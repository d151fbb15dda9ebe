"""Verb ``clean``: delete the volumes of a table, which are made again when a job needs them.

Volumes are prepared cases and predicted label maps. Weights, scores, manifests, records and raw data are never touched.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from semiseg.base.errors import UserError
from semiseg.base.files import sha256
from semiseg.base.texts import some
from semiseg.engine.project_lock import project_held
from semiseg.graph.plan import Plan
from semiseg.jobs.code_hash import made_by_this_code
from semiseg.jobs.manifest import listed_files, volumes_held
from semiseg.jobs.record import read_record
from semiseg.paths import record_path

MIB, GIB = 2**20, 2**30
COMES_BACK = {
    "prepare": "prepared again from data/raw when a training or a prediction needs them",
    "predict": "predicted again from the weights when an evaluation needs them; a figure of a case asks for"
    " `--forcerun predict`",
}


@dataclass(frozen=True)
class Volumes:
    """The volumes that a manifest lists and that are here.

    bytes: their size. rule: what made them. sharers: other tables that rest on them. obstacle: why they could not be
    made again, so that they stay; else empty.
    """

    manifest: Path
    files: tuple[Path, ...]
    bytes: int
    rule: str
    sharers: tuple[str, ...]
    obstacle: str

    @property
    def line(self) -> str:
        """What becomes of them, in a sentence."""
        size = f"{self.manifest.parent}: {len(self.files)} volumes, {_size(self.bytes)}"
        if self.sharers:
            size += f", shared with {some(list(self.sharers), 4)}"
        return f"{size}: stay, because {self.obstacle}" if self.obstacle else f"{size}: {COMES_BACK[self.rule]}"


def clean(plan: Plan, table: str, *, dry_run: bool, show: Callable[[str], None] = print) -> None:
    """Delete the volumes behind a table, or only list them with size and the way in which they come back.

    Works in the current folder, which no other Snakemake may be using. Raises UserError for an unknown table.
    """
    sharers = _sharers(plan, table)
    found = [volumes(path, sharers[path]) for path in _manifests(plan, table) if path.exists()]
    found = [one for one in found if one.files]
    if not found:
        show(f"table {table} has no volumes here: nothing to delete")
        return
    with contextlib.nullcontext() if dry_run else project_held():
        for one in found:
            if not (dry_run or one.obstacle):
                _delete(one)
            show(one.line)
    freed = _size(sum(one.bytes for one in found if not one.obstacle))
    show(f"{'would free' if dry_run else 'freed'} {freed}; weights, scores, records and raw data stay")


def _delete(one: Volumes) -> None:
    with volumes_held(one.manifest):
        for file in one.files:
            file.unlink(missing_ok=True)


def _size(number: int) -> str:
    return f"{number / GIB:.1f} GiB" if number >= GIB else f"{number / MIB:.1f} MiB"


def volumes(manifest: Path, sharers: tuple[str, ...] = ()) -> Volumes:
    """The volumes of a manifest, and whether they can be made again as they are. sharers: as in ``Volumes``."""
    files = tuple(path for path in listed_files(manifest) if path.exists())
    rule = {"index.json": "prepare", "predictions.json": "predict"}[manifest.name]
    size = sum(path.stat().st_size for path in files)
    return Volumes(manifest, files, size, rule, sharers, _obstacle(manifest) or "")


def _manifests(plan: Plan, table: str) -> list[Path]:
    """The manifests of the prepared cases and of the predictions behind a table."""
    definition = plan.table(table)
    runs = dict.fromkeys(run for row in definition.rows for run in plan.runs(table, row.method))
    paths = [
        plan.prepared(definition.dataset, definition.protocol),
        *(f"{run.folder}/predictions.json" for run in runs),
    ]
    return [Path(path) for path in paths]


def _sharers(plan: Plan, table: str) -> dict[Path, tuple[str, ...]]:
    """The other tables that rest on each manifest of a table. Tables of other datasets share none."""
    dataset = plan.table(table).dataset
    others = [name for name in plan.params.tables if name != table and plan.table(name).dataset == dataset]
    behind = {name: set(_manifests(plan, name)) for name in others}
    return {path: tuple(name for name in others if path in behind[name]) for path in _manifests(plan, table)}


def _obstacle(manifest: Path) -> str | None:
    """Why the volumes of a manifest could not be made again, as ``restore_volumes`` makes them; None where they can."""
    try:
        record = read_record(record_path(manifest))
    except UserError as error:
        return str(error)
    if not made_by_this_code(record):
        return f"{manifest} was made by other code than this"
    for entry in record["inputs"]:
        source = Path(entry["path"])
        if not source.exists() or sha256(source) != entry["sha256"]:
            return f"{source}, from which they were made, is missing or another"
        missing = [path for path in listed_files(source) if not path.exists()]
        if missing and source.name == "manifest.json":
            return f"{source} lists scans that are not here ({some([str(path) for path in missing], 2)})"
        if missing and (reason := _obstacle(source)):
            return reason
    return None
