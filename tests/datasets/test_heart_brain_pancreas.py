"""MM-WHS, Pancreas-CT and BraTS 2019: what a user brings or TCIA serves, as cases; and their stand-ins."""

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from support import REALDATA
from support.needs import needs_real_data
from support.prepared_cases import raw_spec
from support.raw_folders import import_raw

from semiseg.base.errors import UserError
from semiseg.base.volume import Volume
from semiseg.data.arrival.folder_adapter import folder_session
from semiseg.data.arrival.zipped import write_zip
from semiseg.data.images import read_nifti, write_nifti
from semiseg.data.standin import get_standin
from semiseg.dataset import Dataset, RawCase, get_dataset
from semiseg.stages.prepare import prepare
from semiseg.stages.raw import build_raw
from semiseg.standins._dicom import write_slices

REAL = REALDATA
STORED = (205, 420, 500, 550, 600, 820, 850)
SPACING = (0.8, 0.8, 1.0)
HEARTS = ["ct_train_1001", "ct_train_1002", "mr_train_1002", "mr_train_1010", "ct_test_2001"]
ABDOMENS = ["PANCREAS_0001", "PANCREAS_0002", "PANCREAS_0026"]
BRAINS = ["BraTS19_CBICA_AAB_1", "BraTS19_2013_0_1", "BraTS19_TCIA02_370_1", "BraTS19_CBICA_AAG_1"]
CASES = {"mmwhs": HEARTS, "pancreas_ct": ABDOMENS, "brats19": BRAINS}


def write(path: Path, array: np.ndarray, affine: np.ndarray | None = None) -> None:
    write_nifti(path, Volume(array, np.eye(4) if affine is None else affine))


def read(kind: Dataset, raw: Path, case: RawCase) -> tuple[Volume, Volume]:
    assert case.label is not None
    return kind.read_image(raw / case.image), kind.read_label(raw / case.label)


# --- contract -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*CASES, "la"])
def test_facts_are_complete(name: str) -> None:
    kind = get_dataset(name)
    assert kind.name == name and kind.layout and kind.notes and kind.licence and kind.citation and kind.source
    assert [organ.id for organ in kind.organs] == list(range(1, len(kind.organs) + 1))
    assert len({organ.abbreviation for organ in kind.organs}) == len(kind.organs)
    cases = [case for part in kind.parts for case in part.cases]
    assert len(set(cases)) == len(cases) and all(kind.case_id(case) == case for case in cases)


def test_parts_are_what_the_publishers_offer() -> None:
    counts = {name: {part.name: len(part.cases) for part in get_dataset(name).parts} for name in CASES}
    assert counts["mmwhs"] == {"ct_train": 20, "mr_train": 20, "ct_test": 40, "mr_test": 40}
    assert counts["pancreas_ct"] == {"collection": 80} and counts["brats19"] == {"training": 335}
    assert not {"PANCREAS_0025", "PANCREAS_0070"} & set(get_dataset("pancreas_ct").parts[0].cases)
    assert [organ.abbreviation for organ in get_dataset("mmwhs").organs] == ["MYO", "LA", "LV", "RA", "RV", "AA", "PA"]


def test_modality_is_known_from_the_name() -> None:
    modality_of = get_dataset("mmwhs").modality_of
    assert modality_of is not None
    assert modality_of("ct_train_1001") == "CT" and modality_of("mr_train_1001") == "MRI"


@pytest.mark.parametrize("name", ["image0057", "0057", "PANCREAS_0057.h5", "image0057_norm.h5", "PANCREAS_0057"])
def test_names_of_published_pancreas_lists_are_mapped(name: str) -> None:
    assert get_dataset("pancreas_ct").case_id(name) == "PANCREAS_0057"


# --- stand-ins ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Folder of a dataset's stand-in, drawn once."""
    top = tmp_path_factory.mktemp("standins")

    def folder(name: str) -> Path:
        if not (top / name).exists():
            get_standin(name)(top / name, CASES[name], 7, 1)
        return top / name

    return folder


def downloaded(standin: Path, into: Path) -> Path:
    """Folder of the files that Pancreas-CT's server lists."""
    kind = get_dataset("pancreas_ct")
    into.mkdir(parents=True)
    with folder_session(standin / "served") as session:
        assert kind.remote is not None
        for file in kind.remote(lambda url: session.get(url).json()):
            (into / file.name).write_bytes(session.get(file.url).content)
    return into


