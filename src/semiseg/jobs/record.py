"""Lineage records: a file beside a job's main output that names, by content, all that the job read, wrote and ran.

A record's ``id`` is a digest of what decides the result: rule, parameters, code, and the bits of inputs and outputs
with the ids of the inputs' records. Two machines that build the same thing get the same id. Commit, environment and
times are recorded too, but the id does not depend on them. ``seal`` is a digest of the whole record.
"""

import json
import posixpath
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from semiseg.base.errors import UserError
from semiseg.base.files import canonical, digest, read_json, sha256, write_json
from semiseg.paths import LINEAGE, record_path

ENTRY = ("path", "sha256", "bytes", "record")
OUTSIDE = "(outside the project)"
DECIDING = ("rule", "params", "code", "inputs", "outputs")
# Files with seconds and memory in them. They differ from run to run, so no id depends on them.
MEASURED = re.compile(r"cost\.json|.*\.cost\.csv|.*\.html")
Record = dict[str, Any]


def write_record(
    rule: str,
    params: Mapping[str, Any],
    code: Mapping[str, str],
    inputs: Sequence[Path],
    outputs: Sequence[Path],
    context: Mapping[str, Any],
) -> Record:
    """Write and return the record of a job that has just ended. Its first output is the main one.

    code: hash per module. inputs, outputs: files relative to the project's folder, where the job ran. context: seed,
    source, environment and time of the job; the id does not depend on them.
    """
    content = {**_content(rule, params, code, inputs, outputs), **context}
    content["id"] = identity(content)
    content["seal"] = seal(content)
    write_json(record_path(outputs[0]), content)
    return content


def identity_of(
    rule: str, params: Mapping[str, Any], code: Mapping[str, str], inputs: Sequence[Path], outputs: Sequence[Path]
) -> str:
    """The id that the record of a job will have, once all outputs are written that are not measured files."""
    written = [path for path in outputs if not is_measured(path.name)]
    return identity(recorded(_content(rule, params, code, inputs, written)))


def _content(
    rule: str, params: Mapping[str, Any], code: Mapping[str, str], inputs: Sequence[Path], outputs: Sequence[Path]
) -> Record:
    return {
        "rule": rule,
        "params": shareable(params),
        "code": {"hash": digest(dict(code)), "modules": dict(code)},
        "inputs": [{**_entry(path), "record": made_by(path)} for path in inputs],
        "outputs": [_entry(path) for path in outputs],
    }


def read_record(path: Path | str) -> Record:
    """Read a record. Raises UserError when it is missing or damaged, or is not the bytes that were written."""
    path = Path(path)
    made, content = str(path).removesuffix(LINEAGE), read_plain(path)
    if not isinstance(content, dict) or path.read_bytes() != canonical(content).encode("utf-8", "surrogatepass"):
        raise UserError(f"{path} is not as it was written: restore it, or build {made} again")
    changed = UserError(f"{path} was changed: its content does not fit its seal; restore it, or build it again")
    if content.get("seal") != seal(content):
        raise changed
    if not _is_whole(content):
        raise UserError(f"{path} is not a lineage record: restore it, or build {made} again")
    if content["id"] != identity(content):
        raise changed
    return content


def read_plain(path: Path) -> Any:
    """Content of a JSON file from an unknown hand. Raises UserError for anything that is no file or no JSON.

    PermissionError for a file that is closed to this user, because it need not be made again.
    """
    if path.exists() and not path.is_file():
        raise UserError(f"{path} is {kind_of(path)}: delete it, and build it again")
    try:
        return read_json(path)
    except PermissionError:
        raise
    except (OSError, ValueError, RecursionError) as error:  # as for a loop of links, or nesting without end
        raise UserError(f"{path} cannot be read ({_reason(error)}): delete it, and build it again") from None


def kind_of(path: Path) -> str:
    """What lies at a path where a file is expected, in words."""
    return "a folder, not a file" if path.is_dir() else "a pipe or device, not a file"


