"""Random raw cases: NIfTI and NRRD in every form that a header allows, sound ones and faulty ones.

A case knows where its voxels lie in the patient, by the numbers that its header was made from and not by reading it.
"""

import bz2
import gzip
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

PER_MM = {0: 1.0, 1: 1e-3, 2: 1.0, 3: 1e3}  # by NIfTI's code of the unit: unknown, metre, mm, micron
NRRD_UNITS = {"mm": 1.0, "cm": 0.1, "m": 1e-3, "um": 1e3, "": 1.0}
SPACES = {"LPS": (-1, -1, 1), "right-anterior-superior": (1, 1, 1), "LAS": (-1, 1, 1), "": (-1, -1, 1)}
IMAGE_KINDS = ("i2", "u2", "i4", "f4", "f8", "u1", "i1")
LABEL_KINDS = ("u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8")
NRRD_KINDS = {"u1": "uchar", "i1": "int8", "i2": "short", "u2": "uint16", "i4": "int", "u4": "unsigned int"} | {
    "i8": "long long",
    "u8": "uint64_t",
    "f4": "float",
    "f8": "double",
}
FAULTS_OF_LABELS = ("fraction", "nan label", "unknown id", "elsewhere")
FAULTS_OF_BOTH = (*FAULTS_OF_LABELS, "shear", "plane", "place", "surplus", "missing")
FAULTS = {
    "nifti": (*FAULTS_OF_BOTH, "zero spacing", "nan spacing", "pixdim", "unit", "code", "two volumes"),
    "nrrd": (*FAULTS_OF_BOTH, "no spacing", "nan spacing", "no direction", "unit", "space", "axis mins", "data file"),
}


PACKED = {"raw": bytes, "gzip": gzip.compress, "gz": gzip.compress, "bzip2": bz2.compress}


@dataclass(frozen=True)
class RandomCase:
    """label: ids on the image's grid. affine: of the image, RAS+ mm. fault: why it must be refused, None if sound."""

    label: np.ndarray
    affine: np.ndarray
    fault: str | None


@dataclass(frozen=True)
class _File:
    """What one file is to hold. affine: RAS+ mm. place: the forms of NIfTI that state it."""

    array: np.ndarray
    affine: np.ndarray
    kinds: tuple[str, ...]
    fault: str | None
    place: str


@np.errstate(invalid="ignore")
def write(form: str, seed: int, ids: int, inside: int, image: Path, label: Path) -> RandomCase:
    """Write one case. form: nifti or nrrd. ids: organs of the dataset. inside: the value that is stored for organ 1."""
    rng = np.random.default_rng([seed, form == "nrrd"])
    shape = tuple(int(side) for side in rng.integers(6, 11, 3))
    truth = _label(rng, shape, ids)
    fault = str(rng.choice(FAULTS[form])) if rng.random() < 0.25 else None
    affine = _affine(rng, fault)
    picture, stored = rng.integers(0, 100, shape), truth.astype(np.float64) * inside
    place = "none" if form == "nifti" and fault is None and rng.random() < 0.1 else ""
    if place:
        affine = _default(shape, np.linalg.norm(affine[:3, :3], axis=0))
        label_affine = affine
    else:
        stored, label_affine = _turned(rng, stored, affine) if rng.random() < 0.5 else (stored, affine.copy())
        if rng.random() < 0.3:  # another rounding of one spacing, at most 0.05 mm at the far end
            axis = rng.integers(3)
            label_affine[:3, axis] *= 1 + 0.05 / np.linalg.norm(label_affine[:3, axis]) / max(shape)
    if fault == "elsewhere":
        label_affine[:3, 3] += rng.choice([-1, 1], 3) * rng.uniform(0.2, 50, 3)
    in_label = fault in FAULTS_OF_LABELS or rng.random() < 0.5
    writer = {"nifti": _write_nifti, "nrrd": _write_nrrd}[form]
    writer(rng, image, _File(picture.astype(np.float64), affine, IMAGE_KINDS, None if in_label else fault, place))
    writer(rng, label, _File(stored, label_affine, LABEL_KINDS, fault if in_label else None, place))
    return RandomCase(truth, affine, fault)


def _label(rng: np.random.Generator, shape: tuple[int, ...], ids: int) -> np.ndarray:
    label = np.zeros(shape, np.uint8)
    for organ in rng.permutation(np.arange(1, ids + 1))[:3]:
        low = [rng.integers(0, side - 2) for side in shape]
        label[tuple(slice(start, start + rng.integers(1, 5)) for start in low)] = organ
    return label


