"""check-split: injected copies are found, different scans are not, and what else is wrong with a split is told."""

import functools
import gzip
import io
import shutil
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from rich.console import Console
from scipy import ndimage
from support import REALDATA, ROOT
from support.needs import real_data
from support.raw_folders import import_raw
from support.real_copies import la_case, la_names, openkbp_case, openkbp_names

from semiseg.base.errors import UserError
from semiseg.base.files import read_json, write_json
from semiseg.base.volume import Volume
from semiseg.cli.main import main
from semiseg.data.splitcheck.facts import Facts
from semiseg.data.splitcheck.findings import findings
from semiseg.data.splitcheck.similarity import (
    SAME,
    Comparable,
    Signature,
    common_grid_mm,
    padded_size,
    signature,
    similarity,
)
from semiseg.dataset import get_dataset
from semiseg.describe.check_split import check_split
from semiseg.graph.plan import Plan
from semiseg.params.reading import read

PLAN = Plan(read(ROOT / "params.yaml"))
SHAPE, SPACING = (60, 52, 40), (3.0, 3.0, 4.0)
AFFINE = np.diag([*SPACING, 1.0])
VALUES = (205, 420, 500, 550, 600, 820, 850)  # of MM-WHS label files


@functools.cache
def body(seed: int) -> np.ndarray:
    """A patient in air, HU: all share the outline, each has organs of its own."""
    rng = np.random.default_rng(seed)
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, side) for side in SHAPE], indexing="ij")
    inside = (x / 0.85) ** 2 + (y / 0.7) ** 2 < 1 + 0.1 * z
    organs = sum(ndimage.gaussian_filter(rng.normal(0, 1, SHAPE), width) * width**1.5 for width in (2, 4, 8))
    image = np.where(inside, 60 * organs / organs.std() + 40, -1000) + rng.normal(0, 8, SHAPE)
    return image.astype(np.float32)


def cropped(image: np.ndarray, seed: int) -> np.ndarray:
    """5 to 10 % off each side."""
    cuts = np.random.default_rng(seed).uniform(0.05, 0.10, (3, 2))
    return image[
        tuple(slice(round(low * n), n - round(high * n)) for n, (low, high) in zip(image.shape, cuts, strict=True))
    ]


def copies(image: np.ndarray, affine: np.ndarray, seed: int) -> Iterator[tuple[str, Volume]]:
    rng = np.random.default_rng(seed)
    low, high = np.percentile(image, (10, 95))
    window = np.clip((image - low) / (high - low), 0, 1)
    spread = np.subtract(*np.percentile(image, (99, 1)))
    turned = np.diag([-1.0, -1.0, 1.0, 1.0])
    turned[:2, 3] = image.shape[0] - 1, image.shape[1] - 1
    scaled = 4000 * (image - image.min()) / (image.max() - image.min())
    yield "other type", Volume(np.round(scaled).astype(np.int16), affine)
    yield "other window", Volume((255 * window).astype(np.uint8), affine)
    yield "other storage", Volume(image[::-1, ::-1], affine @ turned)
    yield "other axes", Volume(image.transpose(2, 0, 1), affine[:, [2, 0, 1, 3]])
    yield "cropped", Volume(cropped(image, seed), affine)
    yield "noisy", Volume(image + rng.normal(0, 0.05 * spread, image.shape).astype(np.float32), affine)
    yield "all of it", Volume(cropped((255 * window + rng.normal(0, 10, image.shape)).astype(np.int16), seed), affine)


def scores(signatures: list[Signature]) -> np.ndarray:
    """Scores of all pairs, as an upper triangle."""
    grid = common_grid_mm(signatures)
    size, ones = padded_size(signatures, grid), [Comparable(one, grid) for one in signatures]
    found = np.zeros((len(ones), len(ones)))
    for i, one in enumerate(ones):
        for j in range(i + 1, len(ones)):
            found[i, j] = similarity(one, ones[j], size)
    return found


