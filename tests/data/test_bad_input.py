"""Bad cases through the command line: one sentence, exit status 2, finished work kept, nothing half done.

``REFUSED`` spoils the second of two good cases; ``TOLD`` are oddities that only warn.
"""

import gzip
import re
import shutil
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from support.raw_forms import (
    AFFINE,
    CASES,
    SHAPE,
    Spoil,
    block,
    build,
    ct,
    flip,
    good,
    one_sentence,
    printed,
    with_value,
    write_h5,
    write_nrrd,
    write_phantom,
    write_series,
    write_slice,
)

from semiseg.base.files import read_json
from semiseg.base.volume import Volume
from semiseg.data.images import NO_UNIT, write_nifti
from semiseg.data.store import read_image
from semiseg.datasets.la import NO_PLACE

IMAGE, LABEL, NRRD, TRUTH, H5 = (
    "imagesTr/b_0000.nii.gz",
    "labelsTr/b.nii.gz",
    "B/lgemri.nrrd",
    "B/laendo.nrrd",
    "B/mri_norm2.h5",
)


def cut(name: str, kept: float) -> Spoil:
    def spoil(raw: Path) -> None:
        content = (raw / name).read_bytes()
        (raw / name).write_bytes(content[: int(kept * len(content))])

    return spoil


def text(name: str, content: bytes) -> Spoil:
    return lambda raw: (raw / name).write_bytes(content)


def header(name: str, offset: int, kind: str, *values: float) -> Spoil:
    """Bytes of an unpacked NIfTI header written over (dim at 40, pixdim at 76)."""

    def spoil(raw: Path) -> None:
        content = bytearray(gzip.decompress((raw / name).read_bytes()))
        struct.pack_into(f"<{len(values)}{kind}", content, offset, *values)
        (raw / name).write_bytes(gzip.compress(content, mtime=0))

    return spoil


def plain(offset: int, kind: str, value: float) -> Spoil:
    """The image unpacked, and its header written over."""

    def spoil(raw: Path) -> None:
        header(IMAGE, offset, kind, value)(raw)
        (raw / IMAGE).write_bytes(gzip.decompress((raw / IMAGE).read_bytes()))

    return spoil


def more_data(raw: Path) -> None:
    (raw / IMAGE).write_bytes(gzip.compress(gzip.decompress((raw / IMAGE).read_bytes()) + b"\0" * 30, mtime=0))


def save(array: np.ndarray, affine: np.ndarray, path: Path) -> None:
    nifti = nibabel.Nifti1Image(array, affine)
    nifti.header.set_xyzt_units("mm")
    nibabel.save(nifti, path)


def image(array: np.ndarray) -> Spoil:
    return lambda raw: save(array, AFFINE, raw / IMAGE)


def label(array: np.ndarray, affine: np.ndarray = AFFINE) -> Spoil:
    return lambda raw: save(array, affine, raw / LABEL)


def colours() -> np.ndarray:
    return np.zeros(SHAPE, [("R", "u1"), ("G", "u1"), ("B", "u1")])


def affine(column: int, change: Sequence[float]) -> np.ndarray:
    changed = AFFINE.copy()
    changed[:3, column] += change
    return changed


def turned() -> np.ndarray:
    angle = np.deg2rad(3)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return turn @ AFFINE


def nrrd(array: np.ndarray) -> Spoil:
    return lambda raw: sitk.WriteImage(sitk.GetImageFromArray(array), str(raw / NRRD))


def packed_then(spoil: Spoil) -> Spoil:
    def both(raw: Path) -> None:
        write_nrrd(raw / NRRD, np.abs(ct()), compressed=True)
        spoil(raw)

    return both


def detached(raw: Path) -> None:
    """A header that names a data file which did not come along."""
    text = "NRRD0004\ntype: short\ndimension: 3\nsizes: 16 15 12\nendian: little\nencoding: raw\ndata file: away.raw\n"
    (raw / NRRD).write_text(text)


def h5(image: np.ndarray, label: np.ndarray | None) -> Spoil:
    return lambda raw: write_h5(raw / H5, image, label)


def series(change: Spoil) -> Spoil:
    return lambda raw: write_series(raw, "PANCREAS_0002", change)


def move(number: int, z: float) -> Spoil:
    return lambda folder: write_slice(folder / f"1-{number:02d}.dcm", z)


def shrink(folder: Path) -> None:
    write_slice(folder / "1-05.dcm", -20, np.full((10, 16), -900, np.int16))


