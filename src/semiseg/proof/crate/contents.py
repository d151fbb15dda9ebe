"""The contents of a crate: the files of a table's chain, hashes of files that are left out, and the workflow."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from semiseg.base.errors import UserError
from semiseg.base.files import canonical, sha256
from semiseg.jobs.manifest import listed_files
from semiseg.jobs.record import OUTSIDE
from semiseg.jobs.scrub import shareable_yaml
from semiseg.proof.crate.absent import ABSENT, WEIGHTS
from semiseg.proof.provenance import Link, recorded_chain

WORKFLOW = "Snakefile"
PARAMS = "params.yaml"
README = "README.md"
BESIDE = (
    PARAMS,
    "constraints.txt",
    WORKFLOW,
    "workflow/Snakefile",
    "workflow/rules/*.smk",
    "workflow/schemas/*.json",
    "workflow/envs/*.yaml",
)
READ_ME = """\
# {target}

This folder is a research object (Workflow Run RO-Crate, profile Provenance Run Crate) that semiseg has written: a table
of semi-supervised 3D medical image segmentation with all that stands behind it. `ro-crate-metadata.json` names every
file with its sha256, and every job with what it read, wrote and ran. `absent.json` names what was left out, by hash:
raw, prepared and predicted volumes{weights}.

To prove the table's numbers, with semiseg installed:

    semiseg unpack THIS_FOLDER PROJECT
    cd PROJECT
    semiseg audit {target}
"""
NO_TEXT = (".png", ".pdf", WEIGHTS)  # not searched for the names of folders


@dataclass(frozen=True)
class Piece:
    """A file of the crate. content: the path of a file of the project, or the bytes of the file."""

    content: Path | bytes
    sha256: str
    bytes: int


@dataclass(frozen=True)
class Contents:
    """The contents of a crate. pieces: path, equal in crate and project -> file. absent: left-out path -> sha256."""

    target: str
    chain: list[Link]
    pieces: dict[str, Piece]
    absent: dict[str, str]


def gather(target: str, with_weights: bool = False, keep_paths: bool = False) -> Contents:
    """Collect everything behind a file of the project in the working folder. Each file is compared with its record.

    keep_paths: leave params.yaml as it is, and accept files that name folders of this machine. Raises UserError for a
    missing record or file, for a file with another hash than recorded, and for a file that names such a folder.
    """
    chain = recorded_chain(target)
    if faults := [link.fault for link in chain if link.fault is not None]:
        raise UserError(f"{target} cannot be exported: {faults[0]}; build it, or see `semiseg audit {target}`")
    pieces: dict[str, Piece] = {}
    absent: dict[str, str] = {}
    for link in chain:
        pieces[str(link.path)] = _piece(link.path)
        for entry in [*link.outputs, *link.inputs]:
            if entry.path.endswith(WEIGHTS) and not with_weights:
                absent[entry.path] = entry.sha256
            elif entry.path != OUTSIDE and entry.path not in pieces:
                pieces[entry.path] = _recorded(entry.path, entry.sha256)
        for entry in link.outputs:
            absent |= {path.as_posix(): sha256 for path, sha256 in listed_files(Path(entry.path)).items()}
    for path in _beside():
        pieces[path] = _params(keep_paths) if path == PARAMS else _piece(Path(path))
    pieces[README] = _text(READ_ME.format(target=target, weights="" if with_weights else ", weights"))
    pieces[ABSENT] = _text(canonical(absent))
    if not keep_paths:
        _check_private(pieces)
    return Contents(target, chain, dict(sorted(pieces.items())), absent)


def _beside() -> Iterator[str]:
    for pattern in BESIDE:
        yield from sorted(path.as_posix() for path in Path().glob(pattern))
    if missing := [name for name in (PARAMS, WORKFLOW) if not Path(name).is_file()]:
        raise UserError(f"{missing[0]} is missing: run from the project's folder")


def _piece(path: Path) -> Piece:
    return Piece(path, sha256(path), path.stat().st_size)


def _text(text: str) -> Piece:
    content = text.encode()
    return Piece(content, hashlib.sha256(content).hexdigest(), len(content))


def _recorded(path: str, expected: str) -> Piece:
    if not Path(path).is_file():
        raise UserError(f"{path} is missing, but a record names it: restore it, or build it with `snakemake {path}`")
    piece = _piece(Path(path))
    if piece.sha256 != expected:
        raise UserError(
            f"{path} is not the file that its record names (expected sha256 {expected}, found {piece.sha256}): restore "
            "it, or build it again"
        )
    return piece


def _params(keep_paths: bool) -> Piece:
    try:
        text = Path(PARAMS).read_text(encoding="utf-8")
        return _text(text if keep_paths else shareable_yaml(text))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{PARAMS} is not valid YAML: {' '.join(str(error).split())}") from None


def _check_private(pieces: dict[str, Piece]) -> None:
    """Raise UserError for a text that names the project's folder or the home folder."""
    folders = [folder for folder in (Path.cwd(), Path.home()) if len(folder.parts) > 1]
    for path, piece in pieces.items():
        if path.endswith(NO_TEXT):
            continue
        content = piece.content if isinstance(piece.content, bytes) else piece.content.read_bytes()
        for folder in folders:
            if str(folder).encode() in content:
                raise UserError(
                    f"{path} names {folder}, a folder of this machine, so it is not exported: take the name out and "
                    "build again, or give --keep-paths"
                )
