"""Files of a raw folder: left-overs are passed over, and two files of one case are refused by every dataset."""

import shutil
from pathlib import Path, PurePosixPath

import pytest
from support import ordinary_user

from semiseg.base.errors import UserError
from semiseg.base.files import read_json
from semiseg.data.raw_files import is_leftover, walk
from semiseg.dataset import RawCase, get_dataset
from semiseg.stages.raw import build_raw

LEFTOVERS = (
    "._img0001.nii.gz",
    "a/.DS_Store",
    "__MACOSX/a/img0001.nii.gz",
    "a/__macosx/x",
    "Thumbs.db",
    "a/THUMBS.DB",
    "desktop.ini",
    "DICOMDIR",
    "CD/dicomdir",
    "@eaDir/img0001.nii.gz/SYNO",
    "$RECYCLE.BIN/x.nii.gz",
    "System Volume Information/x",
    "img0001.nii.gz:Zone.Identifier",
    ".ipynb_checkpoints/img0001.nii.gz",
)
# dataset -> image and label map of a case, both in another place or form
FILES = {
    "amos22": tuple(f"{folder}/amos_0001.nii.gz" for folder in ("imagesTr", "labelsTr", "imagesVa", "labelsVa")),
    "brats19": (
        *(f"HGG/BraTS19_A_B_1/BraTS19_A_B_1_{kind}.nii.gz" for kind in ("flair", "seg")),
        *(f"HGG/BraTS19_A_B_1/BraTS19_A_B_1_{kind}.nii" for kind in ("flair", "seg")),
    ),
    "btcv": ("img/img0001.nii.gz", "label/label0001.nii.gz", "img/img0001.nii", "predictions/label0001.nii.gz"),
    "flare22": (
        "images/FLARE22_Tr_0001_0000.nii.gz",
        "labels/FLARE22_Tr_0001.nii.gz",
        "images/FLARE22_Tr_0001_0000.nii",
        "predictions/FLARE22_Tr_0001.nii.gz",
    ),
    "la": ("A/lgemri.nrrd", "A/laendo.nrrd", "copy/A/lgemri.nrrd", "copy/A/laendo.nrrd"),
    "mmwhs": (
        "ct_train/ct_train_1001_image.nii.gz",
        "ct_train/ct_train_1001_label.nii.gz",
        "ct_train/ct_train_1001_image.nii",
        "predictions/ct_train_1001_label.nii.gz",
    ),
    "openkbp": (
        "images/train_pt_1.nii.gz",
        "labels/train_pt_1.nii.gz",
        "old/images/train_pt_1.nii.gz",
        "labels/train_pt_1.nii",
    ),
    "pancreas_ct": ("PANCREAS_0001.zip", "label0001.nii.gz", "", "label0001.nii"),
    # phantom: in nnU-Net's layout
    "phantom": ("imagesTr/c_0000.nii.gz", "labelsTr/c.nii.gz", "imagesTs/c_0000.nii.gz", "labelsTs/c.nii.gz"),
}  # fmt: skip


def write(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode(errors="surrogateescape"))
    return folder


@pytest.mark.parametrize("name", LEFTOVERS)
def test_leftovers(name: str) -> None:
    assert is_leftover(PurePosixPath(name))


@pytest.mark.parametrize("name", ["img0001.nii.gz", "a.b/DICOM", "thumbs.db/img0001.nii.gz", "MACOSX/x", "1-001.dcm"])
def test_files_that_are_no_leftovers(name: str) -> None:
    assert not is_leftover(PurePosixPath(name))


def test_linked_folders_are_walked_once(tmp_path: Path) -> None:
    write(tmp_path / "store", "b/2", "a/1", *LEFTOVERS)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "all").symlink_to(tmp_path / "store")
    (tmp_path / "store" / "a" / "back").symlink_to(tmp_path / "folder")
    assert [str(inside) for _, inside in walk(tmp_path / "folder")] == ["all/a/1", "all/b/2"]


