"""OpenKBP: the publisher's CSV folders become NIfTI files, verified on the way in."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
from support.raw_folders import import_raw
from support.real_copies import needs_openkbp, write_openkbp

from semiseg.base.errors import UserError
from semiseg.base.files import read_json
from semiseg.data.split_lists import PARTS, read_list
from semiseg.data.store import read_geometry, read_image, read_label
from semiseg.dataset import get_dataset
from semiseg.stages.prepare import prepare
from semiseg.stages.raw import build_raw

KBP = get_dataset("openkbp")
SHAPE = (128, 128, 128)
SPACING = (4.5, 4.25, 3.0)
BODY = (slice(40, 90), slice(30, 100), slice(10, 120))
BRAINSTEM, CORD, OVERLAP = (60, 61, 30), (70, 61, 60), (66, 61, 40)


def stored() -> np.ndarray:
    """Values as published: nothing outside a block, water in it, one voxel of metal."""
    image = np.zeros(SHAPE, np.int16)
    image[BODY] = 1000
    image[BRAINSTEM] = 1036
    image[41, 31, 11] = 28036
    return image


def masks() -> dict[str, np.ndarray]:
    made = {name: np.zeros(SHAPE, bool) for name in ("Brainstem", "SpinalCord", "PTV70")}
    made["Brainstem"][BRAINSTEM] = made["Brainstem"][OVERLAP] = True
    made["SpinalCord"][CORD] = made["SpinalCord"][OVERLAP] = True
    made["PTV70"][50:60] = True
    return made


def write_patient(folder: Path) -> Path:
    """A patient as ababier/open-kbp publishes it: positive values alone, a mask's second column empty."""
    folder.mkdir(parents=True)
    flat, image = np.flatnonzero(stored()), stored()
    rows = [f"{index},{float(value)}" for index, value in zip(flat, image[image > 0], strict=True)]
    (folder / "ct.csv").write_text("\n".join([",data", *rows]) + "\n")
    for name, mask in masks().items():
        (folder / f"{name}.csv").write_text("\n".join([",data", *(f"{i}," for i in np.flatnonzero(mask))]) + "\n")
    (folder / "voxel_dimensions.csv").write_text("".join(f"{value:.18e}\n" for value in SPACING))
    return folder


def label_map() -> np.ndarray:
    label = np.zeros(SHAPE, np.uint8)
    label[BRAINSTEM], label[CORD], label[OVERLAP] = 1, 2, 2
    return label


def test_a_patient_that_lies_there_twice_is_refused(tmp_path: Path) -> None:
    for folder in ("provided-data/train-pats/pt_1", "old/pt_1"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "ct.csv").write_text(",data\n")
    with pytest.raises(UserError, match=r"two ct\.csv files of case train_pt_1, old/pt_1/ct\.csv and provided-data/"):
        import_raw("openkbp", tmp_path, tmp_path / "raw")


def test_a_published_patient_becomes_hu_and_a_label_map_in_its_place_in_space(tmp_path: Path) -> None:
    write_patient(tmp_path / "provided-data" / "validation-pats" / "pt_201")
    raw = tmp_path / "raw"
    import_raw("openkbp", tmp_path / "provided-data", raw)
    assert sorted(path.relative_to(raw).as_posix() for path in raw.rglob("*.*")) == [
        "images/validation_pt_201.nii.gz",
        "labels/validation_pt_201.nii.gz",
        "manifest.json",
    ]
    image, label = (KBP.read_image(raw / kind / "validation_pt_201.nii.gz") for kind in ("images", "labels"))
    assert image.array.dtype == np.int16 and label.array.dtype == np.uint8
    np.testing.assert_array_equal(image.array, stored()[BODY].astype(int) - 1000)
    np.testing.assert_array_equal(label.array, label_map()[BODY])  # the overlap is the cord's, no voxel is the PTV's
    assert nibabel.aff2axcodes(image.affine) == ("P", "L", "I")
    assert image.spacing_mm == label.spacing_mm == SPACING
    np.testing.assert_allclose(image.affine @ [0, 0, 1, 0], [0, 0, -3, 0])  # the third axis leads 3 mm down a step
    np.testing.assert_allclose(image.affine @ [0, 0, 0, 1], [-30 * 4.25, -40 * 4.5, -10 * 3, 1])  # cut, not moved


def test_a_second_import_gives_the_same_bytes(tmp_path: Path) -> None:
    write_patient(tmp_path / "copy" / "train-pats" / "pt_4")
    names = ["images/train_pt_4.nii.gz", "labels/train_pt_4.nii.gz", "manifest.json"]
    contents = []
    for raw in ("a", "b", "b"):
        import_raw("openkbp", tmp_path / "copy", tmp_path / raw)
        contents.append([(tmp_path / raw / name).read_bytes() for name in names])
    assert contents[0] == contents[1] == contents[2]
    build_raw({"dataset": "openkbp", "options": {}, "wanted": None}, tmp_path / "b")  # as the workflow does afterwards
    assert (tmp_path / "b" / "manifest.json").read_bytes() == contents[0][2]


