"""Preparation: every step by hand or by geometry, refusals, resuming, a full disk."""

import subprocess
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from support.prepared_cases import raw_spec

from semiseg.base.errors import UserError
from semiseg.base.files import read_json, sha256
from semiseg.base.volume import Volume
from semiseg.data.images import NO_UNIT, read_nifti, write_nifti
from semiseg.data.preparation import Scan, run_steps
from semiseg.data.raw_grid import to_native
from semiseg.data.store import read_geometry, read_image, read_label, write_case
from semiseg.data.stored_arrays import OpenFile
from semiseg.params.preparation import Preparation
from semiseg.stages.prepare import prepare
from semiseg.stages.raw import build_raw

LPI = np.array([[-2.0, 0, 0, 30], [0, 2.5, 0, -20], [0, 0, -4.0, 11], [0, 0, 0, 1]])
PLAIN = {"axes": "zyx", "steps": [{"step": "orient", "to": "RAS"}, {"step": "rescale", "low": 0, "high": 100}]}


def steps(*given: dict[str, Any], axes: str = "xyz") -> Preparation:
    return Preparation.model_validate({"axes": axes, "steps": given})


def ramp(shape: tuple[int, int, int], affine: np.ndarray) -> np.ndarray:
    """An image whose value is a linear function of the position in space: x + 10 y + 100 z mm."""
    index = np.stack([*np.indices(shape), np.ones(shape)])
    x, y, z, _ = np.tensordot(affine, index, 1)
    return np.asarray(x + 10 * y + 100 * z, np.float32)


def block(shape: tuple[int, int, int]) -> np.ndarray:
    label = np.zeros(shape, np.uint8)
    label[3:7, 4:9, 2:5] = 1
    return label


RESAMPLED = [
    {"spacing": (1.3, 1.3, 3.1)},
    {"spacing": (3.7, 4.4, 5.0)},
    {"factor": 0.5},
    {"shape": (21, 17, 15)},
]


