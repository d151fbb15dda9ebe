"""LA: two forms of a user's copy, verified on the way in."""

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import SimpleITK as sitk
from support.prepared_cases import raw_spec
from support.raw_folders import import_raw
from support.real_copies import la_case, needs_la, write_la

from semiseg.base.errors import UserError
from semiseg.base.files import read_json
from semiseg.data.split_lists import PARTS, read_list
from semiseg.data.standin import get_standin
from semiseg.data.store import read_geometry, read_image, read_label
from semiseg.dataset import get_dataset
from semiseg.datasets.la import NO_PLACE
from semiseg.stages.prepare import prepare
from semiseg.stages.raw import build_raw

NAMES = read_list("la_uamt_8lab")["labelled"]
SHAPE = (30, 28, 6)
LA = get_dataset("la")
PREPARATION = {"axes": "xyz", "steps": [
    {"step": "zscore"}, {"step": "crop_label", "at_least": (8, 8), "margin": (2, 3), "seed": 1},
]}  # fmt: skip


def picture(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 200, SHAPE).astype(np.float32)


def atrium() -> np.ndarray:
    label = np.zeros(SHAPE, np.uint8)
    label[10:16, 9:20, 1:5] = 1
    return label


def write_h5(folder: Path, image: np.ndarray, label: np.ndarray) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with h5py.File(folder / "mri_norm2.h5", "w") as file:
        file["image"], file["label"] = image, label
    return folder / "mri_norm2.h5"


