"""DICOM series: which files count, and every tag that places or scales a scan used, or refused by the slice's name."""

import gzip
import re
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from support.dicom_files import MR, Tag, Value, slice_bytes, structured_report, write_series

from semiseg.base.errors import UserError
from semiseg.data.dicom import read_dicom

STORED = np.random.default_rng(3).integers(0, 1400, (6, 5, 7)).astype(np.uint16)
HU = STORED.transpose(2, 1, 0).astype(int) - 1024
SPACING, ORIENTATION, POSITION = (0x28, 0x30), (0x20, 0x37), (0x20, 0x32)
SLOPE, INTERCEPT, PADDING = (0x28, 0x1053), (0x28, 0x1052), (0x28, 0x120)
AS_MR: dict[Tag, tuple[str, Value]] = {(0x08, 0x16): ("UI", MR), (0x08, 0x60): ("CS", "MR")}


def every(changes: dict[Tag, tuple[str, Value]]) -> dict[str, dict[Tag, tuple[str, Value]]]:
    return {f"s{number:02d}": changes for number in range(1, len(STORED) + 1)}


# tag, its wrong texts, and what the sentence says of each
REFUSED: dict[str, tuple[Tag, list[str | None]]] = {
    "pixel spacing": (SPACING, [None, "", "0\\0", "2,0\\2,0", "0.8", "nan\\nan", "-1\\1", "1\\1\\1", "1e999\\1"]),
    "orientation": (ORIENTATION, [None, "", "1\\0\\0", "1\\0\\0\\1\\0\\0", "2\\0\\0\\0\\1\\0", "1\\0\\0\\0,1\\1\\0"]),
    "position": (POSITION, [None, "", "1\\2", "1,5\\2\\3", "inf\\2\\3"]),
    "rescale slope": (SLOPE, [None, "", "0", "1,5", "nan", "inf", "1\\2"]),
    "rescale intercept": (INTERCEPT, [None, "", "-1024,5", "-inf"]),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_tag_that_cannot_be_used_is_refused_by_slice(tmp_path: Path, what: str) -> None:
    tag, texts = REFUSED[what]
    for text in texts:
        write_series(tmp_path, STORED, s04={tag: ("DS", text)})
        found = rf"has the {what} {text!r}".replace("\\", r"\\") if text else rf"has no {what}"
        with pytest.raises(UserError, match=rf"1-04\.dcm {found} \(tag 00\d\d,\d{{4}}\), expected .*: correct the tag"):
            read_dicom(tmp_path)
        write_series(tmp_path, STORED, **every({tag: ("DS", text)}))
        with pytest.raises(UserError, match=rf"1-01\.dcm {found}"):
            read_dicom(tmp_path)


def test_spacing_of_the_detector_is_no_substitute(tmp_path: Path) -> None:
    write_series(tmp_path, STORED, **every({SPACING: ("DS", None), (0x18, 0x1164): ("DS", "0.8\\0.8")}))
    with pytest.raises(UserError, match=r"has no pixel spacing"):
        read_dicom(tmp_path)


def test_rows_and_columns_have_their_own_spacing_and_direction(tmp_path: Path) -> None:
    """An oblique series, against the formula of DICOM PS3.3 C.7.6.2.1.1."""
    row, column = np.array([0.8, 0.6, 0]), np.array([0, 0, -1])
    normal = np.cross(row, column)
    for k in range(len(STORED)):
        position = np.array([10, 20, 30]) + 2.5 * k * normal
        changes: dict[Tag, tuple[str, Value]] = {
            SPACING: ("DS", "0.5\\2"),
            ORIENTATION: ("DS", "\\".join(f"{value:g}" for value in (*row, *column))),
            POSITION: ("DS", "\\".join(f"{value:g}" for value in position)),
        }
        (tmp_path / f"{k}").write_bytes(slice_bytes(STORED[k], k, changes))
    volume = read_dicom(tmp_path)
    assert (volume.array == HU).all()
    expected = np.eye(4)
    expected[:3] = np.stack([2 * row, 0.5 * column, 2.5 * normal, [10, 20, 30]], 1)
    assert np.allclose(volume.affine, np.diag([-1, -1, 1, 1]) @ expected, atol=1e-6)


def test_slope_and_intercept_of_each_slice(tmp_path: Path) -> None:
    slopes, intercepts = (1.0, 2.0, 0.37, 1.0, -1.0, 3000.0), (-1024.0, 0.0, -1024.5, 7.0, 5.0, 0.0)
    for base in ({}, AS_MR):
        named = {
            f"s{k + 1:02d}": {**base, SLOPE: ("DS", f"{slopes[k]:g}"), INTERCEPT: ("DS", f"{intercepts[k]:g}")}
            for k in range(6)
        }
        write_series(tmp_path, STORED, **named)
        expected = STORED * np.reshape(slopes, (6, 1, 1)) + np.reshape(intercepts, (6, 1, 1))
        assert np.allclose(read_dicom(tmp_path).array, expected.transpose(2, 1, 0), rtol=1e-12)


def test_only_ct_must_say_how_it_is_rescaled(tmp_path: Path) -> None:
    neither: dict[Tag, tuple[str, Value]] = {SLOPE: ("DS", None), INTERCEPT: ("DS", None)}
    write_series(tmp_path, STORED, **every({**AS_MR, **neither}))
    assert (read_dicom(tmp_path).array == STORED.transpose(2, 1, 0)).all()
    write_series(tmp_path, STORED, **every({**AS_MR, INTERCEPT: ("DS", None)}))
    with pytest.raises(UserError, match="has no rescale intercept"):
        read_dicom(tmp_path)


def test_inverted_grey_values_are_refused(tmp_path: Path) -> None:
    write_series(tmp_path, STORED, s02={(0x28, 0x04): ("CS", "MONOCHROME1")})
    with pytest.raises(UserError, match=r"1-02\.dcm has the photometric interpretation 'MONOCHROME1'"):
        read_dicom(tmp_path)


@pytest.mark.parametrize(("kind", "padding"), [("u", 1399), ("i", 63536), ("i", -2000)])
def test_padding_is_kept_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str, padding: int) -> None:
    stored = STORED.astype(np.int16 if kind == "i" else np.uint16)
    stored[stored == 1399] = 0
    stored[:, 0, 0] = np.array(padding).astype(np.uint16).view(stored.dtype)
    write_series(tmp_path, stored, **every({PADDING: ("US", np.array(padding).astype("<u2").tobytes())}))
    assert (read_dicom(tmp_path).array == stored.transpose(2, 1, 0).astype(int) - 1024).all()
    assert "6 voxels hold the value that marks padding, which is kept as an intensity" in capsys.readouterr().err


