"""Rule ``download``: the open archives of a dataset, from its publisher, a mirror, or a stand-in's folder."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from semiseg.base.errors import UserError
from semiseg.base.files import sha256, write_json
from semiseg.data.arrival.download import fetch_all
from semiseg.data.arrival.folder_adapter import folder_session
from semiseg.data.arrival.http import OpenSession, Patience, fetch_json, mirrored, open_session
from semiseg.data.standin import SERVED
from semiseg.dataset import Dataset, RemoteFile, get_dataset

logger = logging.getLogger(__name__)


def download(spec: Mapping[str, Any], out: Path, standin: Path | None = None, workers: int = 2) -> None:
    """Download the files that the publisher lists into the folder of ``out``, which lists them and is written last.

    spec: ``Specs.download``. standin: manifest of the stand-in whose files take the publisher's place in a rehearsal.
    Files that an earlier call has downloaded completely are kept. Nothing is downloaded when the cases of open parts
    are in the raw folder already. Raises UserError naming the file, the server and the remedy.
    """
    kind = get_dataset(spec["dataset"])
    raw = out.parent.parent.parent / "raw" / kind.name
    if standin is None and _is_there(kind, raw):
        logger.info(f"download {kind.name}: nothing to fetch, its open cases are in {raw}")
        write_json(out, {"dataset": kind.name, "files": {}})
        return
    base, connect = spec["mirror"], open_session
    if standin is not None:
        base, connect = None, lambda patience: folder_session(standin.parent / SERVED)
    files = _listed(kind, base, connect)
    if standin is not None:
        _remove_stale_files(out.parent, files)
    fetch_all(files, out.parent, workers=workers, connect=connect)
    paths = {file.name: out.parent / file.name for file in files}
    listed = {name: {"bytes": path.stat().st_size, "sha256": sha256(path)} for name, path in paths.items()}
    write_json(out, {"dataset": kind.name, "files": listed})


def _is_there(kind: Dataset, raw: Path) -> bool:
    """Whether the raw folder holds every case of the open parts, with its label where there is one."""
    try:
        found = {case.id: case.label is not None for case in kind.find(raw)}
    except (UserError, FileNotFoundError):
        return False
    parts = [part for part in kind.parts if part.open and not part.on_demand]
    wanted = [(case, part.labelled) for part in parts for case in part.cases]
    return bool(wanted) and all(case in found and (found[case] or not labelled) for case, labelled in wanted)


def _listed(kind: Dataset, base: str | None, connect: OpenSession) -> Sequence[RemoteFile]:
    """The open files with the addresses to fetch them from; base: address of the mirror, None for the publisher."""
    if kind.remote is None:
        raise UserError(f"{kind.name} has no open files: {kind.how_to_get}")

    def at(url: str) -> str:
        return url if base is None else mirrored(url, base)

    patience = Patience()
    with connect(patience) as session:
        try:
            files = kind.remote(lambda url: fetch_json(session, at(url), patience))
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise UserError(
                f"the server's list of {kind.name} is not as expected ({error!r}): it has changed; {kind.how_to_get}, "
                f"then run `semiseg import {kind.name} FOLDER_OR_ARCHIVE`"
            ) from None
    return [replace(file, url=at(file.url)) for file in files]


def _remove_stale_files(folder: Path, files: Sequence[RemoteFile]) -> None:
    """Remove the files of an earlier stand-in, because the rule ``raw`` imports whatever lies here."""
    wanted = {folder / file.name for file in files}
    for path in folder.rglob("*"):
        if path.is_file() and path not in wanted:
            path.unlink()
