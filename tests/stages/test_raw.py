"""A raw folder takes a copy as a whole or stays as it is."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.raw_folders import import_raw
from support.raw_forms import AFFINE, block, ct

from semiseg.base.errors import UserError
from semiseg.base.files import read_json
from semiseg.base.volume import Volume
from semiseg.data.arrival import arrivals
from semiseg.data.images import read_nifti, write_nifti
from semiseg.data.layouts import nnunet
from semiseg.data.raw_case import read_case
from semiseg.dataset import Organ, RawCase
from semiseg.stages.raw import build_raw

MINE = nnunet("mine", title="Mine", modality="CT", organs=(Organ(1, "liver", "Liv"), Organ(2, "left kidney", "L.kid")))
DESCRIPTION = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "liver": 1, "left kidney": 2}}
IMAGE, LABEL = "imagesTr/b_0000.nii.gz", "labelsTr/b.nii.gz"


def write_copy(folder: Path, brightness: int = 0) -> Path:
    for case in "ab":
        write_nifti(folder / f"imagesTr/{case}_0000.nii.gz", Volume(ct() + np.int16(brightness), AFFINE))
        write_nifti(folder / f"labelsTr/{case}.nii.gz", Volume(block((1, 2)), AFFINE))
    (folder / "dataset.json").write_text(json.dumps(DESCRIPTION))
    return folder


@pytest.fixture
def raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The raw folder of ``mine``, after an import in order."""
    monkeypatch.setattr("semiseg.stages.raw.get_dataset", lambda name: MINE)
    import_raw("mine", write_copy(tmp_path / "good"), tmp_path / "raw")
    return tmp_path / "raw"


def content(folder: Path) -> dict[str, tuple[bytes, int]]:
    files = (path for path in folder.rglob("*") if not path.is_dir())
    return {str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_ino) for path in files}


def cut(name: str, share: float) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[: int(len(data) * share)])

    return damage