def test_a_folder_that_cannot_be_listed_is_no_empty_one() -> None:
    with ordinary_user.open_folder() as folder:
        write(folder, "a/1", "b/2")
        (folder / "b").chmod(0o700)
        command = (
            "import sys, pathlib; from semiseg.data.raw_files import walk; print(*walk(pathlib.Path(sys.argv[1])))"
        )
        (folder / "listing.py").write_text(command)
        found = ordinary_user.call(ordinary_user.FIRST, folder, "listing", str(folder), path=[folder])
    assert found.returncode == 1
    assert f"UserError: {folder}/b cannot be listed (Permission denied): check its permissions" in found.stderr


def test_accents_of_a_mac_and_of_other_systems_are_one_case(tmp_path: Path) -> None:
    composed, apart = "imagesTr/F\u00e4lle_0000.nii.gz", "labelsTr/Fa\u0308lle.nii.gz"
    find = get_dataset("phantom").find
    assert find(write(tmp_path, composed, apart)) == [RawCase("F\u00e4lle", composed, apart)]
    write(tmp_path, "imagesTr/Fa\u0308lle_0000.nii.gz")
    with pytest.raises(UserError, match="holds two images of case F\u00e4lle, "):
        find(tmp_path)


@pytest.mark.parametrize("dataset", FILES)
def test_two_files_of_a_case_are_refused_and_leftovers_are_not(tmp_path: Path, dataset: str) -> None:
    image, label, second_image, second_label = FILES[dataset]
    find = get_dataset(dataset).find
    raw = write(tmp_path, image, label, *LEFTOVERS)
    for name in (image, label):  # macOS and a NAS leave twins of each file
        write(
            raw,
            str(PurePosixPath(name).with_name(f"._{PurePosixPath(name).name}")),
            f"__MACOSX/{name}",
            f"@eaDir/{name}",
        )
    (found,) = find(raw)
    assert found == RawCase(found.id, image, label)
    for first, second, what in ((image, second_image, "image"), (label, second_label, "label map")):
        if not second:
            continue
        write(raw, second)
        with pytest.raises(UserError, match=f"holds two {what}s of case {found.id}, ") as caught:
            find(raw)
        assert first in str(caught.value) and second in str(caught.value)
        (raw / second).unlink()
    (raw / label).unlink()
    assert find(raw) == [RawCase(found.id, image, None)]


def spec(dataset: str) -> dict[str, object]:
    return {"dataset": dataset, "options": {}, "standin": False, "wanted": None}


def test_files_that_belong_to_no_case_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, "img/img0001.nii.gz", "label/label0001.nii.gz", "label/label0002.nii.gz", "old.nii", "a.txt")
    build_raw(spec("btcv"), tmp_path)
    assert [case["id"] for case in read_json(tmp_path / "manifest.json")["cases"]] == ["img0001"]
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")]
    assert len(lines) == 1
    assert lines[0].endswith(" belong to no case and are left out: old.nii, label/label0002.nii.gz")


def test_a_second_channel_is_refused_whatever_the_dataset_finds(tmp_path: Path) -> None:
    """A dataset that looks for its first channel alone, as users write it."""
    write(tmp_path, "images/FLARE22_Tr_0001_0000.nii.gz", "images/FLARE22_Tr_0001_0001.nii.gz")
    with pytest.raises(UserError, match=r"_0001_0001\.nii\.gz is channel 1 of case FLARE22_Tr_0001 by its name, exp"):
        build_raw(spec("flare22"), tmp_path)
    assert not (tmp_path / "manifest.json").exists()


def test_names_that_are_not_utf8_are_refused_in_a_raw_folder(tmp_path: Path) -> None:
    """A folder that was filled by hand on a Latin-1 machine: the id of the case, and a folder alone."""
    for name in ("images/M\udcfcller_0000.nii.gz", "M\udcfcller/FLARE22_Tr_0001_0000.nii.gz"):
        shutil.rmtree(tmp_path / "raw", ignore_errors=True)
        with pytest.raises(UserError, match=r"raw holds .*M\\udcfcller.*, a name that is not UTF-8: rename the file"):
            build_raw(spec("flare22"), write(tmp_path / "raw", name))
        assert not (tmp_path / "raw" / "manifest.json").exists()