def no_pixels(folder: Path) -> None:
    """The file ends where the pixel data element begins."""
    content = (folder / "1-05.dcm").read_bytes()
    (folder / "1-05.dcm").write_bytes(content[: content.rindex(b"\xe0\x7f\x10\x00")])


def coloured(folder: Path) -> None:
    picture = sitk.Compose([sitk.Image([16, 15], sitk.sitkUInt8)] * 3)
    sitk.WriteImage(sitk.JoinSeries([picture]), str(folder / "1-05.dcm"))


def frames(folder: Path) -> None:
    sitk.WriteImage(sitk.Image([16, 15, 5], sitk.sitkUInt16), str(folder / "1-05.dcm"))


def second_series(folder: Path) -> None:
    for number in range(3):
        write_slice(folder / f"2-{number}.dcm", 5 + number, series="1.2.3.5")


def tilted(folder: Path) -> None:
    for number in range(SHAPE[2]):
        write_slice(folder / f"1-{number + 1:02d}.dcm", -30 + 2.5 * number, x=1.5 + 0.5 * number)


def growing(folder: Path) -> None:
    """Distances that change too little from one to the next to be noticed, but add up."""
    for number in range(40):
        write_slice(folder / f"1-{number + 1:02d}.dcm", -30 + 2.5 * number + 0.2 * max(0, number - 20))


def only_text(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "LICENSE").write_text("terms")


