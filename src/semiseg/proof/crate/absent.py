"""Files that a crate leaves out on purpose. Their hashes lie at its root, and in a project unpacked from it."""

from pathlib import Path

from semiseg.base.errors import UserError
from semiseg.data.arrival.archives import safe_name
from semiseg.jobs.record import read_plain

ABSENT = "absent.json"
WEIGHTS = ".safetensors"  # nothing else is left out, except for volumes, which are named by manifests


def read_absent(folder: Path) -> dict[str, str]:
    """The left-out files, path in the project -> sha256; empty for a folder that was not unpacked from a crate.

    Raises UserError for a list that is damaged, or that names a file outside the project.
    """
    path = folder / ABSENT
    if not path.exists():
        return {}
    content = read_plain(path)
    if not isinstance(content, dict) or not all(isinstance(value, str) for value in content.values()):
        raise UserError(f"{path} is not a list of left-out files with their sha256: unpack the crate again")
    for name in content:
        safe_name(name, str(path))
    return content
