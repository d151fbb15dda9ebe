"""Volumes that a manifest lists and that are not here: prepared cases and predictions are caches, made again on demand.

Pulled results bring manifests and lineage records, not volumes. The record beside a manifest says how it was made; the
same rule, run again, gives the same volumes, and the manifest says whether it did.
"""

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from semiseg.base.errors import UserError
from semiseg.base.files import read_json, sha256, write_text
from semiseg.jobs.code_hash import code_of
from semiseg.jobs.lock import held
from semiseg.jobs.record import Record, read_record
from semiseg.paths import record_path

logger = logging.getLogger(__name__)


def refill(manifest: Path, workers: int = 1) -> None:
    """Make the volumes of a manifest (``index.json`` of prepared cases, ``predictions.json``) again if any is missing.

    Nothing happens where all are here. Raises UserError when they cannot be made as they were: the manifest then stays
    what it was, and no other volumes stay beside it.
    """
    if not _missing(manifest):
        return
    with held(manifest.with_name(f".{manifest.name}.lock"), f"volumes of {manifest}"):
        missing = _missing(manifest)
        if not missing:  # another job has made them meanwhile
            return
        record = read_record(record_path(manifest))
        rule = record["rule"]
        if record["code"]["hash"] != code_of(rule, record["params"]):
            raise UserError(f"{manifest} was made by other code, and its volumes are not here: {_again(rule)}")
        logger.info(f"{manifest}: {len(missing)} of its volumes are not here and are made again")
        before = manifest.read_text(encoding="utf-8")
        _make(record, manifest, workers)
        if sha256(manifest) != record["outputs"][0]["sha256"]:
            write_text(manifest, before)
            for path in missing:
                path.unlink(missing_ok=True)
            raise UserError(f"the volumes of {manifest} come out otherwise on this machine: {_again(rule)}")


def _make(record: Record, manifest: Path, workers: int) -> None:
    """Run the rule of a record again, at its place."""
    inputs = [Path(entry["path"]) for entry in record["inputs"]]
    if record["rule"] == "prepare":
        from semiseg.stages.prepare import prepare

        prepare(record["params"], inputs[0], manifest, workers)
        return
    from semiseg.jobs.gpu import claimed
    from semiseg.learning.build import choose_runtime
    from semiseg.stages.predict import predict

    weights, prepared, split = inputs
    refill(prepared, workers)
    with claimed("auto", 1) as device:
        predict(record["params"], weights, prepared, split, manifest, choose_runtime(device, 1, 0.0))


def _missing(manifest: Path) -> list[Path]:
    return [path for path in _volumes(manifest) if not path.exists()]


def _volumes(manifest: Path) -> Iterable[Path]:
    """The files that a manifest speaks of, at their places."""
    content: Mapping[str, Any] = read_json(manifest)
    if "files" in content:
        return [manifest.parent / "predictions" / name for name in content["files"]]
    return [manifest.parent / entry["file"] for entry in content["cases"].values()]


def _again(rule: str) -> str:
    return f"add `--forcerun {rule}` to the call of Snakemake; it makes them, and all that rests on them, anew"