FLAT = (0, 2.5, 4, -20, 0, 0, 0, 11)  # the rows of y and z in the sform: the third axis runs along the second
ZIP = "PANCREAS_0002.zip"
REFUSED: dict[str, tuple[str, Spoil, str]] = {
    # NIfTI
    "gzip cut off": ("phantom", cut(IMAGE, 0.6), r"b_0000\.nii\.gz cannot be read as NIfTI .*fetch it again"),
    "gzip cut off in its checksum": ("phantom", cut(IMAGE, 0.999), "cannot be read as NIfTI .*fetch it again"),
    "gzip with a flipped bit": ("phantom", flip(IMAGE, 0.5), "cannot be read as NIfTI .*fetch it again"),
    "gzip whose checksum alone is wrong": ("phantom", flip(LABEL, 0.97), r"b\.nii\.gz cannot be read .*fetch it again"),
    "not NIfTI": (
        "phantom",
        text(IMAGE, b"<html>please log in</html>" * 40),
        "is a web page: log in .*fetch the file again",
    ),
    "a pointer of Git LFS": (
        "la_h5",
        text(H5, b"version https://git-lfs.github.com/spec/v1\noid x\n"),
        "`git lfs pull`",
    ),
    "packed, but not NIfTI": ("phantom", text(IMAGE, gzip.compress(b"x" * 9999)), "cannot be read as NIfTI .*fetch"),
    "no bytes": ("phantom", text(IMAGE, b""), "is empty: fetch it again"),
    "packed nothing": ("phantom", text(IMAGE, gzip.compress(b"")), r"cannot be read as NIfTI \(it is empty\): .*fetch"),
    "header tells of more data": ("phantom", header(IMAGE, 46, "h", 40), "cannot be read as NIfTI .*fetch it again"),
    "header tells of less data": (
        "phantom",
        header(IMAGE, 46, "h", 10),
        r"holds 960 bytes more than its header states",
    ),
    "data after the end": ("phantom", more_data, "holds 30 bytes more than its header states: .*fetch it again"),
    "header with an unknown type": ("phantom", header(IMAGE, 70, "h", 7777), "cannot be read as NIfTI .*fetch"),
    "2-D": ("phantom", image(ct()[:, :, 0]), r"shape \(16, 15\), expected one 3-D volume: keep one volume per file"),
    "one slice": ("phantom", image(ct()[:, :, :1]), r"shape \(16, 15, 1\), expected one 3-D volume"),
    "4-D": ("phantom", image(np.stack([ct()] * 2, 3)), r"shape \(16, 15, 12, 2\), expected one 3-D volume"),
    "colours": ("phantom", image(colours()), "holds colours, expected one number per voxel: convert it"),
    "complex numbers": ("phantom", image(ct().astype(np.complex64)), "holds complex64, expected one number per voxel"),
    "no spacing": ("phantom", header(IMAGE, 80, "f", 0.0), r"spacing 0 x 2\.5 x 4 mm, .*: correct its header"),
    "negative spacing": ("phantom", header(IMAGE, 88, "f", -4.0), r"spacing 2 x 2\.5 x -4 mm, .*: correct its header"),
    "spacing that is no number": ("phantom", header(LABEL, 84, "f", np.nan), "spacing 2 x nan x 4 mm, .*: correct its"),
    "plain, header tells of less data": ("phantom", plain(46, "h", 10), r"holds 960 bytes more than its header states"),
    "place that is no number": (
        "phantom",
        header(IMAGE, 292, "f", np.inf),
        "first voxel at inf, .*: correct its header",
    ),
    "axes in one plane": ("phantom", header(IMAGE, 296, "f", *FLAT), "lie in one plane, .*: correct its header"),
    "a tilted gantry": ("phantom", header(LABEL, 304, "f", 1.0), "14.04 degrees off the right angle .*: resample"),
    "pixdim against sform": ("phantom", header(LABEL, 88, "f", 4.5), "by its pixdim and .* by its sform, .*: correct"),
    "code that NIfTI does not know": ("phantom", header(IMAGE, 254, "h", 9), "sform code 9, expected 0 to 5: correct"),
    "unit that NIfTI does not know": ("phantom", header(IMAGE, 123, "B", 5), "unit code 5 of length, .*: correct its"),
    "axis that is no number": ("phantom", header(IMAGE, 280, "f", np.nan), "spacing .*: correct its header"),
    # values
    "NaN": (
        "phantom",
        image(with_value(ct(), np.nan)),
        r"b_0000\.nii\.gz has 1 voxels that are NaN or infinite: repair",
    ),
    "infinity": ("phantom", image(with_value(ct(), np.inf)), "has 1 voxels that are NaN or infinite: repair the file"),
    "constant": ("phantom", image(np.full(SHAPE, 7, np.int16)), r"is constant \(7\): it holds no picture, fetch it"),
    # labels
    "unknown label id": (
        "phantom",
        label(with_value(block(), 17, np.uint8)),
        r"b\.nii\.gz has label ids \[17\], .*map",
    ),
    "negative label id": (
        "phantom",
        label(with_value(block(), -1, np.int16)),
        r"has label ids \[-1\], expected 0\.\.13",
    ),
    "label id beyond a byte": ("phantom", label(with_value(block(), 257, np.int16)), r"has label ids \[257\]"),
    "labels of a dataset with more organs": (
        "phantom",
        label(block(range(1, 11)) + np.uint8(5) * (block(range(1, 11)) > 8)),
        r"label ids \[14, 15\], expected 0\.\.13 of phantom: bring this dataset's label map, or map its ids",
    ),
    "fraction as label": (
        "phantom",
        label(with_value(block(), 0.5)),
        r"labels that are no integers \(0\.5\): export it",
    ),
    "NaN as label": ("phantom", label(with_value(block(), np.nan)), r"labels that are no integers \(nan\): export it"),
    "no labelled voxel": ("phantom", label(np.zeros(SHAPE, np.uint8)), "no labelled voxel: remove the label file if"),
    # image against label
    "shapes differ": (
        "phantom",
        label(block((1, 2))[:, :, 1:]),
        r"\(16, 15, 12\) and label \(16, 15, 11\) differ in shape: ",
    ),
    "spacings differ": (
        "phantom",
        label(block(), affine(2, (0, 0, 0.5))),
        "spacing of image .* differ, .*: correct the",
    ),
    "origins differ": (
        "phantom",
        label(block(), affine(3, (0, 1.5, 0))),
        r"origins of .* up to 1\.50 mm apart .*correct",
    ),
    "directions differ": (
        "phantom",
        label(block(), turned()),
        r"directions of image .* and label .* differ, .*: correct",
    ),
    "one axis is mirrored": (
        "phantom",
        label(block(), AFFINE @ np.diag([-1, 1, 1, 1])),
        r"origins of image .* and label, turned to the image's axes, .* differ, .* apart .*: correct the header",
    ),
    # NRRD
    "NRRD cut off": ("la", cut(NRRD, 0.7), r"B/lgemri\.nrrd cannot be read .*fetch it again"),
    "packed NRRD cut off": ("la", packed_then(cut(NRRD, 0.7)), r"B/lgemri\.nrrd cannot be read .*fetch it again"),
    "packed NRRD with a flipped bit": ("la", packed_then(flip(NRRD, 0.6)), r"lgemri\.nrrd cannot be read .*fetch it"),
    "not NRRD": ("la", text(NRRD, b"PK\x03\x04 nonsense"), r"B/lgemri\.nrrd cannot be read .*fetch it again"),
    "empty NRRD": ("la", text(TRUTH, b""), r"B/laendo\.nrrd is empty: fetch it again"),
    "NRRD without its data file": ("la", detached, r"B/lgemri\.nrrd cannot be read .*fetch it again"),
    "2-D NRRD": ("la", nrrd(ct()[0]), r"lgemri\.nrrd has shape \(12, 15\), expected one 3-D volume: keep one"),
    "4-D NRRD": ("la", nrrd(np.stack([ct()] * 2)), r"lgemri\.nrrd has shape \(.*\), expected one 3-D volume: keep one"),
    "label beside an unfit one": (
        "la",
        lambda raw: write_nrrd(raw / TRUTH, block((255, 7))),
        r"B/laendo\.nrrd has label values 7, expected 0, 255: fetch it again",
    ),
    # HDF5
    "HDF5 cut off": ("la_h5", cut(H5, 0.7), r"B/mri_norm2\.h5 cannot be read as HDF5 .*fetch it again"),
    "not HDF5": ("la_h5", text(H5, b"\x89PNG" * 99), r"B/mri_norm2\.h5 cannot be read as HDF5 .*fetch it again"),
    "HDF5 without labels": (
        "la_h5",
        h5(np.abs(ct()), None),
        r"mri_norm2\.h5 cannot be read as HDF5 .*fetch it again",
    ),
    "HDF5 of wrong rank": (
        "la_h5",
        h5(ct()[None], block()[None]),
        r"shape \(1, 16, 15, 12\), expected one 3-D",
    ),
    # DICOM
    "a slice is missing": (
        "pancreas_ct",
        series(lambda folder: (folder / "1-05.dcm").unlink()),
        r"between 1-04\.dcm and 1-06\.dcm slices are missing: 1 \(5\.000 mm, usually 2\.500 mm\): fetch the series",
    ),
    "three slices are missing": (
        "pancreas_ct",
        series(lambda folder: [(folder / f"1-0{number}.dcm").unlink() for number in (5, 6, 7)]),
        r"between 1-04\.dcm and 1-08\.dcm slices are missing: 3",
    ),
    "a slice is there twice": (
        "pancreas_ct",
        series(lambda folder: shutil.copy(folder / "1-05.dcm", folder / "9.dcm")),
        r"1-05\.dcm and 9\.dcm lie at one place: remove the doubled slice",
    ),
    "a slice is out of place": (
        "pancreas_ct",
        series(move(5, -19.2)),
        r"1-04\.dcm and 1-05\.dcm .* not uniform .*fetch",
    ),
    "slices too close": (
        "pancreas_ct",
        series(move(12, -4.5)),
        r"1-11\.dcm and 1-12\.dcm are 0\.500 mm apart, .*fetch",
    ),
    "distances drift": (
        "pancreas_ct",
        series(growing),
        r"\.dcm lies \d\.\d+ mm off a uniform grid .*: fetch the series",
    ),
    "two series in one zip": (
        "pancreas_ct",
        series(second_series),
        r"slices of 2 series, expected one \(12 of 1\.2\.3\.4",
    ),
    "a slice is cut off": (
        "pancreas_ct",
        series(lambda folder: cut("1-05.dcm", 0.8)(folder)),
        r"1-05\.dcm cannot be read as a DICOM slice: .*fetch it again",
    ),
    "a slice without pixels": ("pancreas_ct", series(no_pixels), r"1-05\.dcm .*"),
    "a slice of other size": (
        "pancreas_ct",
        series(shrink),
        r"1-05\.dcm has size \(16, 10\), the others \(16, 15\): remove",
    ),
    "pixels of other size": (
        "pancreas_ct",
        series(lambda folder: write_slice(folder / "1-05.dcm", -20, spacing=0.9)),
        r"1-05\.dcm has pixel spacing \(0\.9, 0\.9\), the others \(0\.8, 0\.8\): remove",
    ),
    "a coloured slice": ("pancreas_ct", series(coloured), r"1-05\.dcm is a colour picture, .*: remove it"),
    "many frames in a file": (
        "pancreas_ct",
        series(frames),
        r"1-05\.dcm has size \(16, 15, 5\), expected one slice per",
    ),
    "slices move sideways": ("pancreas_ct", series(tilted), r"move sideways by 0\.500 mm each .*: resample the series"),
    "not DICOM": ("pancreas_ct", series(text("1-05.dcm", b"words" * 99)), r"1-05\.dcm cannot be read as a DICOM slice"),
    "no slices": (
        "pancreas_ct",
        series(only_text),
        r"zip holds 0 DICOM slices \(and 1 other files: LICENSE \(no DICOM\)\), .*: fetch it",
    ),
    "zip cut off": ("pancreas_ct", cut(ZIP, 0.7), r"PANCREAS_0002\.zip is damaged or cut short .*fetch"),
    "zip with a flipped bit": (
        "pancreas_ct",
        flip(ZIP, 0.4),
        r"PANCREAS_0002\.zip.* damaged .*: fetch the archive again",
    ),
    "image and label of two cases": (
        "pancreas_ct",
        lambda raw: write_nifti(raw / "label0002.nii.gz", Volume(block()[:, :, 2:], AFFINE)),
        r"label0002\.nii\.gz has shape .*: bring image and label of one case",
    ),
}


