"""Rule ``raw``: draw a synthetic dataset, or import a real one from the user's folder, and list what there is."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from semiseg.dataset import Dataset, RawCase, get_dataset
from semiseg.errors import UserError
from semiseg.files import sha256, write_json
from semiseg.parallel import each

MANIFEST = "manifest.json"


def build_raw(dataset: str, options: Mapping[str, Any], folder: Path, workers: int = 1) -> None:
    """Fill ``folder`` and write its manifest last.

    options: ``generate`` (synthetic datasets), or ``source``, a folder to import; without both, what an earlier
    `semiseg import` has put into ``folder``. Raises UserError saying how to get the data when there is none.
    """
    kind = get_dataset(dataset)
    if options.get("source") is not None:
        import_raw(dataset, Path(options["source"]), folder, workers)
        return
    if options.get("generate") is not None:
        if kind.generate is None:
            raise UserError(f"datasets.{dataset}.generate: {dataset} cannot be drawn; give datasets.{dataset}.source")
        kind.generate(folder, options["generate"], workers)
    elif not _holds_data(folder):
        raise UserError(f"no data for {dataset}: {kind.how_to_get}; {_next_step(kind)}")
    _write_manifest(kind, folder, workers)


def import_raw(dataset: str, source: Path, folder: Path, workers: int = 1) -> None:
    """Verify the user's copy in ``source``, bring it into ``folder`` and write the manifest."""
    kind = get_dataset(dataset)
    if kind.import_from is None:
        raise UserError(f"{dataset} cannot be imported: {kind.how_to_get}")
    if not source.is_dir():
        raise UserError(f"{source} is not a folder: give the folder that holds your copy of {dataset}")
    kind.import_from(source, folder)
    _write_manifest(kind, folder, workers)


def _holds_data(folder: Path) -> bool:
    return folder.is_dir() and any(path.name != MANIFEST and not path.name.startswith(".") for path in folder.iterdir())


def _next_step(kind: Dataset) -> str:
    if kind.import_from is None:
        return f"give datasets.{kind.name}.generate in params.yaml"
    return f"then run `semiseg import {kind.name} FOLDER`"


def _write_manifest(kind: Dataset, folder: Path, workers: int) -> None:
    """List cases and hash every file of theirs: content only, so that equal data give equal bytes."""
    cases = sorted(kind.find(folder), key=lambda case: case.id)
    names = sorted({name for case in cases for name in (case.image, case.label) if name is not None})
    digests = each(sha256, [folder / name for name in names], workers, f"hash {kind.name}", "file")
    sizes = [(folder / name).stat().st_size for name in names]
    content = {
        "dataset": kind.name,
        "cases": [{"id": case.id, "image": case.image, "label": case.label} for case in cases],
        "files": {name: {"sha256": d, "bytes": b} for name, d, b in zip(names, digests, sizes, strict=True)},
        "applied": sorted(kind.applied(folder)),
    }
    write_json(folder / MANIFEST, content)


def manifest_cases(manifest: Mapping[str, Any]) -> list[RawCase]:
    """Cases of a raw manifest."""
    return [RawCase(case["id"], case["image"], case["label"]) for case in manifest["cases"]]