@pytest.mark.parametrize("seed", [1, 2])
def test_copies_are_found_and_other_patients_are_not(seed: int) -> None:
    made = dict(copies(body(seed), AFFINE, seed))
    signatures = [signature(Volume(body(one), AFFINE)) for one in (seed, *range(10, 16))]
    found = scores(signatures + [signature(volume) for volume in made.values()])
    others, same = found[0, 1:7], dict(zip(made, found[0, 7:], strict=True))
    assert all(score >= SAME for score in same.values()), same
    assert same["other storage"] > 0.9999 and same["other axes"] > 0.9999
    assert others.max() < 0.5  # although they share their outline
    assert found[1:7, 7:].max() < 0.5  # nor are other patients' scans copies of the copies


def test_the_score_is_the_same_both_ways_and_at_most_one() -> None:
    one, other = (signature(Volume(image, AFFINE)) for image in (body(1), cropped(body(1), 3)))
    assert abs(scores([one, other])[0, 1] - scores([other, one])[0, 1]) < 0.01
    assert 0.99 < scores([one, one])[0, 1] <= 1


def test_a_constant_scan_matches_nothing() -> None:
    flat = signature(Volume(np.full(SHAPE, 7, np.int16), AFFINE))
    assert scores([flat, signature(Volume(body(1), AFFINE))])[0, 1] < 0.1
    assert scores([flat, flat])[0, 1] < 0.1


# --- whole checks on files -------------------------------------------------------------------------------------------


def write_scan(folder: Path, case: str, volume: Volume, values: tuple[int, ...] = VALUES) -> None:
    place = folder / case.rsplit("_", 1)[0]
    place.mkdir(parents=True, exist_ok=True)
    label = np.zeros(volume.array.shape, np.int16)
    for slot, value in enumerate(values):
        label[10 + 3 * slot : 12 + 3 * slot, 20:30, 10 : 12 + int(case[-1])] = value  # no two files are equal
    array = volume.array if volume.array.dtype == np.uint8 else volume.array.astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(array, volume.affine), place / f"{case}_image.nii.gz")
    nibabel.save(nibabel.Nifti1Image(label, volume.affine), place / f"{case}_label.nii.gz")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with four CT scans of different patients in brought/, and the parameters."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    for number in range(1, 5):
        write_scan(tmp_path / "brought", f"ct_train_100{number}", Volume(body(20 + number), AFFINE))
    return tmp_path


def checked(project: Path, parts: dict[str, list[str]], workers: int = 1) -> tuple[bool, dict[str, Any], str]:
    """Import what was brought, check the split, and return whether it is fine, the written file and the report."""
    import_raw("mmwhs", project / "brought", project / "data/raw/mmwhs")
    full = {part: parts.get(part, []) for part in ("labelled", "unlabelled", "val", "test")}
    write_json(project / "data/splits/mmwhs/mine.json", {"dataset": "mmwhs", "split": "mine", **full})
    console = Console(file=io.StringIO(), width=200)
    fine = check_split(PLAN, "mmwhs", "mine", workers, console)
    return fine, read_json(project / "data/splits/mmwhs/mine.check.json"), console.file.getvalue()  # type: ignore[attr-defined]


CLEAN = {"labelled": ["ct_train_1001"], "unlabelled": ["ct_train_1002"], "test": ["ct_train_1003", "ct_train_1004"]}


def test_nothing_is_found_in_a_clean_split(project: Path) -> None:
    fine, content, report = checked(project, CLEAN)
    assert fine and content["findings"] == [] and "nothing was found" in report
    assert content["organs"] == {"labelled": dict.fromkeys(("MYO", "LA", "LV", "RA", "RV", "AA", "PA"), 1),
                                 "test": dict.fromkeys(("MYO", "LA", "LV", "RA", "RV", "AA", "PA"), 2)}  # fmt: skip