@pytest.fixture(scope="module")
def good_cases(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Path], object]:
    """Copies the two good cases of a form; they are written once, since DICOM writers note the time."""
    folder = tmp_path_factory.mktemp("good")

    def copy(form: str, raw: Path) -> None:
        if not (folder / form).exists():
            good(form, folder / form)
        shutil.rmtree(raw, ignore_errors=True)
        shutil.copytree(folder / form, raw)

    return copy


@pytest.mark.parametrize(("form", "spoil", "sentence"), REFUSED.values(), ids=REFUSED.keys())
def test_refused(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    good_cases: Callable[[str, Path], object],
    form: str,
    spoil: Spoil,
    sentence: str,
) -> None:
    raw, out = tmp_path / "raw", tmp_path / "prepared" / "index.json"
    first, bad = CASES[form]
    good_cases(form, raw)
    spoil(raw)
    capfd.readouterr()
    assert build(form, raw, out) == 2
    one_sentence(printed(capfd), f"^error: case {bad}: .*{sentence}")
    assert [path.name for path in out.parent.iterdir()] == [f"{first}.h5"]
    before = (out.parent / f"{first}.h5").stat().st_mtime_ns
    good_cases(form, raw)
    assert build(form, raw, out) == 0
    assert set(read_json(out)["cases"]) == {first, bad}
    assert (out.parent / f"{first}.h5").stat().st_mtime_ns == before