def write(name: str, data: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(data) and None


def other_labels(folder: Path) -> None:
    (folder / "dataset.json").write_text(json.dumps({**DESCRIPTION, "labels": {"background": 0, "spleen": 1}}))


def plain_and_cut(folder: Path) -> None:
    """A new case without compression, which lacks its last bytes."""
    data = gzip.decompress((folder / IMAGE).read_bytes())
    (folder / "imagesTr/c_0000.nii").write_bytes(data[:-10])


def flipped(folder: Path) -> None:
    """One byte is another, so that only gzip's checksum shows it."""
    data = bytearray((folder / IMAGE).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / IMAGE).write_bytes(data)


FAULTS: dict[str, tuple[Callable[[Path], None], str]] = {
    "a cut image": (cut(IMAGE, 0.5), f"^{IMAGE} cannot be read as NIfTI "),
    "a cut header": (cut(IMAGE, 0.01), f"^{IMAGE} cannot be read as NIfTI "),
    "a cut label map": (cut(LABEL, 0.5), f"^{LABEL} cannot be read as NIfTI "),
    "an empty file": (write(IMAGE, b""), f"^{IMAGE} is empty: fetch it again"),
    "a text": (write(IMAGE, b"hello"), f"^{IMAGE} cannot be read as NIfTI "),
    "a flipped bit in the place of a good file": (flipped, f"^{IMAGE} cannot be read as NIfTI "),
    "a new case that is cut": (plain_and_cut, "^imagesTr/c_0000.nii cannot be read as NIfTI "),
    "a description that is no JSON": (write("dataset.json", b'{"labels": {'), "^dataset.json is not valid JSON"),
    "a description of other labels": (other_labels, "^dataset.json has labels 1 spleen"),
    "a label map without its image": (write("labelsTr/x.nii.gz", b"1"), "holds label maps without an image"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_copy_leaves_the_raw_folder_as_it_was(fault: str, tmp_path: Path, raw: Path) -> None:
    spoil, sentence = FAULTS[fault]
    before = content(raw)
    spoil(write_copy(tmp_path / "bad", brightness=5))
    with pytest.raises(UserError, match=rf"(?s){sentence}.*; nothing was imported, the files of {raw} are as before$"):
        import_raw("mine", tmp_path / "bad", raw)
    assert content(raw) == before


def test_all_files_that_are_cut_are_named(tmp_path: Path, raw: Path) -> None:
    write_copy(tmp_path / "bad", brightness=5)
    for name in (IMAGE, LABEL):
        cut(name, 0.5)(tmp_path / "bad")
    with pytest.raises(UserError, match=f"^2 files cannot be used: {IMAGE} cannot.*; {LABEL} cannot"):
        import_raw("mine", tmp_path / "bad", raw)


def test_a_copy_in_order_replaces_what_differs_and_keeps_the_rest(tmp_path: Path, raw: Path) -> None:
    before = content(raw)
    write_copy(tmp_path / "new", brightness=5)
    import_raw("mine", tmp_path / "new", raw)
    after = content(raw)
    assert after.keys() == before.keys()
    assert [name for name in after if after[name][0] != before[name][0]] == [
        name for name in after if name.startswith("imagesTr/") or name == "manifest.json"
    ]
    assert after[LABEL] == before[LABEL], "the same file, not a second copy of it"
    assert not any((raw / name).is_symlink() for name in after)


def test_a_file_that_was_packed_in_pieces_or_twice_is_read(tmp_path: Path, raw: Path) -> None:
    plain = gzip.decompress((tmp_path / "good" / IMAGE).read_bytes())
    pieces = b"".join(gzip.compress(part) for part in (plain[:1000], plain[1000:]))
    (tmp_path / "good/imagesTr/c_0000.nii.gz").write_bytes(pieces)
    (tmp_path / "good/imagesTr/d_0000.nii.gz").write_bytes(gzip.compress(gzip.compress(plain)))
    import_raw("mine", tmp_path / "good", raw)
    assert (read_nifti(raw / "imagesTr/c_0000.nii.gz").array == ct()).all()
    assert (raw / "imagesTr/d_0000.nii.gz").exists()


def test_a_case_whose_files_are_deleted_is_listed_no_more(tmp_path: Path, raw: Path) -> None:
    for name in (IMAGE, LABEL):
        (raw / name).unlink()
    build_raw({"dataset": "mine", "options": {}, "standin": False, "wanted": None}, raw)
    assert [case["id"] for case in read_json(raw / "manifest.json")["cases"]] == ["a"]


@pytest.mark.parametrize("fault", ["differ in shape", "has label ids"])
def test_shapes_and_ids_are_looked_at_when_cases_are_read(fault: str, tmp_path: Path, raw: Path) -> None:
    """The import takes such a label map, because it reads no voxels of a new case; its own reader refuses it."""
    label = block((1, 7)) if "ids" in fault else block((1, 2))[:-1]
    for name, array in (("imagesTr/c_0000.nii.gz", ct()), ("labelsTr/c.nii.gz", label)):
        write_nifti(tmp_path / "new" / name, Volume(array, AFFINE))
    import_raw("mine", tmp_path / "new", raw)
    case = RawCase("c", "imagesTr/c_0000.nii.gz", "labelsTr/c.nii.gz")
    with pytest.raises(UserError, match=f"^case c: .*{fault}"):
        read_case(MINE, case, raw)


def test_what_a_killed_import_has_left_is_no_part_of_the_next(tmp_path: Path, raw: Path) -> None:
    (raw / arrivals.ARRIVING / "imagesTr").mkdir(parents=True)
    (raw / arrivals.ARRIVING / "imagesTr/z_0000.nii.gz").write_bytes(b"half")
    import_raw("mine", tmp_path / "good", raw)
    assert not (raw / arrivals.ARRIVING).exists()
    assert not (raw / "imagesTr/z_0000.nii.gz").exists()


def test_a_raw_folder_on_another_disk_is_filled_there(tmp_path: Path, raw: Path) -> None:
    raw.rename(tmp_path / "disk")
    raw.symlink_to(tmp_path / "disk")
    write_copy(tmp_path / "new", brightness=5)
    import_raw("mine", tmp_path / "new", raw)
    assert raw.is_symlink()
    assert (read_nifti(tmp_path / "disk" / IMAGE).array == ct() + 5).all()
