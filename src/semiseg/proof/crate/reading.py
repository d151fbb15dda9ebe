"""Reads crates that others have written. Nothing is written before every name in the crate has been checked.

The folder or zip of a crate may hold the files that its description lists, and no others but the cache of audits, which
is passed over. Each file is compared with its hash. Data, results and parameters are copied. The workflow is code, so
it is compared but not copied.
"""

import contextlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

from semiseg.base.errors import UserError
from semiseg.base.files import atomic
from semiseg.data.arrival.archives import CHUNK, Member, members, safe_name
from semiseg.jobs.manifest import listed_files
from semiseg.jobs.record import OUTSIDE, read_record
from semiseg.params.reading import read as read_params
from semiseg.paths import CACHES, LINEAGE
from semiseg.proof.crate.absent import ABSENT, read_absent
from semiseg.proof.crate.contents import PARAMS, README, WORKFLOW

DESCRIPTION = "ro-crate-metadata.json"
LARGEST_DESCRIPTION = 64 << 20  # bytes; a table of 1,500 runs takes about 20 MB
AT_ROOT = (PARAMS, "constraints.txt", ABSENT, DESCRIPTION)
CODE = (".smk", ".yaml", ".json")  # below workflow/
COPIED = (".json", ".csv", ".md", ".tex", ".html", ".png", ".svg", ".pdf", ".safetensors")  # below data/ and results/
UNSAFE_WEIGHTS = (".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".bin", ".npy", ".npz", ".h5", ".tar")


@dataclass(frozen=True)
class Listed:
    """The hash and size of a file in the description."""

    sha256: str
    bytes: int


def unpack_crate(crate: Path, folder: Path) -> list[str]:
    """Make a project folder from a crate (folder or zip). Returns the names of the files that were copied.

    ``folder`` must be new or empty. It is made completely or not at all. Raises UserError naming the file that is
    unsafe, changed, missing or not listed.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} is not empty: give a new folder")
    listed = _description(crate)
    folder.absolute().parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(dir=folder.absolute().parent, prefix=".unpack-"))
    try:
        project = staging / "project"
        found = set(_copy_files(crate, listed, project))
        if missing := sorted(set(listed) - found):
            raise UserError(f"{crate} lacks {missing[0]}, which its description lists: fetch the crate again")
        _check_project(project)
        project.replace(folder)
    finally:
        shutil.rmtree(staging)
    return sorted(name for name in found if _is_copied(name))


def _copy_files(crate: Path, listed: Mapping[str, Listed], project: Path) -> Iterator[str]:
    """Compare every file with its hash, and copy data, results and parameters. Gives the names of all files."""
    for member in _files(crate):
        name = member.name.as_posix()
        if name == DESCRIPTION:
            _write(member, project / name)
            continue
        if name not in listed:
            raise UserError(f"{crate} holds {name!r}, which its description does not list: it is not unpacked")
        digest = _write(member, project / name) if _is_copied(name) else _digest(member)
        if digest != listed[name].sha256 or member.size != listed[name].bytes:
            raise UserError(
                f"{crate}: {name} was changed (expected sha256 {listed[name].sha256}, found {digest}): fetch it again"
            )
        yield name


def _write(member: Member, path: Path) -> str:
    digest = sha256()
    with atomic(path) as temporary, temporary.open("wb") as file:
        for chunk in member.chunks():
            digest.update(chunk)
            file.write(chunk)
    return digest.hexdigest()


def _digest(member: Member) -> str:
    digest = sha256()
    for chunk in member.chunks():
        digest.update(chunk)
    return digest.hexdigest()


# --- the description of a crate --------------------------------------------------------------------------------------


def _description(crate: Path) -> dict[str, Listed]:
    """The files that the description of a crate lists. Every name is checked."""
    where = f"{crate}: {DESCRIPTION}"
    content = b""
    for member in _files(crate):
        if member.name.as_posix() == DESCRIPTION:
            if member.size > LARGEST_DESCRIPTION:
                raise UserError(f"{where} has {member.size} bytes, at most {LARGEST_DESCRIPTION} are read")
            content = b"".join(member.chunks())
    if not content:
        raise UserError(f"{crate} holds no {DESCRIPTION}: give a crate that `semiseg export` has written")
    try:
        entities = json.loads(content)["@graph"]
        files = [entity for entity in entities if "File" in _types(entity)]
        return dict(_listed(entity, where) for entity in files if entity["@id"] != DESCRIPTION)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"{where} is not as `semiseg export` writes it ({error!r}): fetch the crate again") from None


def _types(entity: Mapping[str, Any]) -> list[str]:
    kind = entity["@type"]
    return kind if isinstance(kind, list) else [kind]


def _listed(entity: Mapping[str, Any], where: str) -> tuple[str, Listed]:
    name = unquote(entity["@id"])
    if "://" in name or name.startswith("file:"):
        raise UserError(f"{where} names {name!r}, a file outside the crate: it is not unpacked")
    path = safe_name(name, where)
    _check_kind(path, where)
    return path.as_posix(), Listed(str(entity["sha256"]), int(entity["contentSize"]))


def _check_kind(path: PurePosixPath, where: str) -> None:
    """Raise UserError for hidden files, pickles, and all that is neither data, a result nor the workflow."""
    name = path.as_posix()
    if any(part.startswith(".") for part in path.parts):
        raise UserError(f"{where} names the hidden file {name!r}: it is not unpacked")
    if path.suffix.lower() in UNSAFE_WEIGHTS:
        raise UserError(f"{where} names {name!r}: weights are taken as .safetensors only, other forms can run code")
    if not (_is_copied(name) or _is_workflow(path)):
        raise UserError(
            f"{where} names {name!r}, which is neither data nor a result nor the workflow: it is not unpacked"
        )


def _is_copied(name: str) -> bool:
    return name in AT_ROOT or (name.startswith(("data/", "results/")) and name.endswith(COPIED))


def _is_workflow(path: PurePosixPath) -> bool:
    if path.parts[:1] == ("workflow",):
        return path.name == "Snakefile" or path.suffix in CODE
    return path.as_posix() in (README, WORKFLOW)


# --- the files of a crate --------------------------------------------------------------------------------------------


def _files(crate: Path) -> Iterator[Member]:
    """The files of a crate (folder or zip), without the cache that an audit inside of it wrote.

    Raises UserError for names that lead out of it, links and zip bombs.
    """
    if crate.is_dir():
        yield from filter(_is_content, _folder_files(crate))
    elif crate.suffix == ".zip" and crate.is_file():
        with crate.open("rb") as file:
            yield from filter(_is_content, members(file, str(crate)))
    else:
        raise UserError(f"{crate} is neither a folder nor a .zip file: give a crate that `semiseg export` has written")


def _is_content(member: Member) -> bool:
    return not {PurePosixPath(cache) for cache in CACHES} & set(member.name.parents)


def _folder_files(crate: Path) -> Iterator[Member]:
    for folder, below, names in os.walk(crate):
        below.sort()
        for name in [*below, *sorted(names)]:
            path = Path(folder) / name
            kind = path.lstat().st_mode
            if stat.S_ISDIR(kind):
                continue
            if not stat.S_ISREG(kind):
                raise UserError(f"{path} is a link, device or pipe: it is not unpacked; fetch the crate again")
            inside = safe_name(path.relative_to(crate).as_posix(), str(crate))
            yield Member(inside, path.stat().st_size, lambda path=path: _chunks(path))  # type: ignore[misc]


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


# --- the copied files ------------------------------------------------------------------------------------------------


def _check_project(project: Path) -> None:
    """Raise UserError for damaged or unsafe parameters, records, manifests and weights."""
    with _named_without(project):
        read_params(project / PARAMS)
        read_absent(project)
        for path in sorted(project.rglob("*")):
            if path.name.endswith(LINEAGE):
                record = read_record(path)
                for entry in [*record["inputs"], *record["outputs"]]:
                    if entry["path"] != OUTSIDE:
                        safe_name(entry["path"], str(path))
            elif path.suffix == ".safetensors":
                _check_weights(path)
            elif path.is_file():
                listed_files(path)


@contextlib.contextmanager
def _named_without(project: Path) -> Iterator[None]:
    """Make errors name files by their place in the crate, not in the folder where they are checked."""
    try:
        yield
    except UserError as error:
        raise UserError(str(error).replace(f"{project}/", "")) from None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"the crate holds a record that is not as semiseg writes it ({error!r})") from None


def _check_weights(path: Path) -> None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy"):
            pass
    except SafetensorError as error:
        raise UserError(f"{path} is no safetensors file ({error}): fetch the crate again") from None