# --- which files are slices ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [0, 132])
@pytest.mark.parametrize("form", ["IM{:04d}", "{:d}", "a/b/IM{:d}", "1-{:02d}.IMA", "1.2.840.{:d}"])
def test_slices_under_any_name_with_and_without_preamble(tmp_path: Path, form: str, cut: int) -> None:
    for k, rows in enumerate(STORED):
        path = tmp_path / form.format(k)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(slice_bytes(rows, 2.5 * k)[cut if k > 3 else 0 :])
    assert (read_dicom(tmp_path).array == HU).all()


def test_slices_without_a_file_header(tmp_path: Path) -> None:
    """As old tools write them: the data elements alone."""
    for k, rows in enumerate(STORED):
        content = slice_bytes(rows, 2.5 * k)
        (tmp_path / str(k)).write_bytes(content[content.index(b"\x08\0\x16\0") :])
    assert (read_dicom(tmp_path).array == HU).all()


LEFT = {
    "__MACOSX/S/._1-01.dcm": b"\0\5\x16\7",
    "S/._1-01.dcm": b"\0\5\x16\7",
    "DICOMDIR": b"x" * 500,
    "S/Thumbs.db": b"x",
}


@pytest.mark.parametrize("packed", [True, False])
def test_what_is_no_slice_is_passed_over_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], packed: bool
) -> None:
    write_series(tmp_path / "S", STORED)
    others = {"S/LICENSE": b"terms", "report.dcm": structured_report(), "S/SR000": structured_report()[132:]}
    for name, content in {**LEFT, **others}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    source = tmp_path
    if packed:
        source = tmp_path / "scan.zip"
        with zipfile.ZipFile(source, "w") as archive:
            for path in sorted(tmp_path.rglob("*")):
                if path != source:
                    archive.write(path, path.relative_to(tmp_path))
    assert (read_dicom(source).array == HU).all()
    (line,) = capsys.readouterr().err.splitlines()
    assert "passed over 3 files that are no slices: " in line
    for name in ("S/LICENSE (no DICOM)", "report.dcm (structured report)", "S/SR000 (structured report)"):
        assert name in line


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("IM0006", "IM0006 is named like a slice and is no DICOM: the file is damaged, fetch it again"),
        ("IM0006.dcm", r"IM0006\.dcm cannot be read as a DICOM slice"),
        ("IM0006.dcm.gz", r"IM0006\.dcm\.gz cannot be read as a DICOM slice"),
    ],
)
def test_a_slice_that_is_no_dicom_is_refused_and_not_left_out(tmp_path: Path, name: str, sentence: str) -> None:
    for k, rows in enumerate(STORED[:-1]):
        (tmp_path / f"IM{k:04d}").write_bytes(slice_bytes(rows, 2.5 * k))
    (tmp_path / name).write_bytes(gzip.compress(slice_bytes(STORED[-1], 12.5)))
    with pytest.raises(UserError, match=sentence):
        read_dicom(tmp_path)


