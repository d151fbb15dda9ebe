"""What each row of a page was made from: the files of its chain, the lineage records beside them, two commands."""

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from semiseg.params.table_spec import TableSpec
from semiseg.paths import RAW, ROW, WEIGHTS, record_path
from semiseg.report.cells import printed_columns

Files = list[dict[str, str | None]]


def lineage_of_rows(spec: TableSpec, page: Path) -> dict[str, dict[str, Any]]:
    """Per row that was built, by its method: its files from the number down to the raw scans, and the commands.

    Links lead from the page's folder, so they hold wherever the project is moved.
    """
    return {method: _of_row(spec, method, folders, page) for method, folders in spec.runs.items()}


def _of_row(spec: TableSpec, method: str, folders: Sequence[str], page: Path) -> dict[str, Any]:
    table = page.with_suffix(".csv").as_posix()
    row = ROW.format(table=spec.table, method=method)
    # a row may be trained on another split than the table's: the folder of its runs names it
    split = Path(spec.split).with_name(f"{Path(folders[0]).parents[1].name}.json")
    data: dict[str, Path | str] = {
        "Split": split,
        "Prepared cases": spec.prepared,
        "Raw data": RAW.format(dataset=spec.dataset),
    }
    brought = WEIGHTS.format(weights=spec.brought[method]) if method in spec.brought else None
    pretrained = spec.pretrainings.get(method, [()] * len(folders))
    runs = [
        {
            "seed": seed,
            "folder": folder,
            "files": _files(
                {
                    "Scores per case": f"{folder}/cases.csv",
                    "Predictions": f"{folder}/predictions.json",
                    "Weights": f"{trained}/weights.safetensors",
                    **{f"Weights of pre-training {n}": f"{one}/weights.safetensors" for n, one in enumerate(before, 1)},
                    **({"Weights that the user brought": brought} if brought else {}),
                },
                page,
            ),
        }
        for seed, folder, trained, before in zip(spec.seeds, folders, spec.trainings(method), pretrained, strict=True)
    ]
    column = shlex.quote(printed_columns(spec)[0])
    return {
        "label": spec.label(method),
        "numbers": _files({"Table": table, "Row": row}, page),
        "runs": runs,
        "data": _files(data, page),
        "commands": [
            f"semiseg lineage {shlex.quote(table)} --row {method} --column {column}",
            f"semiseg audit {shlex.quote(table)}",
        ],
    }


def _files(paths: Mapping[str, Path | str], page: Path) -> Files:
    """What a file is, its path, and the addresses of the file and of its record.

    Weights have no address: a crate may come without them, and no browser shows them.
    """
    return [
        {
            "what": what,
            "path": Path(path).as_posix(),
            "name": Path(path).name,
            "address": None if Path(path).suffix == ".safetensors" else _address(path, page),
            "record": _address(record_path(path), page),
        }
        for what, path in paths.items()
    ]


def _address(path: Path | str, page: Path) -> str:
    return quote(Path(os.path.relpath(path, page.parent)).as_posix())
