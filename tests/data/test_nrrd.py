"""NRRD: every field of the header is used, has no bearing, or is refused by name."""

import bz2
import gzip
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from semiseg.base.errors import UserError
from semiseg.data.images import NO_UNIT
from semiseg.data.nrrd import NO_DIRECTIONS, NO_ORIGIN, NO_SPACE, read_nrrd

ARRAY = np.arange(24, dtype="<i2").reshape(2, 3, 4)
DIRECTIONS = "space directions: (2,0,0) (0,1.5,0) (0,0,3)"
PLACED = f"space: LPS\n{DIRECTIONS}\nspace origin: (5,6,7)\n"
MM = 'space units: "mm" "mm" "mm"\n'
LPS = np.array([[-2.0, 0, 0, -5], [0, -1.5, 0, -6], [0, 0, 3, 7], [0, 0, 0, 1]])


def write(
    path: Path, more: str, data: bytes | None = None, kind: str = "short", encoding: str = "raw", sizes: str = "2 3 4"
) -> Path:
    data = ARRAY.tobytes("F") if data is None else data
    head = f"NRRD0004\ntype: {kind}\ndimension: {len(sizes.split())}\nsizes: {sizes}\nencoding: {encoding}\n"
    path.write_bytes((head + "endian: little\n" * (kind == "short") + more + "\n").encode() + data)
    return path


def test_simpleitk_reads_wrong_millimetres_in_silence(tmp_path: Path) -> None:
    """Why NRRD is read by code of our own (docs/dependencies.md)."""
    centimetres = write(tmp_path / "cm.nrrd", PLACED + 'space units: "cm" "cm" "cm"\n')
    nameless = write(tmp_path / "nan.nrrd", "spacings: 2 nan 3\n")
    longer = write(tmp_path / "longer.nrrd", PLACED + MM, ARRAY.tobytes("F") + bytes(30))
    assert sitk.ReadImage(str(centimetres)).GetSpacing() == (2, 1.5, 3)
    assert sitk.ReadImage(str(nameless)).GetSpacing() == (2, 1, 3)
    assert sitk.ReadImage(str(longer)).GetSize() == (2, 3, 4)
    np.testing.assert_allclose(read_nrrd(centimetres).affine, np.diag([10, 10, 10, 1]) @ LPS)
    for file, sentence in (
        (nameless, "spacing 2 x nan x 3 mm"),
        (longer, "holds 30 bytes more than its header states"),
    ):
        with pytest.raises(UserError, match=sentence):
            read_nrrd(file)


def test_what_the_header_leaves_open_is_noted(tmp_path: Path) -> None:
    volume = read_nrrd(write(tmp_path / "a.nrrd", "spacings: 2 1.5 3\n"))
    np.testing.assert_allclose(volume.affine, np.diag([-2, -1.5, 3, 1]))
    assert set(volume.notes) == {NO_UNIT, NO_SPACE, NO_DIRECTIONS, NO_ORIGIN}
    whole = read_nrrd(write(tmp_path / "b.nrrd", PLACED + MM))
    np.testing.assert_allclose(whole.affine, LPS)
    assert whole.notes == ()


@pytest.mark.parametrize(
    ("encoding", "data"),
    [
        ("gzip", gzip.compress(ARRAY.tobytes("F"))),
        ("bz2", bz2.compress(ARRAY.tobytes("F"))),
        ("ascii", " ".join(map(str, ARRAY.ravel("F"))).encode()),
    ],
    ids=["gzip", "bz2", "ascii"],
)
def test_encodings(tmp_path: Path, encoding: str, data: bytes) -> None:
    volume = read_nrrd(write(tmp_path / "a.nrrd", PLACED + MM, data, encoding=encoding))
    np.testing.assert_array_equal(volume.array, ARRAY)


def test_files_of_simpleitk_and_windows_line_ends(tmp_path: Path) -> None:
    image = sitk.GetImageFromArray(ARRAY.transpose(2, 1, 0))
    image.SetSpacing((2, 1.5, 3))
    image.SetOrigin((5, 6, 7))
    sitk.WriteImage(image, str(tmp_path / "a.nrrd"), True)
    np.testing.assert_array_equal(read_nrrd(tmp_path / "a.nrrd").array, ARRAY)
    np.testing.assert_allclose(read_nrrd(tmp_path / "a.nrrd").affine, LPS)
    header, data = write(tmp_path / "b.nrrd", PLACED + MM).read_bytes().split(b"\n\n", 1)
    (tmp_path / "b.nrrd").write_bytes(header.replace(b"\n", b"\r\n") + b"\r\n\r\n" + data)
    np.testing.assert_array_equal(read_nrrd(tmp_path / "b.nrrd").array, ARRAY)


