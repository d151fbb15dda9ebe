"""Tags of DICOM files: whether a file is a slice, where the slice lies, and how its numbers are rescaled.

Data elements and value representations: DICOM PS3.5; attributes of an image plane: PS3.3, C.7.6.2.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from semiseg.base.errors import UserError
from semiseg.base.volume import Array

NO_DICOM = "no DICOM"
ORTHONORMAL = 2e-3  # by which rounded direction cosines may miss length 1 and right angles

DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
PROMISING = re.compile(r".*\.(dcm|dicom|ima)(\.[^.]*)?", re.IGNORECASE)  # names that promise a slice
START = 4096  # bytes of a file that hold its first data elements
CLASSES = "1.2.840.10008.5.1.4.1.1."
SYNTAXES = {  # that GDCM reads (DICOM PS3.6, table A-1): plain, deflated, RLE, JPEG, JPEG-LS, JPEG 2000
    *(f"1.2.840.10008.1.2{rest}" for rest in ("", ".1", ".1.99", ".2", ".5")),
    *(f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 57, 70, 80, 81, 90, 91)),
}
OBJECTS = {  # DICOM objects that are no slices, by the start of their SOP class (DICOM PS3.4, B.5)
    "1.2.840.10008.1.3.10": "index of a medium",
    f"{CLASSES}88.": "structured report",
    f"{CLASSES}11.": "presentation state",
    f"{CLASSES}104.": "encapsulated document",
    f"{CLASSES}9.": "waveform",
    f"{CLASSES}66": "raw data, registration or segmentation",
    f"{CLASSES}67": "real world value mapping",
    f"{CLASSES}68.": "surface",
    f"{CLASSES}200.": "procedure protocol",
    f"{CLASSES}481.": "object of radiotherapy",
}


def other_kind(name: str, file: Path) -> str | None:
    """What a file is that is no slice, for the log; None for a slice. The content decides, and then the name."""
    with file.open("rb") as opened:
        start = opened.read(START)
    elements = start[132:] if start[128:132] == b"DICM" else start
    if elements[:2] not in (b"\2\0", b"\x08\0"):  # the groups with which a DICOM file starts, with preamble or without
        return None if PROMISING.fullmatch(name) else NO_DICOM
    uid = _text(elements, (0x0002, 0x0002), (0x0008, 0x0016))
    return next((kind for prefix, kind in OBJECTS.items() if uid.startswith(prefix)), None)


def unread_syntax(file: Path) -> str | None:
    """Transfer syntax of a DICOM file where GDCM does not read it, None where it does or the file names none."""
    with file.open("rb") as opened:
        start = opened.read(START)
    uid = _text(start[132:], (0x0002, 0x0010)) if start[128:132] == b"DICM" else ""
    return uid if uid and uid not in SYNTAXES else None


def _text(elements: bytes, *wanted: tuple[int, int]) -> str:
    """The first of these tags among the first data elements of a DICOM file, little endian; empty without any."""
    at = 0
    while at + 8 <= len(elements):
        group, element = (int.from_bytes(elements[at + k : at + k + 2], "little") for k in (0, 2))
        kind = elements[at + 4 : at + 6]
        if kind in (b"OB", b"OW", b"SQ", b"UN", b"UT"):
            start, size = at + 12, int.from_bytes(elements[at + 8 : at + 12], "little")
        elif kind.isalpha() and kind.isupper():
            start, size = at + 8, int.from_bytes(elements[at + 6 : at + 8], "little")
        else:  # implicit value representation
            start, size = at + 8, int.from_bytes(elements[at + 4 : at + 8], "little")
        if (group, element) in wanted:
            return elements[start : start + size].decode("ascii", "replace").strip(" \0")
        if group > 0x0008 or start + size > len(elements):
            break
        at = start + size
    return ""


@dataclass(frozen=True)
class Tags:
    """The tags of a slice as texts. Each method raises UserError where a tag is missing or no plain number."""

    tags: Mapping[str, str]
    where: str

    def read(self, key: str, what: str, count: int) -> list[float]:
        """So many numbers of a tag."""
        texts = [text.strip() for text in self.tags.get(key, "").split("\\")]
        values = [float(text) for text in texts if DECIMAL.fullmatch(text)]
        if len(texts) != count or len(values) != count or not np.isfinite(values).all():
            self._refuse(key, what, f"{count} numbers" if count > 1 else "a number")
        return values

    def positive(self, key: str, what: str, count: int) -> list[float]:
        """So many numbers above 0."""
        values = self.read(key, what, count)
        if min(values) <= 0:
            self._refuse(key, what, f"{count} numbers above 0")
        return values

    def directions(self) -> Array:
        """Unit vectors of rows, of columns and of the normal as columns, made exactly orthogonal."""
        key, what = "0020|0037", "orientation"
        row, column = np.array(self.read(key, what, 6)).reshape(2, 3)
        if max(abs(row @ row - 1), abs(column @ column - 1), abs(row @ column)) > ORTHONORMAL:
            self._refuse(key, what, "two unit vectors at right angles")
        normal = _unit(np.cross(row, column))
        row = _unit(np.cross(column, normal))
        return np.stack([row, np.cross(normal, row), normal], 1)

    def rescaling(self) -> tuple[float, float]:
        """Slope and intercept. CT must state both (HU); other scans without both hold the stored numbers."""
        slope, intercept = "0028|1053", "0028|1052"
        if slope not in self.tags and intercept not in self.tags and self.tags.get("0008|0060") != "CT":
            return 1.0, 0.0
        values = self.read(slope, "rescale slope", 1)[0], self.read(intercept, "rescale intercept", 1)[0]
        if values[0] == 0:
            self._refuse(slope, "rescale slope", "a number other than 0")
        return values

    def _refuse(self, key: str, what: str, expected: str) -> None:
        found = f"the {what} {self.tags[key]!r}" if self.tags.get(key) else f"no {what}"
        tag = key.replace("|", ",")
        raise UserError(
            f"{self.where} has {found} (tag {tag}), expected {expected}: correct the tag, or export it again"
        )


def _unit(vector: Array) -> Array:
    return np.asarray(vector / np.linalg.norm(vector))


def padded_pixels(tags: Mapping[str, str], pixels: Array, slope: float, intercept: float) -> int:
    """Number of pixels with the stored value that marks padding (0028,0120), or up to its limit (0028,0121)."""
    ends = [int(tags[key]) for key in ("0028|0120", "0028|0121") if re.fullmatch(r"-?\d+", tags.get(key, ""))]
    if "0028|0120" not in tags or not ends:
        return 0
    if tags.get("0028|0103") == "1":  # signed pixels; some writers store the value as if it were unsigned
        ends = [end - (1 << 16) if end >= 1 << 15 else end for end in ends]
    stored = np.rint((pixels - intercept) / slope)
    return int(((stored >= min(ends)) & (stored <= max(ends))).sum())
