"""Rule ``raw``: fills the raw folder with a drawn phantom or from archives and folders, and lists its files."""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from semiseg.base.errors import UserError
from semiseg.base.file_names import shown, utf8
from semiseg.base.files import read_json, sha256, write_json
from semiseg.base.parallel import each
from semiseg.base.texts import some
from semiseg.data.raw_files import check_unused
from semiseg.data.standin import BROUGHT
from semiseg.dataset import Dataset, RawCase, get_dataset
from semiseg.params.data import DatasetOptions
from semiseg.params.kinds import check_case

logger = logging.getLogger(__name__)

MANIFEST = "manifest.json"


def build_raw(
    spec: Mapping[str, Any], folder: Path, workers: int = 1, standin: Path | None = None, archives: Path | None = None
) -> None:
    """Fill ``folder`` and write its manifest last.

    spec: ``Specs.raw``. standin, archives: the manifests of those two rules, beside the files themselves. Without any
    source, ``folder`` must hold the files of an earlier `semiseg import`. Raises UserError when there is no data; the
    message explains how to get it.
    """
    kind, options = get_dataset(spec["dataset"]), DatasetOptions.model_validate(spec["options"])
    wanted = None if spec["wanted"] is None else frozenset(spec["wanted"])
    if options.generate is not None:
        if kind.generate is None:
            raise UserError(f"datasets.{kind.name}.generate: it cannot be drawn; give datasets.{kind.name}.source")
        kind.generate(folder, options.generate.model_dump(), workers)
    if options.source is not None:
        import_raw(kind.name, Path(options.source), folder, wanted, workers)
    if standin is not None and (standin.parent / BROUGHT).exists():
        _import(kind, standin.parent / BROUGHT, folder, wanted)
    if archives is not None and read_json(archives)["files"]:
        _import(kind, archives.parent, folder, wanted)
    if not _holds_data(folder):
        raise UserError(f"no data for {kind.name}: {kind.how_to_get}; {_next_step(kind)}")
    _write_manifest(kind, folder, workers)


def import_raw(
    dataset: str, source: Path, folder: Path, wanted: frozenset[str] | None = None, workers: int = 1
) -> None:
    """Check the user's copy in ``source`` (folder or archive), import it into ``folder`` and write the manifest.

    wanted: the cases to import of ``on_demand`` parts, None for all. Cases that are missing or unknown are reported.
    """
    kind = get_dataset(dataset)
    if not source.exists():
        raise UserError(f"{source} does not exist: give the folder or archive that holds your copy of {dataset}")
    _import(kind, source, folder, wanted)
    cases = _write_manifest(kind, folder, workers)
    for line in _differences(kind, cases, wanted):
        logger.info(f"import {dataset}: {line}")
    logger.info(f"import {dataset}: {len(cases)} cases are in {folder}; next: `semiseg describe {dataset}`")


def _import(kind: Dataset, source: Path, folder: Path, wanted: frozenset[str] | None) -> None:
    if kind.import_from is None:
        raise UserError(f"{kind.name} cannot be imported: {kind.how_to_get}")
    kind.import_from(source, folder, wanted)


def _holds_data(folder: Path) -> bool:
    return folder.is_dir() and any(path.name != MANIFEST and not path.name.startswith(".") for path in folder.iterdir())


def _next_step(kind: Dataset) -> str:
    if kind.import_from is None:
        return f"give datasets.{kind.name}.generate in params.yaml"
    return f"then run `semiseg import {kind.name} FOLDER_OR_ARCHIVE`"


def _differences(kind: Dataset, cases: Sequence[RawCase], wanted: frozenset[str] | None) -> Iterator[str]:
    """Sentences about cases that the copy lacks, and about cases that the publisher does not have."""
    found = {case.id: case.label is not None for case in cases}
    for part in kind.parts:
        expected = [case for case in part.cases if not part.on_demand or wanted is None or case in wanted]
        if missing := [case for case in expected if case not in found]:
            yield f"{part.name}: {len(missing)} of {len(expected)} cases are missing: {some(missing)}"
        if unlabelled := [case for case in expected if part.labelled and found.get(case) is False]:
            yield f"{part.name}: {len(unlabelled)} of {len(expected)} cases have no label file: {some(unlabelled)}"
    official = {case for part in kind.parts for case in part.cases}
    if kind.parts and (others := sorted(set(found) - official)):
        yield f"{len(others)} cases are not among the publisher's: {some(others)}"


def _write_manifest(kind: Dataset, folder: Path, workers: int) -> list[RawCase]:
    """List all cases with the hashes of their files. Equal data give an equal manifest, byte for byte."""
    cases = sorted(kind.find(folder), key=lambda case: case.id)
    for case in cases:
        for name in (case.id, case.image, case.label or ""):
            if not utf8(name):
                raise UserError(f"{folder} holds {shown(name)}, a name that is not UTF-8: rename the file or folder")
        check_case(case.id, str(folder))
    check_unused(folder, cases, others=(MANIFEST,))
    if twice := sorted(case for case, times in Counter(case.id for case in cases).items() if times > 1):
        raise UserError(f"{folder} holds {some(twice)} more than once, expected one scan per case: remove the others")
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
    return cases