REFUSED = {
    "no spacing": ("", "has no spacing .*: add it to its header"),
    "an axis without direction": (
        "space: LPS\nspace directions: (2,0,0) none (0,0,3)\n",
        r"no direction for one of its axes \(none\)",
    ),
    "a negative spacing": ("spacings: 2 -1 3\n", "spacing 2 x -1 x 3 mm"),
    "spacings against directions": (PLACED + "spacings: 2 1.5 4\n", "spacings that differ from its space directions"),
    "a unit that is no length": (
        PLACED + 'space units: "pixel" "pixel" "pixel"\n',
        "has the units pixel, expected",
    ),
    "two units": (PLACED + 'space units: "mm" "cm" "mm"\n', "has the units cm, mm, expected one of mm"),
    "two units by two fields": (PLACED + MM + 'units: "um" "um" "um"\n', "has the units mm, um"),
    "a space without directions of the body": (f"space: scanner-xyz\n{DIRECTIONS}\n", "lies in the space scanner-xyz"),
    "a mirrored space": (f"space: 3D-left-handed\n{DIRECTIONS}\n", "lies in the space 3D-left-handed"),
    "a place by axis mins": (PLACED + "axis mins: 0 0 0\n", "has the field axismins in its header, .*: save it again"),
    "values that were quantised": (PLACED + "old min: -1\nold max: 1\n", "has the field oldmax in its header"),
    "voxels in another file": (PLACED + "data file: a.raw\n", r"keeps its voxels in another file \(a\.raw\)"),
    "an axis of time": (PLACED + "kinds: space space time\n", "has an axis of kind time, expected three axes of space"),
    "a field twice": (PLACED + "space: RAS\n", "line 'space: RAS' after another of that name"),
    "axes in one plane": (
        "space: LPS\nspace directions: (2,0,0) (0,2,0) (1,1,0)\n",
        "three axes that lie in one plane, expected three directions",
    ),
    "a tilted gantry": (
        "space: LPS\nspace directions: (2,0,0) (0,2,0) (0,1,3)\n",
        "18.43 degrees off the right angle .*: resample the scan first",
    ),
    "a place that is no number": (
        f"space: LPS\n{DIRECTIONS}\nspace origin: (nan,0,0)\n",
        "first voxel at nan, 0, 0 mm",
    ),
}


@pytest.mark.parametrize(("more", "sentence"), REFUSED.values(), ids=REFUSED.keys())
def test_headers_that_are_refused(tmp_path: Path, more: str, sentence: str) -> None:
    with pytest.raises(UserError, match=rf"a\.nrrd .*{sentence}"):
        read_nrrd(write(tmp_path / "a.nrrd", more))


@pytest.mark.parametrize("encoding", ["raw", "gzip", "ascii"])
def test_data_that_do_not_fit_their_header(tmp_path: Path, encoding: str) -> None:
    def packed(values: np.ndarray) -> bytes:
        raw = values.astype("<i2").tobytes()
        texts = {"raw": raw, "gzip": gzip.compress(raw), "ascii": " ".join(map(str, values)).encode()}
        return texts[encoding]

    with pytest.raises(UserError, match=r"holds \d+ (bytes|numbers) more than its header states"):
        read_nrrd(write(tmp_path / "a.nrrd", PLACED, packed(np.arange(25)), encoding=encoding))
    with pytest.raises(UserError, match=r"\d+ (bytes|numbers) of its voxels are missing\): the file is damaged"):
        read_nrrd(write(tmp_path / "a.nrrd", PLACED, packed(np.arange(23)), encoding=encoding))


def test_types_and_byte_orders_that_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has the type block, expected one number per voxel"):
        read_nrrd(write(tmp_path / "a.nrrd", PLACED, kind="block"))
    with pytest.raises(UserError, match="has no field 'endian'"):
        read_nrrd(write(tmp_path / "a.nrrd", PLACED, kind="int16"))
    with pytest.raises(UserError, match="has the encoding hex, which is not read"):
        read_nrrd(write(tmp_path / "a.nrrd", PLACED, encoding="hex"))