def imported(name: str, standin: Path, tmp_path: Path) -> Path:
    """Raw folder of the stand-in, by the way of the original."""
    source = downloaded(standin, tmp_path / "archives") if name == "pancreas_ct" else standin / "brought"
    import_raw(name, source, tmp_path / "raw")
    return tmp_path / "raw"


@pytest.mark.parametrize("name", CASES)
def test_equal_arguments_give_equal_bytes(name: str, drawn: Callable[[str], Path], tmp_path: Path) -> None:
    get_standin(name)(tmp_path, CASES[name], 7, 2)
    files = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(drawn(name)) for path in drawn(name).rglob("*") if path.is_file())
    for file in files:
        assert (tmp_path / file).read_bytes() == (drawn(name) / file).read_bytes(), file
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) < len(CASES[name]) * 10e6 / 14


@pytest.mark.parametrize("name", CASES)
def test_every_organ_of_every_drawn_case_is_read(name: str, drawn: Callable[[str], Path], tmp_path: Path) -> None:
    kind, raw = get_dataset(name), imported(name, drawn(name), tmp_path)
    cases = kind.find(raw)
    assert [case.id for case in cases] == sorted(CASES[name])
    for case in cases:
        if "_test_" in case.id:
            assert case.label is None
            continue
        image, label = read(kind, raw, case)
        np.testing.assert_allclose(image.affine, label.affine, atol=1e-4)
        counts = np.bincount(label.array.ravel(), minlength=len(kind.organs) + 1)
        assert len(counts) == len(kind.organs) + 1 and counts.min() > 200, case.id
    assert not [path for path in raw.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("name", CASES)
def test_organs_survive_the_preparation_of_the_shared_grid(
    name: str, drawn: Callable[[str], Path], tmp_path: Path
) -> None:
    raw, out = imported(name, drawn(name), tmp_path), tmp_path / "out" / "index.json"
    steps = [
        {"step": "orient", "to": "LPI"},
        {"step": "resample", "spacing": (1.25, 1.25, 2.5), "library": "scipy", "order": 1},
        {"step": "rescale", "low": 0.5, "high": 99.5},
    ]
    spec = {"dataset": name, "name": "grid", "preparation": {"axes": "zyx", "steps": steps}}
    prepare(spec, raw / "manifest.json", out)
    index = json.loads(out.read_text(encoding="utf-8"))
    assert len(index["cases"]) == len(CASES[name])
    for case, entry in index["cases"].items():
        assert "_test_" in case or min(entry["voxels"]) > 30, case


def test_drawn_hearts_look_like_the_originals(drawn: Callable[[str], Path], tmp_path: Path) -> None:
    kind, raw = get_dataset("mmwhs"), imported("mmwhs", drawn("mmwhs"), tmp_path)
    directions = set()
    for case in kind.find(raw):
        image = kind.read_image(raw / case.image)
        directions.add("".join(nibabel.aff2axcodes(image.affine)))
        assert image.array.dtype == np.int16 and (image.array.min() < -700) == case.id.startswith("ct")
        plane = sorted(image.spacing_mm)[0]
        assert plane == pytest.approx(0.44 if case.id.startswith("ct") else 0.97, rel=0.12)
    assert len(directions) > 1


def test_drawn_oddities_of_mmwhs(drawn: Callable[[str], Path], tmp_path: Path) -> None:
    raw = imported("mmwhs", drawn("mmwhs"), tmp_path)
    stored = {case: read_nifti(raw / "mr_train" / f"{case}_label.nii.gz").array for case in HEARTS if "mr" in case}
    assert set(np.unique(stored["mr_train_1010"])) == {0, *STORED, 421}
    edges = stored["mr_train_1002"].copy()
    edges[4:-4, 4:-4, 4:-4] = 0
    assert (edges > 0).sum() >= 18


def test_drawn_brains_look_like_the_originals(drawn: Callable[[str], Path], tmp_path: Path) -> None:
    kind, raw = get_dataset("brats19"), imported("brats19", drawn("brats19"), tmp_path)
    for case in kind.find(raw):
        image, label = read(kind, raw, case)
        assert nibabel.aff2axcodes(image.affine) == ("L", "P", "S") and image.spacing_mm == pytest.approx((1, 1, 1))
        outside = image.array == 0
        assert 0.4 < outside.mean() < 0.9 and not (outside & (label.array > 0)).any()
        assert np.median(image.array[label.array == 1]) > np.median(image.array[~outside])
        assert set(np.unique(read_nifti(raw / str(case.label)).array)) == {0, 1, 2, 4}


# --- MM-WHS ---------------------------------------------------------------------------------------------------------


def seven() -> np.ndarray:
    label = np.zeros((12, 12, 12), np.int16)
    for index, value in enumerate(STORED):
        label[index] = value
    return label


def write_heart(folder: Path, case: str, label: np.ndarray | None) -> None:
    write(folder / f"{case}_image.nii.gz", np.arange(12**3, dtype=np.int16).reshape(12, 12, 12))
    if label is not None:
        write(folder / f"{case}_label.nii.gz", label)


def test_stored_values_become_ids_in_the_published_order(tmp_path: Path) -> None:
    write_heart(tmp_path / "any" / "depth", "ct_train_1003", seven())
    import_raw("mmwhs", tmp_path / "any", tmp_path / "raw")
    label = get_dataset("mmwhs").read_label(tmp_path / "raw" / "ct_train" / "ct_train_1003_label.nii.gz")
    assert label.array.dtype == np.uint8 and label.array[:8, 0, 0].tolist() == [1, 2, 3, 4, 5, 6, 7, 0]


def test_the_stray_value_is_background_and_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    label = seven()
    label[8, :2, 0] = 421
    write_heart(tmp_path, "mr_train_1010", label)
    read_back = get_dataset("mmwhs").read_label(tmp_path / "mr_train_1010_label.nii.gz")
    assert not read_back.array[8].any()
    assert "case mr_train_1010: 2 voxels of the stray label value 421" in capsys.readouterr().err


@pytest.mark.parametrize("value", [3, 7, 419, -1])
def test_other_values_do_not_pass_for_structures(tmp_path: Path, value: int) -> None:
    label = seven()
    label[9, 0, 0] = value
    write_heart(tmp_path / "copy", "ct_train_1001", label)
    import_raw("mmwhs", tmp_path / "copy", tmp_path / "raw")
    spec = {"dataset": "mmwhs", "name": "none", "preparation": {"axes": "xyz", "steps": []}}
    with pytest.raises(UserError, match=rf"case ct_train_1001: .*_label\.nii\.gz has label values {value}, expected 0"):
        prepare(spec, tmp_path / "raw" / "manifest.json", tmp_path / "out" / "index.json")


def test_only_wanted_scans_of_the_test_parts_are_brought(tmp_path: Path) -> None:
    write_heart(tmp_path / "copy", "ct_train_1001", seven())
    for case in ("ct_test_2001", "ct_test_2002"):
        write_heart(tmp_path / "copy", case, None)
    import_raw("mmwhs", tmp_path / "copy", tmp_path / "raw", frozenset({"ct_test_2002"}))
    assert [case.id for case in get_dataset("mmwhs").find(tmp_path / "raw")] == ["ct_test_2002", "ct_train_1001"]


def test_what_a_copy_lacks_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_heart(tmp_path / "copy", "ct_train_1001", None)
    import_raw("mmwhs", tmp_path / "copy", tmp_path / "raw", frozenset())
    printed = capsys.readouterr().err
    assert "ct_train: 19 of 20 cases are missing: ct_train_1002," in printed
    assert "ct_train: 1 of 20 cases have no label file: ct_train_1001" in printed and "ct_test" not in printed


# --- BraTS 2019 -----------------------------------------------------------------------------------------------------


def write_brain(folder: Path, case: str, values: tuple[int, ...], ending: str = ".nii.gz") -> None:
    label = np.zeros((6, 6, 6), np.uint8)
    label[0, 0, : len(values)] = values
    for name in ("t1", "t1ce", "t2", "flair"):
        write(folder / case / f"{case}_{name}{ending}", np.arange(216, dtype=np.int16).reshape(6, 6, 6))
    write(folder / case / f"{case}_seg{ending}", label)


def test_both_endings_are_read_and_other_sequences_left(tmp_path: Path) -> None:
    write_brain(tmp_path / "copy" / "HGG", BRAINS[0], (1, 2, 4))
    write_brain(tmp_path / "copy" / "LGG", BRAINS[1], (2, 2, 1), ".nii")
    import_raw("brats19", tmp_path / "copy", tmp_path / "raw")
    kind, raw = get_dataset("brats19"), tmp_path / "raw"
    assert [case.image for case in kind.find(raw)] == [
        f"LGG/{BRAINS[1]}/{BRAINS[1]}_flair.nii",
        f"HGG/{BRAINS[0]}/{BRAINS[0]}_flair.nii.gz",
    ]
    for case in kind.find(raw):
        image, label = read(kind, raw, case)
        assert image.array.max() == 215 and label.array.sum() == 3 and label.array.max() == 1
    assert not list(raw.rglob("*_t1*"))


def test_label_three_is_refused_as_of_earlier_years(tmp_path: Path) -> None:
    write_brain(tmp_path / "HGG", BRAINS[0], (1, 2, 3, 4))
    with pytest.raises(UserError, match=r"_seg\.nii\.gz has label values 3, .*label 3 belongs to BraTS 2013 to 2015"):
        get_dataset("brats19").read_label(tmp_path / "HGG" / BRAINS[0] / f"{BRAINS[0]}_seg.nii.gz")


@pytest.mark.parametrize(("grade", "ending"), [("HGG", ".nii"), ("LGG", ".nii.gz")])
def test_a_case_that_lies_there_twice_is_refused(tmp_path: Path, grade: str, ending: str) -> None:
    write_brain(tmp_path / "copy" / "HGG", BRAINS[0], (1,))
    write_brain(tmp_path / "copy" / grade, BRAINS[0], (1,), ending)
    with pytest.raises(UserError, match=f"holds two images of case {BRAINS[0]}, HGG/.* and {grade}/"):
        import_raw("brats19", tmp_path / "copy", tmp_path / "raw")


def test_another_year_is_not_taken_for_2019(tmp_path: Path) -> None:
    write_brain(tmp_path / "copy", "BraTS20_Training_001", (1,))
    with pytest.raises(UserError, match=r"holds no file of brats19: register"):
        import_raw("brats19", tmp_path / "copy", tmp_path / "raw")


# --- Pancreas-CT ----------------------------------------------------------------------------------------------------


def abdomen() -> tuple[np.ndarray, np.ndarray]:
    """HU and pancreas ``[x y z]`` running to the left, front and feet: fat, with soft tissue in front."""
    hu = np.full((10, 12, 4), -100, np.int16)
    label = np.zeros(hu.shape, np.uint8)
    label[3:7, 8:11, 1:3] = 1
    hu[label == 1] = 95
    hu[0, 0, 0] = 700
    return hu, label


def write_abdomen(folder: Path, case: str, label: np.ndarray, series: str = "1.2.3") -> None:
    slices = write_slices(abdomen()[0], SPACING, np.array([-4.0, 5.0, 30.0]), case)
    for name, content in slices.items():
        path = folder / "Pancreas-CT" / case / "1.2" / series / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    write(folder / "labels" / f"label{case[-4:]}.nii.gz", label, np.diag([-0.8, 0.8, -1.0, 1.0]))


@pytest.mark.parametrize("flipped", [False, True])
def test_the_data_retrievers_folder_is_packed(tmp_path: Path, flipped: bool) -> None:
    hu, label = abdomen()
    write_abdomen(tmp_path / "copy", "PANCREAS_0001", label[:, ::-1] if flipped else label)
    import_raw("pancreas_ct", tmp_path / "copy", tmp_path / "raw")
    kind, raw = get_dataset("pancreas_ct"), tmp_path / "raw"
    assert sorted(path.name for path in raw.iterdir()) == ["PANCREAS_0001.zip", "label0001.nii.gz", "manifest.json"]
    image, found = read(kind, raw, kind.find(raw)[0])
    assert nibabel.aff2axcodes(image.affine) == ("L", "A", "I") and image.spacing_mm == pytest.approx(SPACING)
    np.testing.assert_array_equal(image.array, hu)
    np.testing.assert_array_equal(found.array, label)
    np.testing.assert_array_equal(found.affine, image.affine)


def test_packed_slices_carry_no_date_of_their_own(tmp_path: Path) -> None:
    write_abdomen(tmp_path / "copy", "PANCREAS_0001", abdomen()[1])
    import_raw("pancreas_ct", tmp_path / "copy", tmp_path / "raw")
    with zipfile.ZipFile(tmp_path / "raw" / "PANCREAS_0001.zip") as archive:
        assert archive.namelist() == ["1-001.dcm", "1-002.dcm", "1-003.dcm", "1-004.dcm"]
        assert {member.date_time for member in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {member.compress_type for member in archive.infolist()} == {zipfile.ZIP_STORED}


def test_an_archive_of_the_retrievers_folder_is_packed_alike(tmp_path: Path) -> None:
    write_abdomen(tmp_path / "copy", "PANCREAS_0001", abdomen()[1])
    archive = shutil.make_archive(str(tmp_path / "manifest-1599750808610"), "zip", tmp_path / "copy")
    import_raw("pancreas_ct", tmp_path / "copy", tmp_path / "raw")
    import_raw("pancreas_ct", Path(archive), tmp_path / "other")
    assert (tmp_path / "raw" / "PANCREAS_0001.zip").read_bytes() == (
        tmp_path / "other" / "PANCREAS_0001.zip"
    ).read_bytes()


def test_slices_without_an_ending_are_packed_too(tmp_path: Path) -> None:
    write_abdomen(tmp_path / "copy", "PANCREAS_0001", abdomen()[1])
    for path in (tmp_path / "copy").rglob("*.dcm"):
        path.rename(path.with_name(f"IM{path.stem[-4:]}"))
    for name in ("DICOMDIR", "LICENSE", "._IM0001"):
        (tmp_path / "copy" / "Pancreas-CT" / "PANCREAS_0001" / "1.2" / "1.2.3" / name).write_text("no slice")
    import_raw("pancreas_ct", tmp_path / "copy", tmp_path / "raw")
    with zipfile.ZipFile(tmp_path / "raw" / "PANCREAS_0001.zip") as archive:
        assert archive.namelist() == ["IM-001", "IM-002", "IM-003", "IM-004"]


def test_two_series_of_a_case_are_refused_and_leave_nothing(tmp_path: Path) -> None:
    for series in ("1.2.3", "1.2.4"):
        write_abdomen(tmp_path / "copy", "PANCREAS_0001", abdomen()[1], series)
    with pytest.raises(UserError, match=r"PANCREAS_0001 has 2 series, expected one: bring one of 1\.2\.3, 1\.2\.4"):
        import_raw("pancreas_ct", tmp_path / "copy", tmp_path / "raw")
    assert not list((tmp_path / "raw").rglob("*.dcm")) and not list((tmp_path / "raw").rglob("*.zip"))


def test_a_label_on_fat_is_refused(tmp_path: Path) -> None:
    _, label = abdomen()
    write_abdomen(tmp_path / "copy", "PANCREAS_0001", np.roll(label, 2, 2)[:, [0, 1, 2, 3, 8, 9, 10, 4, 5, 6, 7, 11]])
    import_raw("pancreas_ct", tmp_path / "copy", tmp_path / "raw")
    with pytest.raises(UserError, match=r"label0001\.nii\.gz does not lie on soft tissue: under it the CT is 190 HU"):
        get_dataset("pancreas_ct").read_label(tmp_path / "raw" / "label0001.nii.gz")


@pytest.mark.parametrize(
    ("shape", "affine", "sentence"),
    [
        ((10, 12, 5), np.diag([-0.8, 0.8, -1.0, 1.0]), r"has shape \(10, 12, 5\), its image \(10, 12, 4\)"),
        ((10, 12, 4), np.diag([-0.8, 0.8, -2.0, 1.0]), r"voxels of 0\.800 x 0\.800 x 2\.000 mm, its image of 0\.800"),
    ],
)
def test_a_label_of_another_grid_is_refused(
    tmp_path: Path, shape: tuple[int, ...], affine: np.ndarray, sentence: str
) -> None:
    write_abdomen(tmp_path / "copy", "PANCREAS_0001", abdomen()[1])
    write(tmp_path / "copy" / "labels" / "label0001.nii.gz", np.ones(shape, np.uint8), affine)
    import_raw("pancreas_ct", tmp_path / "copy", tmp_path / "raw")
    with pytest.raises(UserError, match=sentence):
        get_dataset("pancreas_ct").read_label(tmp_path / "raw" / "label0001.nii.gz")


def test_a_label_stored_in_other_directions_is_turned(tmp_path: Path) -> None:
    _, label = abdomen()
    write_abdomen(tmp_path / "copy", "PANCREAS_0001", label)
    turned = label[::-1, ::-1].transpose(2, 0, 1)  # feet, right, back
    affine = np.array([[0, 0.8, 0, 0], [0, 0, -0.8, 0], [-1.0, 0, 0, 0], [0, 0, 0, 1]])
    write(tmp_path / "copy" / "labels" / "label0001.nii.gz", turned, affine)
    import_raw("pancreas_ct", tmp_path / "copy", tmp_path / "raw")
    found = get_dataset("pancreas_ct").read_label(tmp_path / "raw" / "label0001.nii.gz")
    np.testing.assert_array_equal(found.array, label)


def test_remote_lists_one_zip_a_case_and_the_labels(drawn: Callable[[str], Path]) -> None:
    served, kind = drawn("pancreas_ct") / "served", get_dataset("pancreas_ct")
    asked = []

    def fetch_json(url: str) -> Any:
        asked.append(url)
        return json.loads((served / url.removeprefix("https://")).read_text(encoding="utf-8"))

    assert kind.remote is not None
    files = kind.remote(fetch_json)
    assert len(asked) == 1 and asked[0].endswith("/getSeries?Collection=Pancreas-CT&format=json")
    assert [file.name for file in files[:-1]] == [f"{case}.zip" for case in ABDOMENS]
    assert all((served / file.url.removeprefix("https://")).exists() for file in files)
    assert zipfile.is_zipfile(served / files[-1].url.removeprefix("https://"))


def test_remote_leaves_other_modalities_and_refuses_doubles() -> None:
    remote = get_dataset("pancreas_ct").remote
    series = [
        {"PatientID": "PANCREAS_0002", "SeriesInstanceUID": "1.2", "Modality": "CT"},
        {"PatientID": "PANCREAS_0001", "SeriesInstanceUID": "1.1", "Modality": "CT"},
        {"PatientID": "PANCREAS_0001", "SeriesInstanceUID": "1.9", "Modality": "SEG"},
    ]
    assert remote is not None
    names = [file.name for file in remote(lambda url: series)]
    assert names == ["PANCREAS_0001.zip", "PANCREAS_0002.zip", "TCIA_pancreas_labels-02-05-2017.zip"]
    with pytest.raises(UserError, match="more than one series of PANCREAS_0002"):
        remote(lambda url: [*series, series[0]])
    with pytest.raises(UserError, match="lists no CT series"):
        remote(lambda url: [])


def test_the_raw_rule_says_where_to_get_what_is_absent(tmp_path: Path) -> None:
    for name in CASES:
        with pytest.raises(UserError, match=rf"no data for {name}: .*https://.*semiseg import {name} FOLDER"):
            build_raw(raw_spec(name), tmp_path / name)


# --- real files -----------------------------------------------------------------------------------------------------

BRATS, DICOM = REAL / "brats_flair", REAL / "dicom"


@needs_real_data("brats_flair")
def test_real_flair_volumes(tmp_path: Path) -> None:
    kind, case = get_dataset("brats19"), "BraTS19_TCIA01_1_1"
    folder = tmp_path / "copy" / "LGG" / case
    folder.mkdir(parents=True)
    shutil.copy(BRATS / "TCGA-DU-7294_flair_raw.nii.gz", folder / f"{case}_flair.nii.gz")
    shutil.copy(BRATS / "TCGA-DU-7294_seg_auto.nii.gz", folder / f"{case}_seg.nii.gz")
    import_raw("brats19", tmp_path / "copy", tmp_path / "raw")
    image, label = read(kind, tmp_path / "raw", kind.find(tmp_path / "raw")[0])
    assert image.array.shape == (240, 240, 155) and set(np.unique(label.array)) == {0, 1}
    assert image.array[label.array == 1].mean() > image.array[image.array > 0].mean()
    earlier = BRATS / "brats_2013_pat0001_1_seg.nii.gz"
    assert 3 in np.unique(read_nifti(earlier).array)
    with pytest.raises(UserError, match="label 3 belongs to BraTS 2013 to 2015"):
        kind.read_label(earlier)


@needs_real_data("dicom")
def test_real_ct_slices_under_a_real_liver(tmp_path: Path) -> None:
    """A liver is soft tissue as well; its map, flipped along y, must be turned back by what lies under it."""
    from semiseg.data.nrrd import read_nrrd

    kind = get_dataset("pancreas_ct")
    with zipfile.ZipFile(DICOM / "ct_3slices.zip") as archive:
        write_zip(tmp_path / "PANCREAS_0001.zip", {name: archive.read(name) for name in archive.namelist()}, False)
    liver = read_nrrd(DICOM / "ct_3slices_liver_seg.nrrd")
    right = liver.array > 0
    for flipped in (False, True):
        write(tmp_path / "label0001.nii.gz", (right[:, ::-1] if flipped else right).astype(np.uint8), liver.affine)
        image, label = read(kind, tmp_path, kind.find(tmp_path)[0])
        assert image.array.shape == (512, 512, 3)
        np.testing.assert_array_equal(label.array > 0, right)