def _affine(rng: np.random.Generator, fault: str | None) -> np.ndarray:
    spacing = np.maximum(np.round(np.exp(rng.uniform(np.log(0.3), np.log(8), 3)), rng.integers(1, 9)), 0.1)
    axes = np.eye(3)[:, rng.permutation(3)] * rng.choice([-1, 1], 3)
    if rng.random() < 0.4:
        axes = _rotation(rng, rng.choice([0.01, 0.3, 3.0])) @ axes
    if rng.random() < 0.2:  # what accepted rounding of directions may leave
        axes[:, 2] += rng.uniform(0, 0.004) * axes[:, 0]
    steps = axes / np.linalg.norm(axes, axis=0) * spacing
    if fault == "shear":
        steps[:, 2] += np.tan(rng.uniform(0.02, 0.6)) * spacing[2] * axes[:, 1]
    if fault == "plane":
        steps[:, 2] = -steps[:, 0] * rng.uniform(0.3, 3) + rng.choice([0, 1]) * steps[:, 1]
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = steps, np.round(rng.uniform(-300, 300, 3), rng.integers(0, 6))
    if fault == "place":
        affine[rng.integers(3), 3] = rng.choice([1e7, -1e9, np.nan, np.inf])
    return affine


def _rotation(rng: np.random.Generator, size: float) -> np.ndarray:
    x, y, z = rng.normal(0, size, 3)
    skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.linalg.solve(np.eye(3) + skew, np.eye(3) - skew)  # Cayley