def test_pixels_packed_in_a_way_that_is_not_read(tmp_path: Path) -> None:
    write_series(tmp_path, STORED)
    for uid in (f"1.2.840.10008.1.2.{rest}" for rest in ("4.201", "4.110", "1.98")):
        (tmp_path / "1-03.dcm").write_bytes(slice_bytes(STORED[2], -25, syntax=uid))
        with pytest.raises(UserError, match=rf"1-03\.dcm has the transfer syntax {re.escape(uid)} \(tag 0002,0010\)"):
            read_dicom(tmp_path)
    (tmp_path / "1-03.dcm").write_bytes(slice_bytes(STORED[2], -25, syntax="1.2.840.10008.1.2.4.90"))
    with pytest.raises(UserError, match=r"1-03\.dcm cannot be read as a DICOM slice: the file is damaged"):
        read_dicom(tmp_path)


def test_slices_of_two_frames_of_reference(tmp_path: Path) -> None:
    write_series(tmp_path, STORED, **{**every({(0x20, 0x52): ("UI", "1.7")}), "s03": {(0x20, 0x52): ("UI", "1.8")}})
    with pytest.raises(UserError, match=r"1-03\.dcm has frame of reference 1\.8, the others 1\.7"):
        read_dicom(tmp_path)


def test_a_slice_that_is_a_broken_link(tmp_path: Path) -> None:
    write_series(tmp_path, STORED)
    (tmp_path / "1-06.dcm").unlink()
    (tmp_path / "1-06.dcm").symlink_to(tmp_path / "away")
    with pytest.raises(UserError, match=r"1-06\.dcm is a link to a file that is missing"):
        read_dicom(tmp_path)


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    """SimpleITK would abort over such a path; in an archive a name is no path."""
    write_series(tmp_path / "S", STORED)
    (tmp_path / "S" / "1-03.dcm").rename(tmp_path / "S" / "M\udcfcller.dcm")
    with pytest.raises(UserError, match=r"M\\udcfcller\.dcm has a name that is not UTF-8: rename the file"):
        read_dicom(tmp_path / "S")
    with tarfile.open(tmp_path / "scan.tar", "w", format=tarfile.GNU_FORMAT) as archive:
        archive.add(tmp_path / "S", "S")
    assert (read_dicom(tmp_path / "scan.tar").array == HU).all()
