"""A writer of DICOM files that leaves out, empties or spoils what it is told to: explicit little endian, no library."""

import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np

PLAIN = "1.2.840.10008.1.2.1"  # explicit little endian
CT, MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"
LONG = ("OB", "OW", "SQ", "UN", "UT")
Tag = tuple[int, int]
Value = str | bytes | None  # None leaves the tag out


def element(tag: Tag, kind: str, value: str | bytes) -> bytes:
    """A data element with explicit value representation."""
    content = value.encode("latin-1") if isinstance(value, str) else value
    content += b" "[: len(content) % 2] if kind not in ("UI", "OB") else b"\0"[: len(content) % 2]
    size = struct.pack("<xxI" if kind in LONG else "<H", len(content))
    return struct.pack("<HH", *tag) + kind.encode() + size + content


def slice_bytes(
    rows: np.ndarray, z: float, changes: Mapping[Tag, tuple[str, Value]] | None = None, syntax: str = PLAIN
) -> bytes:
    """A CT slice of uint16 or int16 rows [y x] at z mm, 0.8 x 0.8 mm, HU = stored - 1024, with some tags changed."""
    number = lambda *values: struct.pack(f"<{len(values)}H", *values)  # noqa: E731
    tags: dict[Tag, tuple[str, Value]] = {
        (0x08, 0x16): ("UI", CT), (0x08, 0x18): ("UI", f"1.2.3.9.{abs(int(z * 100))}"), (0x08, 0x60): ("CS", "CT"),
        (0x20, 0x0E): ("UI", "1.2.3.4"), (0x20, 0x32): ("DS", f"1.5\\2\\{z}"), (0x20, 0x37): ("DS", "1\\0\\0\\0\\1\\0"),
        (0x28, 0x02): ("US", number(1)), (0x28, 0x04): ("CS", "MONOCHROME2"),
        (0x28, 0x10): ("US", number(rows.shape[0])), (0x28, 0x11): ("US", number(rows.shape[1])),
        (0x28, 0x30): ("DS", "0.8\\0.8"), (0x28, 0x100): ("US", number(16)), (0x28, 0x101): ("US", number(16)),
        (0x28, 0x102): ("US", number(15)), (0x28, 0x103): ("US", number(int(rows.dtype.kind == "i"))),
        (0x28, 0x1052): ("DS", "-1024"), (0x28, 0x1053): ("DS", "1"),
        **(changes or {}),
    }  # fmt: skip
    kept = {tag: (kind, value) for tag, (kind, value) in tags.items() if value is not None}
    body = b"".join(element(tag, kind, value) for tag, (kind, value) in sorted(kept.items()))
    meta = element((2, 2), "UI", str(tags[(0x08, 0x16)][1])) + element((2, 0x10), "UI", syntax)
    meta = element((2, 0), "UL", struct.pack("<I", len(meta))) + meta
    pixels = element((0x7FE0, 0x10), "OW", rows.tobytes())
    if syntax != PLAIN:  # without an offset table, in one fragment
        item = lambda number, content: struct.pack("<HHI", 0xFFFE, number, len(content)) + content  # noqa: E731
        start = struct.pack("<HH2sxxI", 0x7FE0, 0x10, b"OB", 0xFFFFFFFF)
        pixels = start + item(0xE000, b"") + item(0xE000, rows.tobytes()) + item(0xE0DD, b"")
    return bytes(128) + b"DICM" + meta + body + pixels


def structured_report() -> bytes:
    """A DICOM object without an image."""
    uid = "1.2.840.10008.5.1.4.1.1.88.33"
    meta = element((2, 2), "UI", uid) + element((2, 0x10), "UI", "1.2.840.10008.1.2.1")
    body = element((0x08, 0x16), "UI", uid) + element((0x08, 0x60), "CS", "SR") + element((0x20, 0x0E), "UI", "1.9")
    return bytes(128) + b"DICM" + element((2, 0), "UL", struct.pack("<I", len(meta))) + meta + body


def write_series(folder: Path, volume: np.ndarray, **named: Mapping[Tag, tuple[str, Value]]) -> None:
    """Slices of stored numbers [z y x], 2.5 mm apart, 1-01.dcm the lowest. named: changes per file (``s05``)."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, rows in enumerate(volume, 1):
        content = slice_bytes(rows, -30 + 2.5 * (number - 1), named.get(f"s{number:02d}"))
        (folder / f"1-{number:02d}.dcm").write_bytes(content)
