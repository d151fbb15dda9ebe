"""FLARE22, AMOS22 and BTCV: from the archives of their stand-ins to cases that can be prepared."""

import hashlib
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path

import nibabel
import numpy as np
import pytest
from support import REALDATA
from support.needs import needs_real_data
from support.raw_folders import import_raw

from semiseg.base.errors import UserError
from semiseg.base.files import read_json
from semiseg.base.volume import Volume
from semiseg.data.arrival import zenodo
from semiseg.data.images import read_nifti, write_nifti
from semiseg.data.preparation import run_steps
from semiseg.data.raw_case import read_case
from semiseg.data.split_lists import PARTS, list_names, read_list
from semiseg.data.standin import get_standin
from semiseg.dataset import Dataset, RemoteFile, get_dataset
from semiseg.params.preparation import Preparation

REAL = REALDATA
REAL_LABELS = REAL / "amos_labels"
NAMES = ("flare22", "amos22", "btcv")
DRAWN = {
    "flare22": ("FLARE22_Tr_0003", "FLARE22_Tr_0044", "FLARETs_0050", "Case_01001"),
    "amos22": ("amos_0078", "amos_0548", "amos_0008", "amos_0003"),  # training CT and MRI, validation, test
    "btcv": ("img0001", "img0040", "img0061"),
}
PLANE_MM = {"flare22": (0.64, 0.77), "amos22": (0.7, 1.3), "btcv": (0.66, 0.86)}
ISOTROPIC = {"step": "resample", "spacing": (1.25, 1.25, 2.5), "library": "scipy", "order": 1}
DHC_GRID = {"step": "resample", "shape": (160, 160, 80), "library": "scipy", "order": 1}


def draw(name: str, folder: Path, cases: Sequence[str], workers: int = 1) -> Path:
    get_standin(name)(folder, cases, 3, workers)
    return folder


def import_standin(name: str, standin: Path, raw: Path, wanted: frozenset[str] | None = None) -> Dataset:
    for part in ("brought", "served"):
        if (standin / part).exists():
            import_raw(name, standin / part, raw, wanted)
    return get_dataset(name)


