"""Manifests: the small JSON files that list other files beside them, each with its sha256.

Five rules write one: standin, download, raw, prepare and predict. The name of the file decides how it is read.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from semiseg.base.errors import UserError
from semiseg.base.files import sha256, stamp, write_json
from semiseg.jobs.lock import held
from semiseg.jobs.record import read_plain

CHECKED = ".checked"  # how the name of the file with kept hashes ends
Content = Mapping[str, Any]
Names = Iterator[tuple[str, str]]  # name of a file, relative to the manifest's folder; sha256


def listed_files(manifest: Path) -> dict[Path, str]:
    """The files that a manifest lists -> their sha256; nothing for a file that is no manifest.

    Raises UserError for a manifest that is missing, damaged, or names a file outside its folder.
    """
    read = READERS.get(manifest.name)
    if read is None:
        return {}
    content = read_plain(manifest)
    try:
        return {_inside(manifest, name): str(sha256) for name, sha256 in read(content)}
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UserError(f"{manifest} is not a list of files ({error!r}): restore it, or build it again") from None


def unfit_files(manifest: Path) -> list[Path]:
    """The files that a manifest lists and that are missing or have other content.

    Hashes are kept in a hidden file beside the manifest, so that a file is read again only when it has changed.
    """
    listed, kept = listed_files(manifest), manifest.with_name(f".{manifest.name}{CHECKED}")
    known = _known(kept)
    names = {path.relative_to(manifest.parent).as_posix(): path for path in listed if path.is_file()}
    found = {name: _checked(known, name, path) for name, path in names.items()}
    if found != known:
        with contextlib.suppress(UserError, OSError):  # as in a folder of somebody else
            write_json(kept, found)
    contents = {path: found[name]["sha256"] for name, path in names.items()}
    return [path for path, content in listed.items() if contents.get(path) != content]


def volumes_held(manifest: Path) -> contextlib.AbstractContextManager[bool]:
    """A block in which no other process makes or deletes the volumes of a manifest (``semiseg.jobs.lock.held``)."""
    return held(manifest.with_name(f".{manifest.name}.lock"), f"volumes of {manifest}")


def fits(manifest: Path, path: Path) -> bool:
    """Whether a file is here with the content that its manifest lists."""
    return manifest.exists() and path.is_file() and listed_files(manifest).get(path) == sha256(path)


def _known(kept: Path) -> Mapping[str, Any]:
    with contextlib.suppress(UserError, OSError):
        content = read_plain(kept) if kept.exists() else {}
        return content if isinstance(content, dict) else {}
    return {}


def _checked(known: Mapping[str, Any], name: str, path: Path) -> dict[str, Any]:
    """Stamp and sha256 of a file; the kept ones where the stamp is still the same."""
    entry, now = known.get(name), stamp(path)
    if isinstance(entry, dict) and entry.get("stamp") == now and isinstance(entry.get("sha256"), str):
        return entry
    return {"stamp": now, "sha256": sha256(path)}


def manifest_of(path: Path) -> Path | None:
    """The manifest that lists this file, looked for in the folders above it, or None."""
    for folder in path.parents:
        for name in READERS:
            with contextlib.suppress(UserError):
                if (folder / name).exists() and path in listed_files(folder / name):
                    return folder / name
    return None


def _inside(manifest: Path, name: str) -> Path:
    """The path of a listed file. Raises UserError for a name that leads out of the manifest's folder."""
    plain = PurePosixPath(name)
    if plain.is_absolute() or ".." in plain.parts or "\\" in name:
        raise UserError(f"{manifest} names a file outside its folder ({name!r}): restore it, or build it again")
    return manifest.parent / plain


def _standin(content: Content) -> Names:
    yield from content["files"].items()


def _raw(content: Content) -> Names:
    yield from ((name, facts["sha256"]) for name, facts in content["files"].items())


def _prepared(content: Content) -> Names:
    yield from ((facts["file"], facts["sha256"]) for facts in content["cases"].values())


def _predicted(content: Content) -> Names:
    yield from ((f"predictions/{name}", sha256) for name, sha256 in content["files"].items())


READERS: Mapping[str, Callable[[Content], Names]] = {
    "standin.json": _standin,
    "archives.json": _raw,
    "manifest.json": _raw,
    "index.json": _prepared,
    "predictions.json": _predicted,
}