def write_nrrd(folder: Path, image: np.ndarray, label: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in (("lgemri", image), ("laendo", label)):
        volume = sitk.GetImageFromArray(array.astype(np.uint8).transpose(2, 1, 0))
        volume.SetSpacing((0.625, 0.625, 0.625))
        sitk.WriteImage(volume, str(folder / f"{name}.nrrd"))


def run(raw: Path, out: Path) -> dict[str, object]:
    prepare({"dataset": "la", "name": "la", "preparation": PREPARATION}, raw / "manifest.json", out)
    return read_json(out)


def test_a_folder_whose_name_is_not_utf8_is_refused_without_a_trace(tmp_path: Path) -> None:
    """SimpleITK would abort the process over such a name."""
    write_nrrd(tmp_path / "copy" / "x", picture(), atrium())
    (tmp_path / "copy" / "x").rename(tmp_path / "copy" / "Ren\udce9")
    with pytest.raises(UserError, match=r"Ren\\udce9/laendo\.nrrd has a name that is not UTF-8: .* rename the file"):
        import_raw("la", tmp_path / "copy", tmp_path / "data" / "la")
    assert not list((tmp_path / "data").rglob("*"))


def test_distributed_files_are_taken_as_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, raw = tmp_path / "2018LA_Seg_Training Set", tmp_path / "raw"
    for number, name in enumerate(NAMES[:2]):
        file = write_h5(source / name, picture(number), atrium())
    (source / NAMES[0] / "desktop.ini").write_text("stray")
    import_raw("la", tmp_path, raw)
    assert (raw / NAMES[1] / "mri_norm2.h5").read_bytes() == file.read_bytes()
    assert sorted(path.name for path in raw.iterdir()) == sorted([*NAMES[:2], "manifest.json"])
    manifest = read_json(raw / "manifest.json")
    assert manifest["applied"] == ["crop_label", "zscore"] and len(manifest["files"]) == 2
    assert "training: 98 of 100 cases are missing: " in capsys.readouterr().err
    index = run(raw, tmp_path / "out" / "index.json")
    assert index["skipped"] == ["crop_label", "zscore"]
    stored = tmp_path / "out" / f"{NAMES[1]}.h5"
    np.testing.assert_array_equal(read_image(stored), picture(1))
    np.testing.assert_array_equal(read_label(stored), atrium())
    assert read_geometry(stored).spacing_mm == (0.625, 0.625, 0.625)


def test_a_place_that_a_file_states_is_not_dropped(tmp_path: Path) -> None:
    """The distributed files state none, so 0.625 mm are assumed; a file that states one is another file."""
    for number, state in enumerate(
        (
            lambda file: file.attrs.update({"spacing": (1.0, 1.0, 2.0)}),
            lambda file: file["image"].attrs.update({"element_size_um": (1.0, 1.0, 2.0)}),
            lambda file: file.create_dataset("affine", data=np.eye(4)),
        )
    ):
        path = write_h5(tmp_path / str(number), picture(), atrium())
        with h5py.File(path, "a") as file:
            state(file)
        with pytest.raises(UserError, match=r"mri_norm2\.h5 states (spacing|element_size_um|affine), which"):
            LA.read_image(path)
    assert LA.read_image(write_h5(tmp_path / "plain", picture(), atrium())).notes == (NO_PLACE,)


def test_the_challenges_own_folders_go_through_the_preparation(tmp_path: Path) -> None:
    write_nrrd(tmp_path / "copy" / "x" / NAMES[0], picture(), atrium() * 255)
    raw = tmp_path / "raw"
    import_raw("la", tmp_path / "copy", raw)
    assert read_json(raw / "manifest.json")["applied"] == []
    assert LA.read_label(raw / NAMES[0] / "laendo.nrrd").array.sum() == atrium().sum()
    run(raw, tmp_path / "out" / "index.json")
    image = picture()
    z = (image - image.mean(dtype=np.float64)) / image.std(dtype=np.float64)  # of the whole scan, then cropped
    # x: extent 5 of 8 wanted, 1 more on each side, then 2: 10-3 .. 15+3; y: extent 10, only the margin: 9-2 .. 19+2
    np.testing.assert_allclose(read_image(tmp_path / "out" / f"{NAMES[0]}.h5"), z[7:18, 7:21], atol=1e-5)


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.gz"])
def test_an_archive_of_the_challenge_is_opened(tmp_path: Path, suffix: str) -> None:
    top = tmp_path / "copy" / "Training Set"
    for name in NAMES[:2]:
        write_nrrd(top / name, picture(), atrium() * 255)
    kind = {".zip": "zip", ".tar": "tar", ".tar.gz": "gztar"}[suffix]
    archive = shutil.make_archive(str(tmp_path / "Training Set"), kind, tmp_path / "copy")
    import_raw("la", Path(archive), tmp_path / "raw")
    assert [case.id for case in LA.find(tmp_path / "raw")] == sorted(NAMES[:2])
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["copy", "raw"]


def test_a_scan_without_label_is_brought_and_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_nrrd(tmp_path / "copy" / NAMES[0], picture(), atrium() * 255)
    (tmp_path / "copy" / NAMES[0] / "laendo.nrrd").unlink()
    import_raw("la", tmp_path / "copy", tmp_path / "raw")
    assert LA.find(tmp_path / "raw")[0].label is None
    assert f"training: 1 of 100 cases have no label file: {NAMES[0]}" in capsys.readouterr().err


def test_the_part_is_the_hundred_cases_of_the_lists() -> None:
    (part,) = LA.parts
    assert len(set(part.cases)) == 100 and part.labelled and not part.open
    other = read_list("la_uamt_16lab")
    assert set(part.cases) == {case for name in PARTS for case in other[name]}


def test_importing_again_keeps_what_is_right(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    for number, name in enumerate(NAMES[:2]):
        write_h5(tmp_path / "copy" / name, picture(number), atrium())
    import_raw("la", tmp_path / "copy", raw)
    files = [raw / name / "mri_norm2.h5" for name in NAMES[:2]]
    times = [file.stat().st_mtime_ns for file in files]
    files[1].write_bytes(b"cut off")
    import_raw("la", tmp_path / "copy", raw)
    assert files[0].stat().st_mtime_ns == times[0]
    np.testing.assert_array_equal(LA.read_image(files[1]).array, picture(1))
    manifest = (raw / "manifest.json").read_bytes()
    build_raw(raw_spec("la", source=None), raw)  # what the workflow does after `semiseg import`
    assert (raw / "manifest.json").read_bytes() == manifest


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    with pytest.raises(UserError, match=r"copy holds no file of la: register at"):
        import_raw("la", tmp_path / "copy", tmp_path / "raw")
    assert not (tmp_path / "raw").exists()


@pytest.mark.parametrize(
    ("image", "label", "sentence"),
    [
        (picture(), atrium() * 3, "has label values 3, expected 0, 1"),
        (picture(), atrium() * 0, "the label has no voxel of the atrium"),
        (picture()[:-1], atrium(), "differ in shape"),
        (np.where(atrium() > 0, np.nan, picture()).astype(np.float32), atrium(), "NaN or infinite"),
        (picture()[0], atrium()[0], r"shape \(28, 6\), expected one 3-D volume"),
    ],
)
def test_wrong_content_is_refused_by_name(tmp_path: Path, image: np.ndarray, label: np.ndarray, sentence: str) -> None:
    write_h5(tmp_path / "copy" / NAMES[0], image, label)
    with pytest.raises(UserError, match=f"copy/{NAMES[0]}/mri_norm2.h5.*{sentence}"):
        import_raw("la", tmp_path / "copy", tmp_path / "raw")
    assert not (tmp_path / "raw").exists()


def test_damaged_files_are_refused_by_name(tmp_path: Path) -> None:
    file = write_h5(tmp_path / "copy" / NAMES[0], picture(), atrium())
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"mri_norm2\.h5 cannot be read as HDF5"):
        import_raw("la", tmp_path / "copy", tmp_path / "raw")


def test_grey_value_one_is_not_the_atrium(tmp_path: Path) -> None:
    label = atrium() * 255
    label[0, 0, 0] = 1
    write_nrrd(tmp_path / "copy" / NAMES[0], picture(), label)
    with pytest.raises(UserError, match=r"laendo\.nrrd has label values 1, expected 0, 255"):
        import_raw("la", tmp_path / "copy", tmp_path / "raw")


def test_both_forms_in_one_folder_are_refused(tmp_path: Path) -> None:
    write_h5(tmp_path / NAMES[0], picture(), atrium())
    write_nrrd(tmp_path / NAMES[1], picture(), atrium() * 255)
    with pytest.raises(UserError, match="mixes"):
        LA.find(tmp_path)


# --- real scans -----------------------------------------------------------------------------------------------------


@needs_la
def test_real_cases_are_taken_as_they_are(tmp_path: Path) -> None:
    for name in (NAMES[0], "CMPXO4J23G58J53Q98SZ"):
        write_la(tmp_path / "copy", name)
    import_raw("la", tmp_path / "copy", tmp_path / "raw")
    for case in LA.find(tmp_path / "raw"):
        image, label = la_case(case.id)
        np.testing.assert_array_equal(LA.read_image(tmp_path / "raw" / case.image).array, image)
        np.testing.assert_array_equal(LA.read_label(tmp_path / "raw" / case.label).array, label)
        assert image.dtype == np.float32 and image.shape[2] == 88


# --- the stand-in ---------------------------------------------------------------------------------------------------


def test_the_stand_in_goes_the_way_of_the_challenges_archive(tmp_path: Path) -> None:
    for folder in ("once", "again"):
        get_standin("la")(tmp_path / folder, NAMES[:2], 1, 1)
    archive = Path("brought") / "Training Set.zip"
    assert (tmp_path / "once" / archive).read_bytes() == (tmp_path / "again" / archive).read_bytes()
    raw = tmp_path / "raw"
    import_raw("la", tmp_path / "once" / "brought", raw)
    assert [case.id for case in LA.find(raw)] == sorted(NAMES[:2])
    for case in LA.find(raw):
        image, label = LA.read_image(raw / case.image), LA.read_label(raw / case.label)
        assert image.array.dtype == np.uint8 and image.spacing_mm == pytest.approx((0.625,) * 3)
        assert set(np.unique(label.array)) == {0, 1} and 5000 < label.array.sum() < 20000
        blood = np.median(image.array[label.array == 1])
        assert blood > np.median(image.array[label.array == 0])