@pytest.fixture(scope="module")
def standins(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Dataset -> folder of its stand-in."""
    return {name: draw(name, tmp_path_factory.mktemp(name), cases, workers=2) for name, cases in DRAWN.items()}


@pytest.fixture(scope="module")
def raws(standins: dict[str, Path]) -> dict[str, Path]:
    """Dataset -> raw folder with the imported stand-in."""
    for name, standin in standins.items():
        import_standin(name, standin, standin / "raw")
    return {name: standin / "raw" for name, standin in standins.items()}


def write_scan(path: Path, seed: int = 0) -> Path:
    array = np.random.default_rng(seed).integers(0, 9, (4, 5, 6)).astype(np.int16)
    write_nifti(path, Volume(array, np.diag([-0.7, 0.7, 2.5, 1])))
    return path


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", NAMES)
def test_ids_abbreviations_and_parts_are_unambiguous(name: str) -> None:
    dataset = get_dataset(name)
    assert [organ.id for organ in dataset.organs] == list(range(1, len(dataset.organs) + 1))
    assert len({organ.abbreviation for organ in dataset.organs}) == len(dataset.organs)
    cases = [case for part in dataset.parts for case in part.cases]
    assert len(set(cases)) == len(cases)
    assert all(dataset.case_id(case) == case for case in cases)
    assert dataset.layout and dataset.notes and dataset.licence and dataset.citation


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("flare22", {"labelled": 50, "unlabelled": 2000, "tuning": 50}),
        ("amos22", {"training": 240, "validation": 120, "test": 240}),
        ("btcv", {"training": 30, "test": 20}),
    ],
)
def test_parts_are_as_large_as_published(name: str, counts: dict[str, int]) -> None:
    assert {part.name: len(part.cases) for part in get_dataset(name).parts} == counts


@pytest.mark.parametrize(
    ("name", "organs"),
    [
        ("flare22", "Liv R.kid Spl Pan Aor IVC RAG LAG Gal Eso Sto Duo L.kid"),
        ("amos22", "Spl R.kid L.kid Gal Eso Liv Sto Aor IVC Pan RAG LAG Duo Bla Pro"),
        ("btcv", "Spl R.kid L.kid Gal Eso Liv Sto Aor IVC PSV Pan RAG LAG"),
    ],
)
def test_ids_in_the_order_of_the_files(name: str, organs: str) -> None:
    assert " ".join(organ.abbreviation for organ in get_dataset(name).organs) == organs


@pytest.mark.parametrize(("prefix", "name"), [("amos_", "amos22"), ("btcv_", "btcv"), ("synapse_", "btcv")])
def test_every_published_name_is_an_official_labelled_case(prefix: str, name: str) -> None:
    dataset = get_dataset(name)
    official = {case for part in dataset.parts if part.labelled for case in part.cases}
    lists = [entry for entry in list_names() if entry.startswith(prefix)]
    assert lists
    for entry in lists:
        content = read_list(entry)
        assert {dataset.case_id(case) for part in PARTS for case in content[part]} <= official, entry


@pytest.mark.parametrize("name", ["0007", "img0007", "label0007.nii.gz", "case0007"])
def test_btcv_names_of_papers(name: str) -> None:
    assert get_dataset("btcv").case_id(name) == "img0007"


def test_amos_modality_by_number() -> None:
    modality_of = get_dataset("amos22").modality_of
    assert modality_of is not None
    cases = {"amos_0001": "CT", "amos_0410": "CT", "amos_0507": "MRI", "amos_0600": "MRI", "amos_5400": "CT"}
    assert {case: modality_of(case) for case in cases} == cases
    training, validation, test = get_dataset("amos22").parts
    assert sum(modality_of(case) == "MRI" for case in training.cases) == 40
    assert sum(modality_of(case) == "MRI" for case in validation.cases) == 20
    assert sum(modality_of(case) == "MRI" for case in test.cases) == 40


@pytest.mark.parametrize("name", NAMES)
def test_every_drawn_case_arrives_with_its_label(name: str, raws: dict[str, Path]) -> None:
    dataset, blind = get_dataset(name), {"Case_01001", "amos_0003", "img0061"}
    found = {case.id: case for case in dataset.find(raws[name])}
    assert set(found) == set(DRAWN[name])
    assert {case for case in found if found[case].label is None} == blind & set(found)


@pytest.mark.parametrize("name", NAMES)
def test_scans_look_like_the_originals(name: str, raws: dict[str, Path]) -> None:
    dataset = get_dataset(name)
    for case in dataset.find(raws[name]):
        image = dataset.read_image(raws[name] / case.image)
        x, y, z = image.spacing_mm
        low, high = PLANE_MM[name]
        assert x == pytest.approx(y) and low <= x <= high and 2.4 < z < 5.1
        assert 64 <= image.array.shape[0] <= 110 and 24 <= image.array.shape[2] <= 48
        assert image.array.dtype == np.int16
        grey = case.id == "amos_0548"
        assert image.array.min() >= 0 if grey else -1024 <= image.array.min() < -900
        if name != "flare22":
            assert nibabel.aff2axcodes(image.affine) == ("L", "A", "S")


@pytest.mark.parametrize("name", NAMES)
def test_every_organ_is_there_after_the_preparations(name: str, raws: dict[str, Path]) -> None:
    dataset = get_dataset(name)
    for case in dataset.find(raws[name]):
        if case.label is None:
            continue
        label = dataset.read_label(raws[name] / case.label)
        assert label.array.dtype == (np.uint16 if name == "amos22" else np.uint8)
        organs = [organ.id for organ in dataset.organs if case.id != "amos_0548" or organ.id <= 13]
        scan = read_case(dataset, case, raws[name])
        for step in (ISOTROPIC, DHC_GRID):
            preparation = Preparation.model_validate({"axes": "zyx", "steps": [{"step": "orient", "to": "LPI"}, step]})
            prepared = run_steps(scan, preparation, frozenset())
            assert np.unique(prepared.label).tolist() == [0, *organs], case.id


def middle(dataset: Dataset, label: Volume, organ: str) -> np.ndarray:
    at = np.argwhere(label.array == dataset.organ(organ).id).mean(0)
    return np.asarray((label.affine @ [*at, 1])[:3])


@pytest.mark.parametrize("name", NAMES)
def test_organs_lie_where_they_belong(name: str, raws: dict[str, Path]) -> None:
    """In RAS mm, whatever the stored orientation: the ids of the drawing have become those of the dataset."""
    dataset = get_dataset(name)
    labels = [dataset.read_label(raws[name] / case.label) for case in dataset.find(raws[name]) if case.label]
    for label in labels:
        place = {organ.abbreviation: middle(dataset, label, organ.abbreviation) for organ in dataset.organs[:13]}
        assert place["Liv"][0] > place["IVC"][0] > place["Aor"][0] > place["Spl"][0]
        assert place["R.kid"][0] > place["RAG"][0] > place["LAG"][0] > place["L.kid"][0]
        assert place["LAG"][2] > place["L.kid"][2] and place["Sto"][1] > place["Aor"][1]
        if "PSV" in place:
            assert place["PSV"][1] > place["IVC"][1]
    if name == "amos22":
        for label in labels:
            if label.array.max() > 13:
                bladder, prostate = middle(dataset, label, "Bla"), middle(dataset, label, "Pro")
                assert middle(dataset, label, "L.kid")[2] > bladder[2] > prostate[2]


@pytest.mark.parametrize("name", NAMES)
def test_equal_arguments_give_equal_files(name: str, tmp_path: Path) -> None:
    first, second = (files_of(draw(name, tmp_path / folder, DRAWN[name][1:2])) for folder in ("one", "two"))
    assert first == second
    assert 0 < sum(map(len, first.values())) < 8_000_000 / 14


def test_a_case_looks_the_same_whichever_others_are_drawn(raws: dict[str, Path], tmp_path: Path) -> None:
    import_standin("btcv", draw("btcv", tmp_path, ["img0040"]), tmp_path / "raw")
    for file in ("img/img0040.nii.gz", "label/label0040.nii.gz"):
        assert (tmp_path / "raw" / file).read_bytes() == (raws["btcv"] / file).read_bytes()


@pytest.mark.parametrize(("name", "case"), [("flare22", "train_000"), ("amos22", "amos_5000"), ("btcv", "img0011")])
def test_stand_ins_are_drawn_for_official_ids_only(name: str, case: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"{name} has no case {case}: "):
        draw(name, tmp_path, [case])
    assert not list(tmp_path.iterdir())


def ask_of(standin: Path) -> object:
    return lambda url: json.loads((standin / "served" / url.removeprefix("https://")).read_text(encoding="utf-8"))


@pytest.mark.parametrize(("name", "archive"), [("flare22", "FLARE22Train.zip"), ("amos22", "amos22.zip")])
def test_remote_lists_the_served_archive(name: str, archive: str, standins: dict[str, Path], tmp_path: Path) -> None:
    remote = get_dataset(name).remote
    assert remote is not None
    (file,) = remote(ask_of(standins[name]))
    served = standins[name] / "served" / file.url.removeprefix("https://")
    content = served.read_bytes()
    assert file == RemoteFile(archive, file.url, len(content), f"md5:{hashlib.md5(content).hexdigest()}")
    import_raw(name, served, tmp_path / "raw")
    cases = {case.id for case in get_dataset(name).find(tmp_path / "raw")}
    assert cases == {case for case in DRAWN[name] if case.startswith(("FLARE22_Tr_", "amos_"))}


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ({"files": [{"key": "b.zip"}, {"key": "a.zip"}]}, "lists a.zip, b.zip, expected wanted.zip"),
        ({"files": []}, "lists no file, expected wanted.zip"),
        ({"status": 410}, "does not answer with a record"),
        (["text"], "does not answer with a record"),
        ({"files": [{"key": "wanted.zip", "links": {}}]}, "does not answer with a record"),
    ],
)
def test_other_answers_of_zenodo_are_told(answer: object, sentence: str) -> None:
    with pytest.raises(UserError, match=f"https://zenodo.org/api/records/7 {sentence}"):
        zenodo.zenodo_file(lambda url: answer, 7, "wanted.zip")


def test_archives_hold_what_the_originals_hold(standins: dict[str, Path]) -> None:
    with zipfile.ZipFile(standins["amos22"] / "served/zenodo.org/records/7262581/files/amos22.zip") as archive:
        names = set(archive.namelist())
    assert names >= {"amos22/dataset.json", "amos22/imagesTr/amos_0078.nii.gz", "amos22/labelsTr/amos_0078.nii.gz",
                     "amos22/imagesVa/amos_0008.nii.gz", "amos22/imagesTs/amos_0003.nii.gz"}  # fmt: skip
    assert "amos22/labelsTs/amos_0003.nii.gz" not in names
    with zipfile.ZipFile(standins["btcv"] / "brought/RawData.zip") as archive:
        assert sorted(archive.namelist()) == [
            "RawData/Testing/img/img0061.nii.gz", "RawData/Training/img/img0001.nii.gz",
            "RawData/Training/img/img0040.nii.gz", "RawData/Training/label/label0001.nii.gz",
            "RawData/Training/label/label0040.nii.gz",
        ]  # fmt: skip
    brought = standins["flare22"] / "brought"
    assert {path.relative_to(brought).as_posix() for path in brought.rglob("*.nii.gz")} == {
        "Training/FLARE22_UnlabeledCase1001-2000/Case_01001_0000.nii.gz", "Tuning/images/FLARETs_0050_0000.nii.gz",
        "Tuning/labels/FLARETs_0050.nii.gz",
    }  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_an_unpacked_partial_copy_is_accepted(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = {
        "flare22": ("a/FLARE22_Tr_0001_0000.nii.gz", "b/FLARE22_Tr_0001.nii.gz"),
        "amos22": ("amos22/imagesVa/amos_0008.nii.gz", "amos22/labelsVa/amos_0008.nii.gz"),
        "btcv": ("Training/img/img0001.nii.gz", "Training/label/label0001.nii.gz"),
    }[name]
    image, label = (write_scan(tmp_path / "copy" / file, seed) for seed, file in enumerate(files))
    (tmp_path / "copy" / "readme.txt").write_text("stray")
    import_raw(name, tmp_path / "copy", tmp_path / "raw")
    dataset = get_dataset(name)
    (case,) = dataset.find(tmp_path / "raw")
    assert case.label is not None
    np.testing.assert_array_equal(dataset.read_image(tmp_path / "raw" / case.image).array, read_nifti(image).array)
    np.testing.assert_array_equal(dataset.read_label(tmp_path / "raw" / case.label).array, read_nifti(label).array)
    assert len(read_json(tmp_path / "raw" / "manifest.json")["files"]) == 2
    assert "cases are missing" in capsys.readouterr().err


@pytest.mark.parametrize("name", NAMES)
def test_nothing_of_the_dataset_is_told(name: str, tmp_path: Path) -> None:
    write_scan(tmp_path / "copy" / "images" / "liver_001.nii.gz")
    with pytest.raises(UserError, match=f"copy holds no file of {name}"):
        import_raw(name, tmp_path / "copy", tmp_path / "raw")
    with pytest.raises(UserError, match="raw holds no "):
        get_dataset(name).find(tmp_path / "raw")


def test_only_the_unlabelled_scans_that_a_split_names_are_brought(standins: dict[str, Path], tmp_path: Path) -> None:
    for name, left in (("flare22", "Case_01001"), ("amos22", "amos_0003"), ("btcv", "img0061")):
        for wanted in (frozenset(), frozenset([left])):
            raw = tmp_path / name / str(len(wanted))
            dataset = import_standin(name, standins[name], raw, wanted)
            assert {case.id for case in dataset.find(raw)} == set(DRAWN[name]) - ({left} - wanted)


@pytest.mark.parametrize(
    ("name", "good", "foreign", "sentence"),
    [
        ("flare22", "FLARE22_Tr_0001_0000.nii.gz", "train_000_0000.nii.gz", "is a file of FLARE21"),
        ("flare22", "FLARE22_Tr_0001_0000.nii.gz", "FLARE23_0001_0000.nii.gz", "is a file of FLARE23"),
        ("flare22", "Case_00001_0000.nii.gz", "Mask/Case_00001.nii.gz", "is a file of AbdomenCT-1K"),
        ("amos22", "imagesTr/amos_0001.nii.gz", "imagesTr/amos_0004_0000.nii.gz", "has been renamed for nnU-Net"),
        ("btcv", "img/img0001.nii.gz", "train_npz/case0005_slice000.npz", "of TransUNet's prepared slices"),
        ("btcv", "img/img0001.nii.gz", "test_vol_h5/case0001.npy.h5", "of TransUNet's prepared slices"),
        ("btcv", "img/img0001.nii.gz", "label_btcv_multiorgan/label0001.nii.gz", "a label map of Gibson et al"),
    ],
)
def test_two_generations_in_one_folder_are_refused(
    name: str, good: str, foreign: str, sentence: str, tmp_path: Path
) -> None:
    write_scan(tmp_path / "copy" / good)
    (tmp_path / "copy" / foreign).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "copy" / foreign).write_bytes(b"of another set")
    with pytest.raises(UserError, match=f"{foreign}.*{sentence}"):
        import_raw(name, tmp_path / "copy", tmp_path / "raw")
    assert not (tmp_path / "raw").exists()


@pytest.mark.parametrize(("given", "dataset"), [("amos22", "btcv"), ("amos22", "flare22")])
def test_labels_with_more_organs_are_caught_when_prepared(given: str, dataset: str, raws: dict[str, Path]) -> None:
    case = next(case for case in get_dataset(given).find(raws[given]) if case.id == "amos_0078")
    with pytest.raises(UserError, match=r"has label ids \[14, 15\], expected 0..13"):
        read_case(get_dataset(dataset), case, raws[given])


@needs_real_data("amos_labels")
@pytest.mark.parametrize(("case", "plane_mm"), [("amos_0001", 0.57), ("amos_0013", 0.781)])
def test_real_label_maps_are_as_described(case: str, plane_mm: float, raws: dict[str, Path]) -> None:
    dataset = get_dataset("amos22")
    real, drawn = (
        dataset.read_label(REAL_LABELS / f"{case}.nii.gz"),
        dataset.read_label(raws["amos22"] / "labelsTr/amos_0078.nii.gz"),
    )
    assert real.array.dtype == drawn.array.dtype
    assert nibabel.aff2axcodes(real.affine) == nibabel.aff2axcodes(drawn.affine)
    assert np.unique(real.array).tolist() == np.unique(drawn.array).tolist() == list(range(16))
    assert real.spacing_mm == pytest.approx((plane_mm, plane_mm, 5.0), abs=0.01)
    coarse = Volume(real.array[::4, ::4], real.affine @ np.diag([4, 4, 1, 1]))
    place = {organ.abbreviation: middle(dataset, coarse, organ.abbreviation) for organ in dataset.organs}
    assert place["Liv"][0] > place["IVC"][0] > place["Aor"][0] > place["Spl"][0]
    assert place["R.kid"][0] > place["L.kid"][0] and place["Duo"][2] > place["Bla"][2]


def test_the_authors_files_are_brought_from_a_folder_that_says_so(tmp_path: Path) -> None:
    """GuidedNet's names are FLARE21's too, so a folder called guidednet must vouch for them."""
    copy = tmp_path / "guidednet"
    for name in ("train_000_0000.nii.gz", "train_000.nii.gz", "train_00100_0000.nii.gz"):
        write_nifti(copy / name, Volume(np.arange(27, dtype=np.uint8).reshape(3, 3, 3), np.eye(4)))
    import_raw("flare22", tmp_path, tmp_path / "raw")
    cases = {case.id: case.label for case in get_dataset("flare22").find(tmp_path / "raw")}
    assert cases == {"train_000": "guidednet/labels/train_000.nii.gz", "train_00100": None}
