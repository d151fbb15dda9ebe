"""Reader of NRRD (https://teem.sourceforge.net/nrrd/format.html) for a ``Volume``, as strict as that of NIfTI.

SimpleITK reads such files too, but not their units, and puts 1 mm where a spacing is missing or is no number. It
ignores bytes beyond the data. Here each field of the header is used, has no bearing on place and values, or is refused.
"""

import bz2
import gzip
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from semiseg.base.errors import UserError
from semiseg.base.volume import Array, Volume
from semiseg.data.geometry import SAME_MM, Affine, spacing_of
from semiseg.data.images import DAMAGED, NO_UNIT, check_spacing, checked, reason_of, require

NO_SPACE = "the header names no space, LPS is assumed"
NO_DIRECTIONS = "the header names no directions of the axes, those of its space are assumed"
NO_ORIGIN = "the header names no origin, 0 is assumed"
START = re.compile(rb"NRRD000[1-5]\r?\n")
END = re.compile(rb"\r?\n\r?\n")
QUOTED = re.compile(r'"[^"]*"|[^"\s]+')
VECTOR = re.compile(r"\(([^)]*)\)|none")
USED = {
    *("type", "dimension", "sizes", "encoding", "endian", "kinds"),
    *("space", "spacedimension", "spacedirections", "spaceorigin", "spaceunits", "spacings", "units"),
}
WITHOUT_BEARING = {
    *("content", "number", "min", "max", "labels", "sampleunits", "thicknesses", "centers", "centerings"),
    "measurementframe",
}
SIGNS = {  # of the space's axes in RAS
    "right-anterior-superior": (1, 1, 1),
    "left-anterior-superior": (-1, 1, 1),
    "left-posterior-superior": (-1, -1, 1),
}
SIGNS |= {"".join(word[0] for word in name.split("-")): signs for name, signs in SIGNS.items()}
UNITS_MM = {
    **dict.fromkeys(("mm", "millimeter", "millimeters", "millimetre", "millimetres"), 1.0),
    **dict.fromkeys(("cm", "centimeter", "centimeters", "centimetre", "centimetres"), 10.0),
    **dict.fromkeys(("m", "meter", "meters", "metre", "metres"), 1000.0),
    **dict.fromkeys(("um", "\u00b5m", "\u03bcm", "micron", "microns", "micrometer", "micrometre"), 0.001),
}
NUMBERS = {
    "i1": ("signed char", "int8", "int8_t"),
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "i8": ("longlong", "long long", "long long int", "signed long long", "signed long long int", "int64", "int64_t"),
    "u8": ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),
    "f4": ("float",),
    "f8": ("double",),
}
KINDS = {name: kind for kind, names in NUMBERS.items() for name in names}
ORDERS = {"little": "<", "big": ">"}
UNPACKED: Mapping[str, Callable[[bytes], bytes]] = {
    "raw": bytes,
    **dict.fromkeys(("gz", "gzip"), gzip.decompress),
    **dict.fromkeys(("bz2", "bzip2"), bz2.decompress),
}
TEXT = ("txt", "text", "ascii")
Fields = Mapping[str, str]


@np.errstate(invalid="ignore", over="ignore")  # headers that hold no number or one out of reach are refused by name
def read_nrrd(path: Path) -> Volume:
    """Read .nrrd with its data in the same file. Lengths are scaled to mm by the header's unit.

    The volume's notes say what was assumed because the header leaves it open. Raises UserError if the file is missing,
    damaged, or longer or shorter than its header states, for a spacing that is missing or no number, for a field that
    is not used here and may change place or values, and for all that ``checked`` refuses.
    """
    require(path)
    try:
        fields, data = _parts(path.read_bytes())
        shape = tuple(int(side) for side in fields["sizes"].split())
        _check_fields(fields, shape, path)
        array = _array(fields, shape, data, path)
        affine, notes = _place(fields, shape, path)
    except UserError:
        raise
    except KeyError as error:
        raise UserError(f"{path} cannot be read as NRRD (its header has no field {error}): {DAMAGED}") from None
    except Exception as error:  # numbers that are none, packed data that is damaged
        raise UserError(f"{path} cannot be read as NRRD ({reason_of(error)}): {DAMAGED}") from None
    return checked(Volume(array, affine, notes), path)


def _parts(content: bytes) -> tuple[Fields, bytes]:
    """Fields by their names in small letters without blanks, and what follows the header."""
    start = START.match(content)
    if start is None:
        raise ValueError("it does not start with NRRD000 and a version")
    end = END.search(content, start.end() - 1)
    if end is None:
        raise ValueError("its header does not end")
    fields: dict[str, str] = {}
    for line in content[start.end() : end.start()].decode("utf-8", "replace").splitlines():
        name, colon, value = line.partition(":")
        if line.startswith("#") or value.startswith("="):  # a comment, or a key of the user's
            continue
        name = "".join(name.lower().split())
        if not colon or name in fields:
            raise ValueError(f"its header has the line {line!r}" + (" after another of that name" if colon else ""))
        fields[name] = value.strip()
    return fields, content[end.end() :]


