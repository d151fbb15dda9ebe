"""What the site shows of a table's making: cost, protocol, and the hashes of the files behind a row."""

from collections.abc import Mapping
from typing import Any

from semiseg.base.controls import is_control
from semiseg.base.errors import UserError
from semiseg.base.texts import listed
from semiseg.jobs.record import Record, read_record
from semiseg.params.table_spec import TableSpec, as_whole_json
from semiseg.paths import record_path
from semiseg.report.cells import lines_of, mean_columns, shown
from semiseg.report.site.data import Built
from semiseg.report.site.data_table import Cell, Column, DataTable
from semiseg.report.texts import value_text


def hashes_of(built: Built, method: str) -> dict[str, str]:
    """sha256 of the files behind a row, by path: from the record of its table and from those that are here."""
    runs = (folder for one in (built.spec.runs[method], built.spec.trainings(method)) for folder in one)
    behind = [
        f"{folder}/{name}" for folder in runs for name in ("cases.csv", "predictions.json", "weights.safetensors")
    ]
    records = [built.record, *filter(None, map(_record_of, behind))]
    entries = (entry for record in records for side in ("inputs", "outputs") for entry in record[side])
    return {entry["path"]: entry["sha256"] for entry in entries}


def _record_of(path: str) -> Record | None:
    """The record beside a file; None where none can be read; an audit reports that."""
    try:
        return read_record(record_path(path))
    except (UserError, OSError):
        return None


def cost_table(built: Built) -> DataTable:
    """The cost of each row that is trained."""
    columns = (
        Column("method", "Method"),
        Column("parameters", "Parameters (million)"),
        Column("seconds", "Seconds per step"),
        Column("waiting", "Waiting for data (%)"),
        Column("memory", "Peak memory (GiB)"),
        Column("hours", "Hours"),
        Column("device", "Device", text=True),
    )
    lines = [line for line in lines_of(built.cost) if not is_control(line.method)]
    rows = tuple(
        (
            Cell(built.spec.label(line.method)),
            Cell(shown(line.parameters / 1e6, ".2f")),
            Cell(shown(line.seconds_per_iteration, ".3f")),
            Cell(shown(100 * line.waiting_share, ".1f")),
            Cell(shown(line.peak_memory_gib, ".2f")),
            Cell(shown(line.hours, ".2f")),
            Cell(line.device or "–"),
        )
        for line in lines
    )
    return DataTable("costs", "Cost of training, as measured", columns, rows, ("",) * len(rows))


def protocol_pairs(spec: TableSpec) -> list[tuple[str, str]]:
    """What all rows of a table share, key by key, as params.yaml names it."""
    parts = {"preparation": spec.preparation, "network": spec.network, "training": spec.training}
    parts |= {"inference": spec.inference}
    flat = [pair for name, part in parts.items() for pair in _flat(name, as_whole_json(part))]
    means = listed(mean_columns(spec))
    return [("scoring", spec.published), ("means", means), ("seeds", ", ".join(map(str, spec.seeds))), *flat]


def _flat(name: str, value: Any) -> list[tuple[str, str]]:
    """A part of params.yaml as pairs of a key and what stands there. Steps of a preparation are keys of their own."""
    if isinstance(value, list) and value and all(isinstance(one, Mapping) and "step" in one for one in value):
        steps = ({key: each for key, each in one.items() if each is not None} for one in value)
        return [pair for at, one in enumerate(steps, 1) for pair in _flat(f"{name}.{at} {one.pop('step')}", one)]
    if isinstance(value, Mapping) and value:
        return [pair for key, inner in value.items() for pair in _flat(f"{name}.{key}", inner)]
    return [(name, value_text(value))]
