"""Zip files with equal bytes for equal content."""

import zipfile
from collections.abc import Mapping
from pathlib import Path

from semiseg.base.files import atomic

DATE = (1980, 1, 1, 0, 0, 0)  # the earliest that the format can hold


def write_zip(path: Path, members: Mapping[str, bytes | Path], compress: bool = True) -> None:
    """Write the members atomically, sorted by name and with one date. members: name -> content, or a file with it."""
    with (
        atomic(path) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED) as archive,
    ):
        for name, content in sorted(members.items()):
            entry = zipfile.ZipInfo(name, DATE)
            entry.compress_type = archive.compression
            archive.writestr(entry, content.read_bytes() if isinstance(content, Path) else content)