def test_only_wanted_patients_are_imported_and_missing_ones_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("pt_4", "pt_5"):
        write_patient(tmp_path / "copy" / "train-pats" / name)
    import_raw("openkbp", tmp_path / "copy", tmp_path / "raw", frozenset({"train_pt_4", "test_pt_260"}))
    assert [case["id"] for case in read_json(tmp_path / "raw" / "manifest.json")["cases"]] == ["train_pt_4"]
    assert "test: 1 of 1 cases are missing: test_pt_260" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "case"),
    [("pt_1", "train_pt_1"), ("pt_200", "train_pt_200"), ("validation_pt_201", "validation_pt_201"),
     ("pt_240", "validation_pt_240"), ("pt_241", "test_pt_241"), ("pt_340", "test_pt_340")],
)  # fmt: skip
def test_a_number_tells_the_part(name: str, case: str) -> None:
    assert KBP.case_id(name) == case
    assert case in {case for part in KBP.parts for case in part.cases}


@pytest.mark.parametrize("name", ["pt_0", "pt_341", "pt_x", "train_pt_-1"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(UserError, match=f"{name} is no patient of openkbp"):
        KBP.case_id(name)


def test_a_folder_without_patients_is_refused(tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    with pytest.raises(UserError, match=r"copy holds no patient of openkbp .*git clone"):
        import_raw("openkbp", tmp_path / "copy", tmp_path / "raw")
    with pytest.raises(UserError, match=r"holds no case of openkbp: .*semiseg import openkbp"):
        KBP.find(tmp_path / "raw")


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("voxel_dimensions.csv", None),
        ("voxel_dimensions.csv", "4.5\n4.5\n"),
        ("ct.csv", ",data\n17,abc\n"),
        ("ct.csv", ",data\n17\n"),
        ("ct.csv", f",data\n{128**3},900.0\n"),
        ("Brainstem.csv", f",data\n{128**3},\n"),
        ("Brainstem.csv", ",data\nx,\n"),
    ],
)
def test_a_damaged_patient_is_refused_by_name(tmp_path: Path, file: str, content: str | None) -> None:
    folder = write_patient(tmp_path / "copy" / "train-pats" / "pt_4")
    (folder / file).unlink()
    if content is not None:
        (folder / file).write_text(content)
    with pytest.raises(UserError, match=r"train-pats/pt_4 cannot be read as a patient of openkbp"):
        import_raw("openkbp", tmp_path / "copy", tmp_path / "raw")
    assert not (tmp_path / "raw").exists()


def test_a_spacing_that_is_none_is_refused(tmp_path: Path) -> None:
    folder = write_patient(tmp_path / "copy" / "train-pats" / "pt_4")
    (folder / "voxel_dimensions.csv").write_text("4.5\n0\n3\n")
    with pytest.raises(UserError, match=r"pt_4 has spacing .* expected three numbers from"):
        import_raw("openkbp", tmp_path / "copy", tmp_path / "raw")


def test_an_empty_patient_is_refused_by_name(tmp_path: Path) -> None:
    folder = write_patient(tmp_path / "copy" / "train-pats" / "pt_4")
    for mask in masks():
        (folder / f"{mask}.csv").unlink()
    (folder / "ct.csv").write_text(",data\n17,0.0\n")
    with pytest.raises(UserError, match=r"train-pats/pt_4 cannot be read as a patient of openkbp"):
        import_raw("openkbp", tmp_path / "copy", tmp_path / "raw")


def test_the_list_is_made_of_official_patients_and_keeps_parts_apart() -> None:
    content = read_list("openkbp_small")
    assert [len(content[part]) for part in PARTS] == [3, 27, 0, 10]
    assert all(KBP.case_id(name) == name for part in PARTS for name in content[part])
    assert all(name.startswith("train_") for part in ("labelled", "unlabelled") for name in content[part])
    assert not any(name.startswith("train_") for name in content["test"])


@needs_openkbp
def test_real_patients_lie_head_up_and_on_the_right_side(tmp_path: Path) -> None:
    wanted = frozenset({"train_pt_4", "validation_pt_201", "test_pt_260"})
    for name in wanted:
        write_openkbp(tmp_path / "copy", name)
    import_raw("openkbp", tmp_path / "copy", tmp_path / "raw", wanted)
    steps = [{"step": "orient", "to": "RAS"}]
    spec = {"dataset": "openkbp", "name": "ras", "preparation": {"axes": "xyz", "steps": steps}}
    prepare(spec, tmp_path / "raw" / "manifest.json", tmp_path / "out" / "index.json")
    for case in wanted:
        file = tmp_path / "out" / f"{case}.h5"
        label, image = read_label(file), read_image(file)
        centre = {organ.abbreviation: np.argwhere(label == organ.id).mean(0) for organ in KBP.organs}
        assert centre["R.par"][0] > centre["L.par"][0]  # x runs to the right
        assert centre["Man"][1] > centre["SC"][1]  # y runs to the front
        assert centre["BS"][2] > centre["Lar"][2] > centre["Eso"][2]  # z runs up
        tall = np.ptp(np.argwhere(label == 1)[:, 2]) * read_geometry(file).spacing_mm[2]
        assert 40 < tall < 75  # a brainstem, mm
        assert image.min() == -1000 and 10 < np.median(image[label == 1]) < 60  # HU of brain
