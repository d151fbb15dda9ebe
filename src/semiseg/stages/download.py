"""Rule ``download``: the open archives of a dataset, from its publisher, a mirror, or a stand-in served on loopback."""

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import requests

from semiseg.base.errors import UserError
from semiseg.base.files import sha256, write_json
from semiseg.data.arrival.download import fetch_all
from semiseg.data.arrival.http import Patience, ask_json
from semiseg.data.arrival.mirror import mirrored, serve
from semiseg.data.standin import SERVED
from semiseg.dataset import Dataset, RemoteFile, get_dataset

logger = logging.getLogger(__name__)


def download(spec: Mapping[str, Any], out: Path, standin: Path | None = None, workers: int = 2) -> None:
    """Fetch the files that the publisher lists beside ``out``, which lists them and is written last.

    spec: ``Plan.download``. standin: list of the stand-in whose files are served here in a rehearsal. What an earlier
    call has fetched whole is kept; nothing is fetched when the cases of the open parts are in the raw folder already.
    Raises UserError saying what cannot be had, from where, and what to do.
    """
    kind = get_dataset(spec["dataset"])
    raw = out.parent.parent.parent / "raw" / kind.name
    if standin is None and _is_there(kind, raw):
        logger.info(f"download {kind.name}: nothing to fetch, its open cases are in {raw}")
        write_json(out, {"dataset": kind.name, "files": {}})
        return
    with _server(spec, standin) as (base, session):
        files = _listed(kind, base, session)
        if standin is not None:
            _drop_strangers(out.parent, files)
        fetch_all(files, out.parent, workers=workers, session=session)
    paths = {file.name: out.parent / file.name for file in files}
    listed = {name: {"bytes": path.stat().st_size, "sha256": sha256(path)} for name, path in paths.items()}
    write_json(out, {"dataset": kind.name, "files": listed})


def _is_there(kind: Dataset, raw: Path) -> bool:
    """Whether an earlier import has brought every case of the open parts, with its label where there is one."""
    try:
        found = {case.id: case.label is not None for case in kind.find(raw)}
    except (UserError, FileNotFoundError):
        return False
    parts = [part for part in kind.parts if part.open and not part.bulky]
    wanted = [(case, part.labelled) for part in parts for case in part.cases]
    return bool(wanted) and all(case in found and (found[case] or not labelled) for case, labelled in wanted)


OpenSession = Callable[[], requests.Session]


@contextlib.contextmanager
def _server(spec: Mapping[str, Any], standin: Path | None) -> Iterator[tuple[str | None, OpenSession]]:
    """Base address of the server in the publisher's place (None: the publisher), and how to open a session with it."""
    if standin is not None:
        with serve(standin.parent / SERVED) as base:
            yield base, _direct_session
    else:
        yield spec["mirror"], requests.Session


def _direct_session() -> requests.Session:
    """A session past any proxy: loopback is not reached through one."""
    session = requests.Session()
    session.trust_env = False
    return session


def _listed(kind: Dataset, base: str | None, session: OpenSession) -> Sequence[RemoteFile]:
    """The open files with the addresses to fetch them from."""
    if kind.remote is None:
        raise UserError(f"{kind.name} has no open files: {kind.how_to_get}")

    def at(url: str) -> str:
        return url if base is None else mirrored(url, base)

    with session() as own:
        try:
            files = kind.remote(lambda url: ask_json(own, at(url), Patience()))
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise UserError(
                f"the server's list of {kind.name} is not as expected ({error!r}): it has changed; {kind.how_to_get}, "
                f"then run `semiseg import {kind.name} FOLDER_OR_ARCHIVE`"
            ) from None
    return [replace(file, url=at(file.url)) for file in files]


def _drop_strangers(folder: Path, files: Sequence[RemoteFile]) -> None:
    """Remove what an earlier stand-in had served: it would be brought as well."""
    wanted = {folder / file.name for file in files}
    for path in folder.rglob("*"):
        if path.is_file() and path not in wanted:
            path.unlink()