def _reason(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or " ".join(str(error).split())


def _is_whole(content: Mapping[str, Any]) -> bool:
    """Whether a record has all parts that this package reads, and names no file outside the project."""
    sides, code = [content.get("inputs"), content.get("outputs")], content.get("code")
    if not all(isinstance(content.get(name), kind) for name, kind in (("rule", str), ("params", dict), ("id", str))):
        return False
    if not isinstance(code, dict) or not isinstance(code.get("hash"), str) or not isinstance(code.get("modules"), dict):
        return False
    if not all(isinstance(content.get(name, {}), dict) for name in ("source", "environment", "time")):
        return False
    seed = content["params"].get("seed")
    return all(map(_is_side, sides)) and bool(content["outputs"]) and content.get("seed", seed) == seed


def _is_side(side: Any) -> bool:
    """Whether this is the list of inputs or of outputs of a record, each file named once."""
    if not isinstance(side, list) or not all(map(_is_entry, side)):
        return False
    paths = [entry["path"] for entry in side if entry["path"] != OUTSIDE]
    return len(paths) == len(set(paths))


def _is_entry(entry: Any) -> bool:
    if not isinstance(entry, dict) or not {"path", "sha256", "bytes"} <= set(entry) <= {*ENTRY}:
        return False
    path, record = entry["path"], entry.get("record")
    named = isinstance(path, str) and (path == OUTSIDE or shareable(path) == path)
    inside = named and ".." not in path.split("/")
    plain = named and (path == OUTSIDE or posixpath.normpath(path) == path)  # no other spelling of the same file
    texts = isinstance(entry["sha256"], str) and (record is None or isinstance(record, str))
    return inside and plain and texts and type(entry["bytes"]) is int


def identity(record: Mapping[str, Any]) -> str:
    """Id of a record: digest of what decides the result, without measured files."""
    deciding = {name: record.get(name) for name in DECIDING}
    deciding["code"] = (record.get("code") or {}).get("hash")
    for side in ("inputs", "outputs"):
        kept = (entry for entry in record.get(side) or () if not is_measured(entry["path"]))
        deciding[side] = [{name: entry.get(name) for name in ("path", "sha256", "record")} for entry in kept]
    return digest(deciding)


def seal(record: Mapping[str, Any]) -> str:
    """Digest of everything in a record except the seal itself."""
    return digest({name: value for name, value in record.items() if name != "seal"})


def is_measured(path: str) -> bool:
    """Whether a file holds measured seconds or memory, on which no id depends."""
    return MEASURED.fullmatch(posixpath.basename(path)) is not None


def made_by(path: Path) -> str | None:
    """Id of the record beside this file that names it among its outputs, or None."""
    own = Path(record_path(path))
    for candidate in [own] if own.exists() else sorted(path.parent.glob(f"*{LINEAGE}")):
        record = read_record(candidate)
        if any(Path(entry["path"]).name == path.name for entry in record["outputs"]):
            return str(record["id"])
    return None


def recorded(spec: Mapping[str, Any]) -> Any:
    """Parameters of a job in the form in which a record holds them."""
    return json.loads(json.dumps(shareable(spec)))


def shareable(value: Any) -> Any:
    """Parameters without paths outside the project and without passwords in addresses, which must not be shared."""
    if isinstance(value, Mapping):
        return {key: shareable(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [shareable(inner) for inner in value]
    return _shareable_text(value) if isinstance(value, str) else value


def _shareable_text(text: str) -> str:
    if re.match(r"(?!file:)\w+://", text):
        parts = urlsplit(text)
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
    return OUTSIDE if re.match(r"/|~\w*(/|$)|\.\.(/|$)|[A-Za-z]:[\\/]|file:", text) else text


def _entry(path: Path) -> dict[str, Any]:
    return {"path": shareable(_relative(path)), "sha256": sha256(path), "bytes": path.stat().st_size}


def _relative(path: Path) -> str:
    return path.relative_to(Path.cwd()).as_posix() if path.is_relative_to(Path.cwd()) else path.as_posix()