def _turned(rng: np.random.Generator, array: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same voxels along other axes, and their affine, without nibabel."""
    order = rng.permutation(3)
    array, affine = array.transpose(order), affine[:, [*order, 3]]
    for axis in range(3):
        if rng.random() < 0.5:
            array = np.flip(array, axis)
            affine = affine.copy()
            affine[:3, 3] += (array.shape[axis] - 1) * affine[:3, axis]
            affine[:3, axis] *= -1
    return np.ascontiguousarray(array), affine


def _default(shape: tuple[int, ...], spacing: np.ndarray) -> np.ndarray:
    """Where a NIfTI file lies whose codes are both 0: its centre at the origin, the first axis towards the left."""
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = -(np.array(shape) - 1) / 2 * spacing
    return np.diag([-1.0, 1, 1, 1]) @ affine


def _values(rng: np.random.Generator, file: _File) -> np.ndarray:
    """The values of a file with its fault; sound labels that are floats have noise at times."""
    array, fault = file.array.copy(), file.fault
    place = tuple(rng.integers(side) for side in array.shape)
    if fault == "fraction":
        array[place] += rng.choice([0.5, 0.01, 0.0015, -0.3])
    elif fault == "nan label":
        array[place] = np.nan
    elif fault == "unknown id":
        array[place] = rng.choice([99, 77])
    return array


def _stored(rng: np.random.Generator, file: _File, slope: float) -> np.ndarray:
    """The voxels in a random type that can hold them, divided by a slope."""
    array = _values(rng, file) / slope
    kinds = [kind for kind in file.kinds if kind[0] == "f" or array.max() <= np.iinfo(kind).max]
    if file.fault in ("fraction", "nan label"):
        kinds = ["f4", "f8"]
    kind = np.dtype(str(rng.choice(["<", ">"])) + str(rng.choice(kinds)))
    if kind.kind != "f":
        return np.rint(array).astype(kind)
    if file.kinds is LABEL_KINDS and rng.random() < 0.3:
        array += rng.uniform(-4e-4, 4e-4, array.shape) / slope
    return array.astype(kind)


def _write_nifti(rng: np.random.Generator, path: Path, file: _File) -> None:
    fault, slope, inter = file.fault, 1.0, 0.0
    if file.kinds is IMAGE_KINDS:  # of an image the values do not matter, so that any slope will do
        slope, inter = float(rng.uniform(0.5, 3)), float(rng.uniform(-1024, 9))
        data = _stored(rng, file, 1.0)
    else:
        slope = float(np.float32(rng.choice([1.0, 1.0, 0.01, 0.5])))
        data = _stored(rng, file, slope)
    kind = rng.choice([nibabel.Nifti1Header, nibabel.Nifti2Header])
    header = kind(endianness=">" if data.dtype.byteorder == ">" else "<")
    header.set_data_dtype(data.dtype)
    header.set_data_shape(data.shape)
    unit = int(rng.choice([*PER_MM]))
    header.set_xyzt_units(unit)
    _set_place(rng, header, np.diag([PER_MM[unit]] * 3 + [1]) @ file.affine, file)
    axis = 1 + rng.integers(3)
    if fault == "zero spacing":
        header["pixdim"][axis] = rng.choice([0.0, -1.0])
    elif fault == "nan spacing":
        header["pixdim"][axis] = rng.choice([np.nan, np.inf])
    elif fault == "pixdim":
        header["pixdim"][axis] *= rng.choice([1.5, 0.5, 1.1])
    elif fault == "unit":
        header["xyzt_units"] = int(rng.integers(4, 8))
    elif fault == "code":
        header[str(rng.choice(["sform_code", "qform_code"]))] = int(rng.choice([-1, 9]))
    elif fault == "two volumes":
        header.set_data_shape((*data.shape, 2))
        data = np.stack([data, data], 3)
    content = _spoilt(rng, _nifti_bytes(header, slope, inter, data), fault)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content, 1) if rng.random() < 0.5 else content)


def _set_place(rng: np.random.Generator, header: Any, place: np.ndarray, file: _File) -> None:
    spacing = np.linalg.norm(place[:3, :3], axis=0)
    header.set_zooms(np.where(np.isfinite(spacing), spacing, 1))
    if file.place == "none":
        return
    is_rigid = bool(np.isfinite(place).all() and np.abs(_cosines(place)).max() < 1e-9)
    forms = ["sform", "both", "elsewhere", *(["qform"] if is_rigid and file.fault is None else [])]
    form = str(rng.choice(forms))
    if form != "sform" and is_rigid:
        header.set_qform(place, code=int(rng.integers(1, 6)))
        if form == "elsewhere":
            header["qoffset_x"] += 40
    if form != "qform":
        header.set_sform(place, code=int(rng.integers(1, 6)))


def _spoilt(rng: np.random.Generator, content: bytes, fault: str | None) -> bytes:
    count = int(rng.integers(1, 99))
    return content + bytes(count) if fault == "surplus" else content[:-count] if fault == "missing" else content


def _cosines(affine: np.ndarray) -> np.ndarray:
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return axes.T @ axes - np.eye(3)


def _nifti_bytes(header: Any, slope: float, inter: float, data: np.ndarray) -> bytes:
    header = header.copy()
    large = header.sizeof_hdr == 540
    header["magic"] = b"n+2" if large else b"n+1"
    if large:
        header["eol_check"] = (13, 10, 26, 10)
    header["vox_offset"] = header.sizeof_hdr + 4
    header["scl_slope"], header["scl_inter"] = slope, inter
    return bytes(header.binaryblock) + struct.pack("4x") + data.tobytes("F")


def _write_nrrd(rng: np.random.Generator, path: Path, file: _File) -> None:
    fault, data = file.fault, _stored(rng, file, 1.0)
    unit, space = str(rng.choice([*NRRD_UNITS])), str(rng.choice([*SPACES]))
    place = np.diag([*SPACES[space], 1]) @ file.affine
    place[:3] *= NRRD_UNITS[unit]
    vectors = [f"({','.join(repr(float(part)) for part in place[:3, axis])})" for axis in range(3)]
    lines = {
        "type": NRRD_KINDS[data.dtype.str[1:]],
        "dimension": "3",
        "space": space,
        "sizes": " ".join(map(str, data.shape)),
        "space directions": " ".join(vectors),
        "kinds": str(rng.choice(["domain domain domain", "space space space"])),
        "endian": "big" if data.dtype.byteorder == ">" else "little",
        "encoding": str(rng.choice(["ascii", *PACKED])),
        "space origin": f"({','.join(repr(float(part)) for part in place[:3, 3])})",
        "space units": " ".join([f'"{unit}"'] * 3) if unit else "",
    }
    if not space:
        lines["space dimension"] = "3"
    if fault == "no spacing":
        del lines["space directions"]
    elif fault == "nan spacing":
        del lines["space directions"]
        lines["spacings"] = "1 nan 2"
    elif fault == "no direction":
        lines["space directions"] = f"{vectors[0]} none {vectors[2]}"
    elif fault == "unit":
        lines["space units"] = '"furlong" "furlong" "furlong"'
    elif fault == "space":
        lines["space"] = "scanner-xyz"
    elif fault == "axis mins":
        lines["axis mins"] = "0 0 0"
    elif fault == "data file":
        lines["data file"] = "voxels.raw"
    head = "".join(f"{name}: {value}\n" for name, value in lines.items() if value)
    header = f"NRRD0004\n# by hand\n{head}a key:=a value\n\n".encode()
    if lines["encoding"] == "ascii":
        numbers = [repr(value) for value in data.ravel("F").tolist()]
        numbers += ["1"] * (fault == "surplus")
        content = " ".join(numbers[: len(numbers) - (fault == "missing")]).encode()
    else:
        content = PACKED[lines["encoding"]](_spoilt(rng, data.tobytes("F"), fault))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(header + content)
