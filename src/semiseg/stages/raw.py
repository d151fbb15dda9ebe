"""Rule ``raw``: fills the raw folder with a drawn phantom or from archives and folders, and lists its files."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from semiseg.base.errors import UserError
from semiseg.base.file_names import shown, utf8
from semiseg.base.files import read_json, sha256, write_json
from semiseg.base.parallel import each
from semiseg.base.texts import some
from semiseg.data.arrival.arrivals import changed_at_once, check_arrivals
from semiseg.data.raw_files import check_unused
from semiseg.data.standin import BROUGHT
from semiseg.dataset import Dataset, RawCase, get_dataset
from semiseg.params.data import DatasetOptions
from semiseg.params.kinds import check_case

logger = logging.getLogger(__name__)

MANIFEST = "manifest.json"


def build_raw(
    spec: Mapping[str, Any],
    folder: Path,
    workers: int = 1,
    standin: Path | None = None,
    archives: Path | None = None,
    copy: Path | None = None,
) -> None:
    """Fill ``folder`` and write its manifest last.

    spec: ``Specs.raw``. standin, archives: the manifests of those two rules, beside the files themselves. copy: the
    user's own folder or archive, as `semiseg import` gives it. Without any source, ``folder`` must hold the files of an
    earlier import. Cases of a user's copy that are missing or unknown are reported.

    Raises UserError when there is no data, with how to get it; and when a source, or the folder as it would be with it,
    is not in order. The files of the folder are then those from before.
    """
    kind, options = get_dataset(spec["dataset"]), DatasetOptions.model_validate(spec["options"])
    wanted = None if spec["wanted"] is None else frozenset(spec["wanted"])
    copies = [path for path in (copy, options.source and Path(options.source)) if path]
    _check_copies(kind, copies)
    if options.generate is not None:
        if kind.generate is None:
            raise UserError(f"datasets.{kind.name}.generate: it cannot be drawn; give datasets.{kind.name}.source")
        kind.generate(folder, options.generate.model_dump(), workers)
    sources = [*copies, *_made_by_rules(standin, archives)]
    if sources:
        cases = _bring(kind, sources, folder, wanted, workers)
    elif _holds_data(folder):
        cases = _write_manifest(kind, folder, folder, workers)
    else:
        raise UserError(f"no data for {kind.name}: {kind.how_to_get}; {_next_step(kind)}")
    if copies:
        for line in _differences(kind, cases, wanted):
            logger.info(f"import {kind.name}: {line}")
        logger.info(f"import {kind.name}: {len(cases)} cases are in {folder}; next: `semiseg describe {kind.name}`")


def _check_copies(kind: Dataset, copies: Sequence[Path]) -> None:
    for copy in copies:
        if not copy.exists():
            raise UserError(f"{copy} does not exist: give the folder or archive that holds your copy of {kind.name}")
        _importer(kind)


def _importer(kind: Dataset) -> Callable[[Path, Path, frozenset[str] | None], None]:
    if kind.import_from is None:
        raise UserError(f"{kind.name} cannot be imported: {kind.how_to_get}")
    return kind.import_from


def _made_by_rules(standin: Path | None, archives: Path | None) -> Iterator[Path]:
    """The folders that the rules ``standin`` and ``download`` have filled with files to be imported."""
    if standin is not None and (standin.parent / BROUGHT).exists():
        yield standin.parent / BROUGHT
    if archives is not None and read_json(archives)["files"]:
        yield archives.parent


def _bring(
    kind: Dataset, sources: Sequence[Path], folder: Path, wanted: frozenset[str] | None, workers: int
) -> list[RawCase]:
    """Import from all sources and write the manifest; the folder changes only when all of it is found in order."""
    import_from = _importer(kind)
    with changed_at_once(folder) as arriving:
        for source in sources:
            import_from(source, arriving, wanted)
        try:
            cases = _write_manifest(kind, arriving, folder, workers)
        except UserError as error:
            raise UserError(f"{error}; nothing was imported, the files of {folder} are as before") from None
    return cases


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


def _write_manifest(kind: Dataset, folder: Path, final: Path, workers: int) -> list[RawCase]:
    """List all cases with the hashes of their files. Equal data give an equal manifest, byte for byte.

    final: the folder in which the files of ``folder`` will lie.
    """
    cases = sorted(kind.find(folder), key=lambda case: case.id)
    for case in cases:
        for name in (case.id, case.image, case.label or ""):
            if not utf8(name):
                raise UserError(f"{folder} holds {shown(name)}, a name that is not UTF-8: rename the file or folder")
        check_case(case.id, str(folder))
    check_unused(folder, cases, others=(MANIFEST,), shown=final)
    if twice := sorted(case for case, times in Counter(case.id for case in cases).items() if times > 1):
        raise UserError(f"{folder} holds {some(twice)} more than once, expected one scan per case: remove the others")
    if folder != final:
        check_arrivals(kind, cases, folder, final)
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