TOLD: dict[str, tuple[str, Spoil, str]] = {
    "MR where CT is expected": ("phantom", image(np.abs(ct())), "have no air .*: check that it is CT in HU"),
    "CT where MR is expected": (
        "la",
        lambda raw: write_nrrd(raw / NRRD, ct()),
        "look like CT in HU: check that it is MR",
    ),
    "ids in the order of another dataset": (
        "phantom",
        label(block((3, 3, 1))),
        r"spleen \(40 voxels\) is larger than liver \(20\): check that the label ids are this dataset's",
    ),
}


@pytest.mark.parametrize(("form", "spoil", "sentence"), TOLD.values(), ids=TOLD.keys())
def test_told(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    good_cases: Callable[[str, Path], object],
    form: str,
    spoil: Spoil,
    sentence: str,
) -> None:
    good_cases(form, tmp_path / "raw")
    spoil(tmp_path / "raw")
    capfd.readouterr()
    assert build(form, tmp_path / "raw", tmp_path / "prepared" / "index.json") == 0
    (line,) = [line for line in printed(capfd) if line.startswith("warning")]
    assert re.search(f"^warning: case {CASES[form][1]}: .*{sentence}", line), line


@pytest.mark.parametrize("case", ["a case 01", "Fälle_Ω_患者", "UPPER.Case-1", "it's 100 % {x} [1]"])
def test_names_that_must_work(tmp_path: Path, capfd: pytest.CaptureFixture[str], case: str) -> None:
    raw, out = tmp_path / "My Däta (1)" / "RAW", tmp_path / "Vor bereitet" / "index.json"
    write_phantom(raw, case, ct(), block())
    assert build("phantom", raw, out) == 0
    assert printed(capfd) == []
    assert list(read_json(out)["cases"]) == [case]
    assert read_image(out.parent / f"{case}.h5").shape == SHAPE[::-1]


TOLD_OF_GOOD_CASES = {
    "phantom": [],
    "la": [f"la: {NO_UNIT} (2 of 2 cases: A, B)"],
    "la_h5": [f"la: {NO_PLACE} (2 of 2 cases: A, B)"],
    "pancreas_ct": [],
}


def test_good_cases_of_every_form_pass_and_what_is_assumed_is_told_once(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], good_cases: Callable[[str, Path], object]
) -> None:
    for form, cases in CASES.items():
        good_cases(form, tmp_path / form)
        capfd.readouterr()
        out = tmp_path / "prepared" / form / "index.json"
        assert build(form, tmp_path / form, out) == 0
        assert printed(capfd) == TOLD_OF_GOOD_CASES[form]
        assert set(read_json(out)["cases"]) == set(cases)