def _check_fields(fields: Fields, shape: tuple[int, ...], path: Path) -> None:
    if "datafile" in fields:
        raise UserError(
            f"{path} keeps its voxels in another file ({fields['datafile']}), which no manifest lists: save header and "
            "voxels as one .nrrd"
        )
    skips = {name for name in ("lineskip", "byteskip") if fields.get(name) == "0"}
    if unknown := sorted(set(fields) - USED - WITHOUT_BEARING - skips):
        raise UserError(
            f"{path} has the field {unknown[0]} in its header, which may change place or values and is not read: save "
            "it again without that field, as 3D Slicer or SimpleITK do"
        )
    kinds = fields.get("kinds", "").split()
    if len(shape) != 3:
        raise UserError(f"{path} has shape {shape}, expected one 3-D volume: keep one volume per file")
    if other := [kind for kind in kinds if kind not in ("domain", "space", "???", "none")]:
        raise UserError(
            f"{path} has an axis of kind {other[0]}, expected three axes of space: keep one volume per file"
        )
    if int(fields["dimension"]) != len(shape):
        raise ValueError(f"its header has dimension {fields['dimension']} and {len(shape)} sizes")


def _array(fields: Fields, shape: tuple[int, ...], data: bytes, path: Path) -> Array:
    encoding, name = fields["encoding"].lower(), fields["type"].lower()
    if name not in KINDS:
        raise UserError(f"{path} has the type {name}, expected one number per voxel: convert it")
    if encoding in TEXT:
        return _filled(np.array(data.split(), KINDS[name]), shape, path)
    if encoding not in UNPACKED:
        raise UserError(f"{path} has the encoding {encoding}, which is not read: save it again as raw or gzip")
    unpacked = UNPACKED[encoding](data)
    kind = np.dtype(KINDS[name])
    if kind.itemsize > 1:
        kind = np.dtype(ORDERS[fields["endian"].lower()] + KINDS[name])
    rest = len(unpacked) - kind.itemsize * int(np.prod(shape))
    if rest > 0:
        raise UserError(f"{path} holds {rest} bytes more than its header states: {DAMAGED}")
    if rest < 0:
        raise ValueError(f"{-rest} bytes of its voxels are missing")
    return np.frombuffer(unpacked, kind).reshape(shape, order="F")


def _filled(numbers: Array, shape: tuple[int, ...], path: Path) -> Array:
    rest = numbers.size - int(np.prod(shape))
    if rest > 0:
        raise UserError(f"{path} holds {rest} numbers more than its header states: {DAMAGED}")
    if rest < 0:
        raise ValueError(f"{-rest} numbers of its voxels are missing")
    return numbers.reshape(shape, order="F")


def _place(fields: Fields, shape: tuple[int, ...], path: Path) -> tuple[Affine, tuple[str, ...]]:
    """The affine in mm (RAS), and what was assumed for it."""
    scale, notes = _unit(fields, path)
    affine = np.eye(4)
    spacing = [float(length) for length in fields["spacings"].split()] if "spacings" in fields else None
    if "spacedirections" in fields:
        affine[:3, :3] = _directions(fields["spacedirections"], path)
        off = 0 if spacing is None else abs(np.array(spacing_of(affine)) - spacing) * scale * (np.array(shape) - 1)
        if not np.max(off) <= SAME_MM:
            raise UserError(f"{path} has spacings that differ from its space directions: correct its header")
    elif spacing is None:
        raise UserError(f"{path} has no spacing (neither space directions nor spacings): add it to its header")
    else:
        check_spacing([length * scale for length in spacing], path)
        affine[:3, :3] = np.diag(spacing)
        notes += (NO_DIRECTIONS,)
    if "spaceorigin" in fields:
        affine[:3, 3] = _vectors(fields["spaceorigin"])[0]
    else:
        notes += (NO_ORIGIN,)
    affine[:3] *= scale
    space = fields.get("space", "").lower()
    if space and space not in SIGNS:
        raise UserError(
            f"{path} lies in the space {fields['space']}, which names no directions of the body, expected LPS, RAS or "
            "LAS: correct its header"
        )
    if not space:
        notes += (NO_SPACE,)
    affine[:3] *= np.array(SIGNS[space or "lps"])[:, None]
    return affine + 0.0, notes  # no minus zero


def _directions(text: str, path: Path) -> Affine:
    vectors = _vectors(text)
    if any(vector is None for vector in vectors):
        raise UserError(f"{path} has no direction for one of its axes (none), expected three: correct its header")
    return np.array(vectors).T


def _vectors(text: str) -> list[list[float] | None]:
    """Vectors such as ``(1,0,0)``; None for ``none``."""
    found = [
        None if vector[0] == "none" else [float(part) for part in vector[1].split(",")]
        for vector in VECTOR.finditer(text)
    ]
    if VECTOR.sub("", text).strip() or any(vector is not None and len(vector) != 3 for vector in found):
        raise ValueError(f"it has the vectors {text}")
    return found


def _unit(fields: Fields, path: Path) -> tuple[float, tuple[str, ...]]:
    """Factor from the header's unit of length to mm, and a note where it names none."""
    texts = [text for name in ("spaceunits", "units") for text in QUOTED.findall(fields.get(name, ""))]
    named = {text.strip('"').strip() for text in texts} - {"", "???"}
    if not named:
        return 1.0, (NO_UNIT,)
    factors = {UNITS_MM.get(name, np.nan) for name in named}
    if len(factors) > 1 or np.nan in factors:
        raise UserError(
            f"{path} has the units {', '.join(sorted(named))}, expected one of mm, cm, m and um for all axes: correct "
            "its header"
        )
    return factors.pop(), ()