def test_a_copy_in_the_test_part_is_serious(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    altered = dict(copies(body(21), AFFINE, 5))["all of it"]
    write_scan(project / "brought", "ct_train_1009", altered)
    parts = {**CLEAN, "test": ["ct_train_1003", "ct_train_1009"]}
    fine, content, report = checked(project, parts)
    assert not fine
    [found] = [one for one in content["findings"] if one["severity"] == "serious"]
    assert (found["kind"], set(found["cases"])) == ("same scan", {"ct_train_1001", "ct_train_1009"})
    assert "ct_train_1001 (labelled) and ct_train_1009 (test) may show the same scan: similarity 0.9" in report
    assert report.count("and 0.93 is suspicious") == 1
    assert main(["check-split", "mmwhs", "mine", "--workers", "1"]) == 1
    assert "same scan" in capsys.readouterr().out
    fine, content, _ = checked(project, {"labelled": ["ct_train_1001", "ct_train_1009"], "test": ["ct_train_1003"]})
    assert fine and content["findings"][0]["severity"] == "warning"  # twice in training: no leak
    assert main(["check-split", "mmwhs", "mine", "--workers", "1"]) == 0


def test_identical_voxels_in_another_file(project: Path) -> None:
    flipped = dict(copies(body(21).round(), AFFINE, 5))["other storage"]
    write_scan(project / "brought", "ct_train_1001", Volume(body(21).round(), AFFINE))
    write_scan(project / "brought", "ct_train_1009", flipped)
    _, content, _ = checked(project, {**CLEAN, "val": ["ct_train_1009"]})
    assert "identical voxels" in content["findings"][0]["text"]


def test_byte_equal_files_under_two_names(project: Path) -> None:
    for kind in ("image", "label"):
        folder = project / "brought" / "ct_train"
        shutil.copy(folder / f"ct_train_1001_{kind}.nii.gz", folder / f"ct_train_1009_{kind}.nii.gz")
    fine, content, _ = checked(project, {**CLEAN, "test": ["ct_train_1009"]})
    assert not fine and set(content["findings"][0]["cases"]) == {"ct_train_1001", "ct_train_1009"}


def test_a_case_in_two_parts(project: Path) -> None:
    fine, content, _ = checked(project, {**CLEAN, "val": ["ct_train_1002"]})
    assert not fine
    assert [one["text"] for one in content["findings"]] == ["cases that are both unlabelled and val (1): ct_train_1002"]


def test_mixed_modalities_odd_intensities_and_missing_organs(project: Path) -> None:
    write_scan(project / "brought", "ct_train_1001", Volume(body(21).clip(-100), AFFINE), VALUES[1:])
    write_scan(project / "brought", "mr_train_1001", Volume(body(31), AFFINE))
    fine, content, _ = checked(project, {**CLEAN, "unlabelled": ["mr_train_1001"]})
    texts = [(one["severity"], one["text"]) for one in content["findings"]]
    assert fine
    assert texts == [
        ("warning", "modalities are mixed: CT: 1 labelled, 2 test; MRI: 1 unlabelled"),
        ("warning", "scans called CT without air, nothing below -200 HU (1): ct_train_1001"),
        ("warning", "scans called MRI with values below -500, as CT has (1): mr_train_1001"),
        ("warning", "no labelled case (of 1) has the myocardium of the left ventricle"),
    ]


def test_labels_of_unlabelled_cases_are_not_read(project: Path) -> None:
    checked(project, CLEAN)
    (project / "data/raw/mmwhs/ct_train/ct_train_1002_label.nii.gz").write_bytes(b"")
    shutil.rmtree(project / "data/splits/mmwhs/.signatures")
    assert check_split(PLAN, "mmwhs", "mine", 1, Console(file=io.StringIO()))
    (project / "data/raw/mmwhs/ct_train/ct_train_1003_label.nii.gz").write_bytes(b"")
    shutil.rmtree(project / "data/splits/mmwhs/.signatures")
    with pytest.raises(UserError, match=r"case ct_train_1003: .* is empty"):
        check_split(PLAN, "mmwhs", "mine", 1, Console(file=io.StringIO()))


def moved(image: nibabel.Nifti1Image) -> nibabel.Nifti1Image:
    affine = image.affine.copy()
    affine[:3, 3] += 9
    return nibabel.Nifti1Image(np.asarray(image.dataobj), affine)


def shorter(image: nibabel.Nifti1Image) -> nibabel.Nifti1Image:
    return nibabel.Nifti1Image(np.asarray(image.dataobj)[:-4], image.affine)


@pytest.mark.parametrize(
    ("change", "sentence"), [(moved, r"place the scan up to 15\.59 mm apart"), (shorter, "differ in shape")]
)
@pytest.mark.parametrize("what", ["label", "image"])
def test_a_label_map_on_another_grid_is_refused_also_after_a_check(
    what: str, change: Callable[[Any], Any], sentence: str, project: Path
) -> None:
    checked(project, CLEAN)
    file = project / f"brought/ct_train/ct_train_1003_{what}.nii.gz"
    changed = change(nibabel.load(file))
    nibabel.save(changed, file)
    with pytest.raises(UserError, match=f"case ct_train_1003: .*{sentence}"):
        checked(project, CLEAN)


def test_a_second_call_reads_no_scan_and_says_the_same(project: Path) -> None:
    _, _, report = checked(project, CLEAN, workers=2)
    first = (project / "data/splits/mmwhs/mine.check.json").read_bytes()
    for image in (project / "data/raw/mmwhs").rglob("*.nii.gz"):
        image.write_bytes(b"")  # the manifest still tells their hashes
    console = Console(file=io.StringIO(), width=200)
    assert check_split(PLAN, "mmwhs", "mine", 1, console)
    assert (project / "data/splits/mmwhs/mine.check.json").read_bytes() == first
    assert console.file.getvalue() == report  # type: ignore[attr-defined]


def test_a_split_of_params_that_is_not_built(project: Path) -> None:
    import_raw("mmwhs", project / "brought", project / "data/raw/mmwhs")
    with pytest.raises(UserError, match=r"split 10pct of mmwhs: 1. of 20 cases are not in the raw data"):
        check_split(PLAN, "mmwhs", "10pct", 1)
    with pytest.raises(UserError, match=r"data/raw/btcv/manifest\.json is missing: register"):
        check_split(PLAN, "btcv", "10pct", 1)
    with pytest.raises(UserError, match="dataset mmwhs: unknown split 'mine'; known: 10pct"):
        check_split(PLAN, "mmwhs", "mine", 1)
    write_json(project / "data/splits/mmwhs/mine.json", {"labelled": ["ct_train_1001"]})
    with pytest.raises(UserError, match=r"mine.json is no split"):
        check_split(PLAN, "mmwhs", "mine", 1)


def test_patients_and_known_twins() -> None:
    kind = replace(get_dataset("phantom"), patient=lambda case: case[:2])
    parts = {"labelled": ["p1_a", "p2_a"], "unlabelled": ["p2_b"], "val": [], "test": ["p1_b", "p3_a"]}
    small = Signature(np.zeros((4, 4, 4), np.float32), 1.0)
    facts = [Facts(case, case, case, -1000.0, small, None) for part in parts.values() for case in part]
    found = findings(kind, parts, facts, [], [["p2_a", "p3_a"], ["p2_a", "p2_b"]])
    assert [(one.severity, one.kind, one.cases) for one in found] == [
        ("serious", "known twins", ("p2_a", "p3_a")),
        ("serious", "patient on both sides", ("p1_a", "p1_b")),
        ("warning", "known twins", ("p2_a", "p2_b")),
    ]


# --- real scans ------------------------------------------------------------------------------------------------------


def real(folder: str) -> Iterator[Volume]:
    real_data(folder)
    if folder == "la":
        for name in la_names():
            yield Volume(la_case(name)[0], np.diag([0.625, 0.625, 0.625, 1.0]))
    if folder == "openkbp":
        for name in openkbp_names():
            image, _, spacing = openkbp_case(name)
            yield Volume(image, np.diag([*spacing, 1.0]))
    for path in sorted((REALDATA / folder).glob("*.tar*")):
        with tarfile.open(path) as archive:
            for member in sorted(archive.getmembers(), key=lambda one: one.name):
                if "imagesTr/hip" in member.name:
                    file = archive.extractfile(member)
                    assert file is not None
                    image = nibabel.Nifti1Image.from_bytes(gzip.decompress(file.read()))
                    yield Volume(np.asarray(image.dataobj), image.affine)


@pytest.mark.parametrize(("folder", "count"), [("la", 6), ("openkbp", 12), ("hippocampus", 30)])
def test_real_scans(folder: str, count: int) -> None:
    """Different patients stay below the threshold, every kind of copy above it."""
    volumes = [volume for volume, _ in zip(real(folder), range(count), strict=False)]
    signatures = [signature(volume) for volume in volumes]
    assert scores(signatures).max() < SAME - 0.02
    made = dict(copies(volumes[0].array.astype(np.float32), volumes[0].affine, 1))
    found = scores([*signatures, *map(signature, made.values())])[0, count:]
    assert found.min() >= SAME, dict(zip(made, found, strict=True))