@pytest.mark.parametrize("axes", ["xyz", "zyx"])
@pytest.mark.parametrize(
    ("library", "order"),
    [("scipy", 1), ("scipy", 3), ("skimage", 1), ("skimage", 3), ("simpleitk", 1), ("simpleitk", 3), ("torch", 1)],
)
@pytest.mark.parametrize("target", RESAMPLED, ids=lambda target: next(iter(target)))
def test_voxels_stay_where_they_are(target: dict[str, Any], order: int, library: str, axes: str) -> None:
    """Whatever the grid, a linear function of position is still that function of position."""
    shape = (26, 25, 24)
    scan = Scan("a", ramp(shape, LPI), block(shape), LPI)
    resample = {"step": "resample", "library": library, "order": order, **target}
    case = run_steps(scan, steps({"step": "orient", "to": "RAS"}, resample, axes=axes), frozenset())
    inside = tuple(slice(side // 3, side - side // 3) for side in case.image.shape)  # splines bend at the border
    expected = ramp(case.image.shape, case.geometry.affine)
    np.testing.assert_allclose(case.image[inside], expected[inside], atol=0.1)  # of 400 per voxel
    assert case.geometry.raw_shape == shape
    wanted = target.get("spacing") or (2 / 0.5, 2.5 / 0.5, 4 / 0.5) if "shape" not in target else None
    if wanted is not None and library in ("scipy", "simpleitk"):  # the others keep the field of view instead
        assert case.geometry.spacing_mm == pytest.approx(wanted if axes == "xyz" else wanted[::-1])


@pytest.mark.parametrize("library", ["scipy", "simpleitk", "skimage"])
def test_labels_follow_the_image(library: str) -> None:
    """Nearest neighbour: the label at each new voxel is the label of the raw voxel that its centre lies in."""
    shape = (16, 15, 12)
    scan = Scan("a", ramp(shape, LPI), block(shape), LPI)
    resample = {"step": "resample", "library": library, "order": 1, "spacing": (1.3, 1.7, 3.1)}
    case = run_steps(scan, steps({"step": "orient", "to": "RAS"}, resample), frozenset())
    index = np.stack([*np.indices(case.image.shape), np.ones(case.image.shape)]).reshape(4, -1)
    raw = np.rint((np.linalg.inv(LPI) @ case.geometry.affine @ index)[:3]).astype(int)
    raw = np.clip(raw, 0, np.array(shape)[:, None] - 1)
    np.testing.assert_array_equal(case.label.ravel(), block(shape)[tuple(raw)])


def test_orientation_letters_name_where_axes_run_to() -> None:
    array = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    case = run_steps(Scan("a", array, None, np.eye(4)), steps({"step": "orient", "to": "LPI"}), frozenset())
    np.testing.assert_array_equal(case.image, array[::-1, ::-1, ::-1])
    np.testing.assert_array_equal(case.geometry.affine, [[-1, 0, 0, 1], [0, -1, 0, 2], [0, 0, -1, 3], [0, 0, 0, 1]])


def test_intensities_by_hand() -> None:
    array = np.array([0, 1, 2, 3, 4, 100, -50, 6], np.float32).reshape(2, 2, 2)
    scan = Scan("a", array, None, np.eye(4))
    clipped = run_steps(scan, steps({"step": "clip", "low": 0, "high": 4}), frozenset()).image
    assert clipped.ravel().tolist() == [0, 1, 2, 3, 4, 4, 0, 4]
    scaled = run_steps(scan, steps({"step": "rescale", "low": 0, "high": 100}), frozenset())
    assert scaled.image.ravel().tolist() == pytest.approx([(value + 50) / 150 for value in array.ravel()])
    assert scaled.statistics["rescale"] == {"low": -50, "high": 100}
    wide = run_steps(scan, steps({"step": "rescale", "low": 50, "high": 100}), frozenset()).image  # median 2.5
    assert wide.min() == pytest.approx((-50 - 2.5) / 97.5)  # not clipped
    halved = run_steps(scan, steps({"step": "scale", "subtract": 2, "divide": 2}), frozenset()).image
    assert halved.ravel().tolist() == [-1, -0.5, 0, 0.5, 1, 49, -26, 2]
    positive = run_steps(scan, steps({"step": "zscore", "of": "positive"}), frozenset()).statistics["zscore"]
    above = array[array > 0].astype(np.float64)
    assert positive == pytest.approx({"mean": above.mean(), "std": above.std()})
    z = run_steps(scan, steps({"step": "zscore"}), frozenset())
    assert z.statistics["zscore"] == pytest.approx({"mean": 8.25, "std": float(np.std(array, dtype=np.float64))})
    assert z.image.dtype == np.float32 and z.image.mean() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("percents", [(0, 100), (0.5, 99.5), (0, 99.5)])
def test_percentiles_are_those_of_numpy_to_the_bit(percents: tuple[float, float]) -> None:
    image = np.random.default_rng(4).normal(3, 300, (31, 30, 29)).astype(np.float32)
    step = {"step": "rescale", "low": percents[0], "high": percents[1]}
    low, high = (float(value) for value in np.percentile(image, percents))
    facts = run_steps(Scan("a", image, None, np.eye(4)), steps(step), frozenset()).statistics["rescale"]
    assert facts == {"low": low, "high": high}


def test_a_step_for_scans_that_run_otherwise_is_left_out() -> None:
    array = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    only = steps({"step": "clip", "low": 5, "high": 9, "only": "LPI"}, {"step": "orient", "to": "RAS", "only": "LPI"})
    turned = run_steps(Scan("a", array, None, LPI @ np.diag([1, -1, 1, 1])), only, frozenset())
    np.testing.assert_array_equal(turned.image, np.clip(array, 5, 9)[::-1, ::-1, ::-1])
    assert turned.statistics["raw"]["orientation"] == "LPI" and turned.statistics["prepared"]["orientation"] == "RAS"
    tilted = np.eye(4)
    tilted[:2, :2] = [[-0.9998, 0.02], [-0.02, -0.9998]]
    for affine in (np.eye(4), tilted @ np.diag([1, 1, -1, 1])):
        case = run_steps(Scan("a", array, None, affine), only, frozenset())
        np.testing.assert_array_equal(case.image, array)
        np.testing.assert_array_equal(case.geometry.affine, affine)


def test_cumulative_clip_by_hand() -> None:
    """Whole numbers: 6 of 8 voxels are at most 4. Fractions: 7 of 8 lie up to the bin of 6, 150 / 256 wide."""
    array = np.array([0, 1, 2, 3, 4, 100, -50, 6], np.float32).reshape(2, 2, 2)
    step = {"step": "clip_cumulative", "share": 0.75}
    case = run_steps(Scan("a", array, None, np.eye(4)), steps(step), frozenset())
    assert case.image.ravel().tolist() == [0, 1, 2, 3, 4, 4, -50, 4]
    array[0, 0, 0] = 0.5
    case = run_steps(Scan("a", array, None, np.eye(4)), steps({**step, "share": 0.8}), frozenset())
    width = 150 / 256
    centre = (np.floor(56 / width) + 0.5) * width - 50
    assert case.statistics["clip_cumulative"]["high"] == pytest.approx(centre)
    assert case.image.max() == pytest.approx(centre)


def test_crop_of_what_is_not_zero_leaves_the_last_plane_out() -> None:
    array = np.zeros((9, 8, 7), np.float32)
    array[2:6, 1:8, 3:5] = np.random.default_rng(0).uniform(1, 2, (4, 7, 2))
    label = (array > 1.5).astype(np.uint8)
    case = run_steps(Scan("a", array, label, np.eye(4)), steps({"step": "crop_nonzero"}), frozenset())
    np.testing.assert_array_equal(case.image, array[2:5, 1:7, 3:4])
    np.testing.assert_array_equal(case.label, label[2:5, 1:7, 3:4])
    np.testing.assert_array_equal(case.geometry.affine[:3, 3], [2, 1, 3])
    assert case.statistics["crop_nonzero"] == {"start": [2, 1, 3], "size": [3, 6, 1]}
    with pytest.raises(UserError, match="case a: the image has no box of voxels that are not 0"):
        run_steps(
            Scan("a", np.zeros((4, 4, 4), np.float32), None, np.eye(4)), steps({"step": "crop_nonzero"}), frozenset()
        )


def test_crop_around_the_label() -> None:
    """Extent 60 - 40 = 20 of 40 wanted: 10 on each side, then a margin of exactly 3; z untouched."""
    label = np.zeros((100, 90, 5), np.uint8)
    label[40:61, 5:86, 2] = 1
    scan = Scan("a", np.random.default_rng(0).normal(size=label.shape).astype(np.float32), label, np.eye(4))
    step = {"step": "crop_label", "at_least": (40, 40), "margin": (3, 4), "seed": 1}
    case = run_steps(scan, steps(step), frozenset())
    assert case.image.shape == (60 + 13 - (40 - 13), 85 + 3 - 2, 5)  # upper bound: last + 13, exclusive
    np.testing.assert_array_equal(case.image, scan.image[27:73, 2:88])
    np.testing.assert_array_equal(case.geometry.affine[:3, 3], [27, 2, 0])


def test_crop_of_the_middle_keeps_short_and_unnamed_axes() -> None:
    image = np.arange(10 * 7 * 5, dtype=np.float32).reshape(10, 7, 5)
    scan = Scan("a", image, None, np.diag([2.0, 3, 4, 1]))
    case = run_steps(scan, steps({"step": "crop_middle", "size": (9, None, 100)}), frozenset())
    np.testing.assert_array_equal(case.image, image[2:7])  # 9 mm are 5 voxels of 2 mm
    np.testing.assert_array_equal(case.geometry.affine[:3, 3], [4, 0, 0])
    assert case.statistics["crop_middle"] == {"start": [2, 0, 0], "size": [5, 7, 5]}


def test_crop_margins_are_seeded_per_case() -> None:
    label = np.zeros((100, 90, 5), np.uint8)
    label[40:61, 35:56, 2] = 1
    step = {"step": "crop_label", "at_least": (10, 10), "margin": (10, 20), "seed": 1}

    def margins(case: str, seed: int = 1) -> list[int]:
        scan = Scan(case, label.astype(np.float32), label, np.eye(4))
        facts = run_steps(scan, steps({**step, "seed": seed}), frozenset()).statistics["crop_label"]
        assert all(10 <= margin < 20 for margin in facts["margins"])
        return list(facts["margins"])

    assert margins("a") == margins("a")
    assert len({tuple(margins(case)) for case in "abcdefgh"}) > 4
    assert margins("a", 2) != margins("a")


def test_steps_already_applied_are_left_out_and_noted() -> None:
    image = np.random.default_rng(0).normal(5, 3, (8, 8, 8)).astype(np.float32)
    case = run_steps(Scan("a", image, None, np.eye(4)), steps({"step": "zscore"}), frozenset({"zscore"}))
    np.testing.assert_array_equal(case.image, image)
    assert case.statistics["zscore"] == {"skipped": True}


# --- the stage ------------------------------------------------------------------------------------------------------


def write_raw(folder: Path, case: str, image: np.ndarray, label: np.ndarray | None, shift: float = 0.0) -> None:
    write_nifti(folder / "imagesTr" / f"{case}_0000.nii.gz", Volume(image, LPI))
    if label is not None:
        moved = LPI.copy()
        moved[0, 3] += shift
        write_nifti(folder / "labelsTr" / f"{case}.nii.gz", Volume(label, moved))


def picture(seed: int = 0, shape: tuple[int, int, int] = (16, 15, 12)) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 100, shape).astype(np.int16)


def run(folder: Path, out: Path, preparation: dict[str, Any] = PLAIN, workers: int = 1) -> dict[str, Any]:
    build_raw(raw_spec("phantom", source=None, generate=None), folder)
    prepare({"dataset": "phantom", "name": "p", "preparation": preparation}, folder / "manifest.json", out, workers)
    return read_json(out)


def good(folder: Path, *cases: str) -> None:
    for number, case in enumerate(cases):
        write_raw(folder, case, picture(number), block((16, 15, 12)))


def test_the_index(tmp_path: Path) -> None:
    good(tmp_path / "raw", "a")
    write_raw(tmp_path / "raw", "u", picture(5), None)
    index = run(tmp_path / "raw", tmp_path / "out" / "index.json")
    assert (index["axes"], index["classes"], index["dataset"], index["preparation"]) == ("zyx", 14, "phantom", "p")
    entry = index["cases"]["a"]
    assert entry["shape"] == [12, 15, 16] and entry["spacing_mm"] == [4, 2.5, 2]
    assert entry["voxels"] == [16 * 15 * 12 - 60, 60] + [0] * 12 and entry["label"] is True
    assert entry["raw_shape"] == [16, 15, 12] and entry["raw_affine"] == LPI.tolist() and entry["crop"] is None
    raw, prepared = entry["statistics"]["raw"], entry["statistics"]["prepared"]
    assert (raw["orientation"], prepared["orientation"]) == ("LAI", "SAR")  # stored as z y x
    assert (raw["min"], raw["max"]) == (picture().min(), picture().max())
    assert raw["mean"] == pytest.approx(picture().mean()) and raw["std"] == pytest.approx(picture().std())
    assert (prepared["min"], prepared["max"]) == (0, 1) and 0 < prepared["percentiles"]["50"] < 1
    there = np.linalg.inv(entry["affine"]) @ np.array(entry["raw_affine"]) @ [1, 2, 3, 1]
    assert there[:3] == pytest.approx([11 - 3, 2, 15 - 1])  # from raw voxel (x, y, z) to stored (z, y, x)
    assert index["cases"]["u"]["voxels"] is None and index["cases"]["u"]["label"] is False
    stored = read_image(tmp_path / "out" / entry["file"])
    assert stored.min() == 0 and stored.max() == 1
    assert read_label(tmp_path / "out" / entry["file"]).sum() == 60


def test_an_organ_that_vanishes_is_told_by_case_and_organ(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    label = block((16, 15, 12))
    label[10, 10, 9] = 2
    write_raw(tmp_path / "raw", "a", picture(), label)
    write_raw(tmp_path / "raw", "b", picture(1), block((16, 15, 12)))
    coarse = {
        "axes": "zyx",
        "steps": [{"step": "resample", "spacing": (5.0, 6.0, 9.0), "library": "scipy", "order": 1}],
    }
    for _ in range(2):  # the second call finds the cases finished
        caplog.clear()
        index = run(tmp_path / "raw", tmp_path / "out" / "index.json", coarse)
        warned = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        assert warned == [
            "warning: case a: right kidney (voxels in the raw label map: 1) vanishes in the preparation, no voxel of "
            "it is left on the prepared grid: use a finer grid if it is to be scored there"
        ]
    entry = index["cases"]["a"]
    assert entry["vanished"] == ["R.kid"] and entry["voxels"][2] == 0
    assert entry["statistics"]["labelled"]["voxels"][1:3] == [60, 1]
    assert index["cases"]["b"]["vanished"] == []


def test_what_a_header_leaves_open_is_noted_per_case_and_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good(tmp_path / "raw", "a", "b", "c")
    for case in "ab":
        name = f"{case}_0000.nii.gz"
        nibabel.save(nibabel.Nifti1Image(picture(), LPI), tmp_path / "raw" / "imagesTr" / name)
    caplog.set_level("INFO")
    index = run(tmp_path / "raw", tmp_path / "out" / "index.json")
    told = [record.getMessage() for record in caplog.records if NO_UNIT in record.getMessage()]
    assert told == [f"phantom: {NO_UNIT} (2 of 3 cases: a, b)"]
    notes = {case: entry["statistics"]["reading"] for case, entry in index["cases"].items()}
    assert notes["a"] == {"image": [NO_UNIT], "label": []} and notes["c"] == {"image": [], "label": []}


def test_a_spacing_of_no_scanner_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tiny = np.diag([0.001, 0.001, 0.001, 1]) @ LPI
    write_nifti(tmp_path / "raw" / "imagesTr" / "a_0000.nii.gz", Volume(picture(), tiny))
    run(tmp_path / "raw", tmp_path / "out" / "index.json")
    assert "warning: case a: spacing of 0.002 x 0.0025 x 0.004 mm is unusual: check the unit" in caplog.text


def test_a_caveat_of_many_cases_is_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    good(tmp_path / "raw", "a")
    for case in "bcd":
        write_raw(tmp_path / "raw", case, np.abs(picture()), block((16, 15, 12)))
    run(tmp_path / "raw", tmp_path / "out" / "index.json")
    (told,) = [record.getMessage() for record in caplog.records if "no air" in record.getMessage()]
    assert told.startswith("warning: case b: intensities of ")
    assert told.endswith(": check that it is CT in HU (2 more cases alike: c, d)")


def test_a_grid_on_which_no_prediction_could_be_stored_is_refused(tmp_path: Path) -> None:
    good(tmp_path / "raw", "a")
    step = {"step": "resample", "library": "scipy", "order": 1}
    for target, shape in (({"shape": (8, 8, 1)}, r"\(8, 8, 1\)"), ({"spacing": (120.0, 2.5, 4.0)}, r"\(1, 15, 12\)")):
        with pytest.raises(UserError, match=rf"^case a: the prepared image has shape {shape} .*, expected 2 to 32767"):
            run(tmp_path / "raw", tmp_path / "out" / "index.json", {"axes": "xyz", "steps": [{**step, **target}]})


def test_the_index_is_made_without_reading_an_array_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither of the case that was just written, nor of one that an earlier call has finished."""
    good(tmp_path / "raw", "a")
    write_raw(tmp_path / "raw", "u", picture(5), None)
    expected = run(tmp_path / "raw", tmp_path / "first" / "index.json")
    read: list[str] = []
    for name in ("whole", "crop"):
        monkeypatch.setattr(OpenFile, name, lambda *_: read.append("array"))
    out = tmp_path / "out" / "index.json"
    assert run(tmp_path / "raw", out) == run(tmp_path / "raw", out) == expected and not read
    for case, entry in expected["cases"].items():
        assert entry["sha256"] == sha256(out.parent / f"{case}.h5")


def test_processes_do_not_change_a_byte(tmp_path: Path) -> None:
    good(tmp_path / "raw", "a", "b", "c")
    one = run(tmp_path / "raw", tmp_path / "one" / "index.json")
    two = run(tmp_path / "raw", tmp_path / "two" / "index.json", workers=2)
    assert one == two  # hashes of the files included


def test_an_interrupted_preparation_continues(tmp_path: Path) -> None:
    raw, out = tmp_path / "raw", tmp_path / "out" / "index.json"
    good(raw, "a", "b")
    write_raw(raw, "c", np.zeros((16, 15, 12), np.int16), None)
    with pytest.raises(UserError, match=r"case c: .* is constant"):
        run(raw, out)
    assert not out.exists()
    before = {name: (out.parent / name).stat().st_mtime_ns for name in ("a.h5", "b.h5")}
    write_raw(raw, "c", picture(9), None)
    write_raw(raw, "b", picture(8), block((16, 15, 12)))  # changed since
    assert set(run(raw, out)["cases"]) == {"a", "b", "c"}
    assert (out.parent / "a.h5").stat().st_mtime_ns == before["a.h5"]
    assert (out.parent / "b.h5").stat().st_mtime_ns != before["b.h5"]
    other = {**PLAIN, "steps": [{"step": "zscore"}]}
    run(raw, out, other)
    assert (out.parent / "a.h5").stat().st_mtime_ns != before["a.h5"]


def test_a_damaged_stored_case_is_made_again_and_strangers_go(tmp_path: Path) -> None:
    raw, out = tmp_path / "raw", tmp_path / "out" / "index.json"
    good(raw, "a", "b")
    first = run(raw, out)
    (out.parent / "a.h5").write_bytes(b"no HDF5")
    (raw / "imagesTr" / "b_0000.nii.gz").unlink()
    assert run(raw, out)["cases"] == {"a": first["cases"]["a"]}
    assert not (out.parent / "b.h5").exists()


def spoilt(image: np.ndarray | None = None, label: np.ndarray | None = None, shift: float = 0.0) -> dict[str, Any]:
    shape = (16, 15, 12)
    return {
        "image": picture() if image is None else image,
        "label": block(shape) if label is None else label,
        "shift": shift,
    }


def with_value(array: np.ndarray, value: float, kind: type) -> np.ndarray:
    array = array.astype(kind)
    array[1, 2, 3] = value
    return array


REFUSALS = {
    "nan": (spoilt(with_value(picture(), np.nan, np.float32)), "bad_0000.nii.gz has 1 voxels that are NaN or infinite"),
    "infinite": (spoilt(with_value(picture(), np.inf, np.float32)), "NaN or infinite"),
    "constant": (spoilt(np.full((16, 15, 12), 7, np.int16)), r"is constant \(7"),
    "ids": (spoilt(label=with_value(block((16, 15, 12)), 17, np.uint8)), r"has label ids \[17\], expected 0\.\.13"),
    "negative id": (spoilt(label=with_value(block((16, 15, 12)), -1, np.int16)), r"has label ids \[-1\]"),
    "fraction": (spoilt(label=with_value(block((16, 15, 12)), 0.5, np.float32)), r"no integers \(0\.5\)"),
    "nan label": (spoilt(label=with_value(block((16, 15, 12)), np.nan, np.float32)), r"no integers \(nan\)"),
    "shape": (spoilt(label=block((16, 15, 11))), r"image \(16, 15, 12\) and label \(16, 15, 11\) differ in shape"),
    "place": (spoilt(shift=1.5), r"up to 1\.50 mm apart"),
    "empty": (spoilt(label=np.zeros((16, 15, 12), np.uint8)), "has no labelled voxel"),
}


@pytest.mark.parametrize(("content", "sentence"), REFUSALS.values(), ids=REFUSALS.keys())
@pytest.mark.filterwarnings("ignore:invalid value encountered")
def test_refusals_name_the_case(tmp_path: Path, content: dict[str, Any], sentence: str) -> None:
    write_raw(tmp_path / "raw", "bad", **content)
    with pytest.raises(UserError, match=f"^case bad: .*{sentence}"):
        run(tmp_path / "raw", tmp_path / "out" / "index.json")
    assert not list((tmp_path / "out").glob("**/*"))


def test_damaged_files_and_four_dimensions_name_the_case(tmp_path: Path) -> None:
    raw, out = tmp_path / "raw", tmp_path / "out" / "index.json"
    good(raw, "a")
    file = raw / "imagesTr" / "a_0000.nii.gz"
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 4, 4, 2), np.int16), np.eye(4)), file)
    with pytest.raises(UserError, match=r"^case a: .*shape \(4, 4, 4, 2\), expected one 3-D volume"):
        run(raw, out)
    good(raw, "a")
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(UserError, match=r"^case a: .*cannot be read as NIfTI"):
        run(raw, out)


def test_an_error_in_a_worker_arrives_as_a_sentence(tmp_path: Path) -> None:
    good(tmp_path / "raw", "a", "b")
    write_raw(tmp_path / "raw", "bad", **REFUSALS["ids"][0])
    with pytest.raises(UserError, match=r"^case bad: .*label ids \[17\]"):
        run(tmp_path / "raw", tmp_path / "out" / "index.json", workers=2)


@pytest.mark.parametrize("workers", [1, 2])
def test_all_cases_that_cannot_be_used_are_named_and_the_others_are_prepared(tmp_path: Path, workers: int) -> None:
    good(tmp_path / "raw", "b")
    write_raw(tmp_path / "raw", "a", **REFUSALS["ids"][0])
    write_raw(tmp_path / "raw", "c", **REFUSALS["empty"][0])
    with pytest.raises(UserError, match=r"^2 cases cannot be used: case a: .*label ids \[17\].*; case c: .*has no lab"):
        run(tmp_path / "raw", tmp_path / "out" / "index.json", workers=workers)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b.h5"]


def test_after_ten_cases_that_cannot_be_used_no_more_are_read(tmp_path: Path) -> None:
    for case in "abcdefghijk":
        write_raw(tmp_path / "raw", case, **REFUSALS["ids"][0])
    good(tmp_path / "raw", "z")
    with pytest.raises(UserError, match=r"^10 cases or more cannot be used: case a: .*; case j: "):
        run(tmp_path / "raw", tmp_path / "out" / "index.json")
    assert not list((tmp_path / "out").glob("*"))


def test_a_raw_file_that_changed_behind_the_manifest_is_refused(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    good(raw, "a")
    build_raw(raw_spec("phantom"), raw)
    write_raw(raw, "a", picture(99), block((16, 15, 12)))
    spec = {"dataset": "phantom", "name": "p", "preparation": PLAIN}
    with pytest.raises(UserError, match=r"^case a: imagesTr/a_0000\.nii\.gz is not the file"):
        prepare(spec, raw / "manifest.json", tmp_path / "out" / "index.json")


def test_constant_after_clipping_is_refused(tmp_path: Path) -> None:
    good(tmp_path / "raw", "a")
    low = {
        "axes": "xyz",
        "steps": [{"step": "clip", "low": 5000, "high": 6000}, {"step": "rescale", "low": 0, "high": 100}],
    }
    with pytest.raises(UserError, match=r"^case a: the image is constant \(5000\)"):
        run(tmp_path / "raw", tmp_path / "out" / "index.json", low)


def test_a_full_disk_is_one_sentence_and_the_next_call_continues(tmp_path: Path, small_disk: Path) -> None:
    raw, out = tmp_path / "raw", small_disk / "prepared" / "index.json"
    shape = (40, 40, 24)  # 154 kB as float32: two fit
    for number, case in enumerate("abcd"):
        write_raw(raw, case, picture(number, shape), block(shape))
    with pytest.raises(UserError, match=r"no space left on the disk while writing .*\.h5"):
        run(raw, out)
    left = sorted(path.name for path in out.parent.iterdir())
    assert left and all(name in {"a.h5", "b.h5"} for name in left)
    for name in left:
        assert read_image(out.parent / name).shape == shape[::-1]
    before = (out.parent / "a.h5").stat().st_mtime_ns
    subprocess.run(["mount", "-o", "remount,size=4m", small_disk], check=True)
    assert set(run(raw, out)["cases"]) == set("abcd")
    assert (out.parent / "a.h5").stat().st_mtime_ns == before


def test_labels_survive_the_way_to_the_network_and_back(tmp_path: Path) -> None:
    """A phantom's label map, prepared and carried back to the raw grid, is the same but for interpolation."""
    raw, out = tmp_path / "raw", tmp_path / "out" / "index.json"
    build_raw(raw_spec("phantom", generate={"seed": 3, "labelled": 1, "unlabelled": 0, "size": 96}), raw)
    fine = {"axes": "zyx", "steps": [
        {"step": "orient", "to": "LPI"},
        {"step": "resample", "spacing": (2.2, 2.2, 2.2), "library": "scipy", "order": 1},
    ]}  # fmt: skip
    spec = {"dataset": "phantom", "name": "p", "preparation": fine}
    prepare(spec, raw / "manifest.json", out)
    stored = out.parent / "phantom_0001.h5"
    scores = np.eye(14, dtype=np.float32)[read_label(stored)].transpose(3, 0, 1, 2)
    truth = read_nifti(raw / "labelsTr" / "phantom_0001.nii.gz").array
    back = to_native(scores, read_geometry(stored))
    assert back.shape == truth.shape
    for organ in np.unique(truth[truth > 0]):
        a, b = truth == organ, back == organ
        assert 2 * (a & b).sum() / (a.sum() + b.sum()) > 0.97, organ


def test_stored_geometry_is_what_was_prepared(tmp_path: Path) -> None:
    scan = Scan("a", ramp((16, 15, 12), LPI), None, LPI)
    step = {"step": "resample", "spacing": (3.0, 3.0, 3.0), "library": "scipy", "order": 1}
    case = run_steps(scan, steps({"step": "orient", "to": "LPS"}, step, axes="zyx"), frozenset())
    write_case(tmp_path / "a.h5", case)
    np.testing.assert_array_equal(read_geometry(tmp_path / "a.h5").affine, case.geometry.affine)
