"""From label maps on disk to cases.csv."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from semiseg.base.errors import UserError
from semiseg.base.files import sha256, write_json
from semiseg.base.volume import Volume
from semiseg.data.geometry import Geometry
from semiseg.data.images import write_nifti
from semiseg.data.store import PreparedCase, write_case
from semiseg.dataset import Organ, get_dataset
from semiseg.scoring.cases import COLUMNS, read_cases
from semiseg.scoring.score import score
from semiseg.stages.evaluate import Pair, evaluate, evaluate_run

ORGANS = (Organ(1, "liver", "Liv"), Organ(5, "gallbladder", "Gal"))
SPACING = (2.0, 1.0, 1.0)


def constant(array, spacing_mm=SPACING):
    """A function that returns a label map. Worker processes cannot import this file, so it is made of the package."""
    return partial(Volume, array, np.diag([*spacing_mm, 1.0]))


def pair(truth, prediction, case="a", grid="native", predicted_spacing=SPACING):
    return Pair(case, grid, constant(truth), constant(prediction, predicted_spacing))


@pytest.fixture
def maps():
    """Liver: 4 x 4 x 4, predicted one voxel further along the first axis; gallbladder: one voxel, missed."""
    truth, prediction = np.zeros((2, 10, 8, 8), np.uint8)
    truth[2:6, 2:6, 2:6] = 1
    prediction[3:7, 2:6, 2:6] = 1
    truth[8, 1, 1] = 5
    return truth, prediction


def test_a_table_in_the_order_of_pairs_whatever_the_processes(maps, tmp_path):
    pairs = [pair(*maps, case=case, grid=grid) for case in ("b", "0010", "a") for grid in ("prepared", "native")]
    for name, workers in (("cases.csv", 1), ("again.csv", 2)):
        evaluate(pairs, ORGANS, tmp_path / name, workers)
    assert (tmp_path / "cases.csv").read_bytes() == (tmp_path / "again.csv").read_bytes()
    frame = read_cases(tmp_path / "cases.csv")
    assert list(frame.columns) == list(COLUMNS)
    assert [*zip(frame.case, frame.grid, frame.organ, strict=True)] == [
        (p.case, p.grid, organ) for p in pairs for organ in ("Liv", "Gal")
    ]
    liver, gallbladder = frame.iloc[0], frame.iloc[1]
    assert (liver.label, liver.truth_voxels, liver.predicted_voxels, liver.overlap_voxels) == (1, 64, 64, 48)
    assert (liver.to_truth_max_voxel, liver.to_truth_max_mm) == (1.0, 2.0)
    assert liver.diagonal_mm == pytest.approx(np.sqrt(20**2 + 8**2 + 8**2))
    assert (gallbladder.truth_voxels, gallbladder.predicted_voxels) == (1, 0)
    assert np.isnan(gallbladder.pooled_p95_mm)
    summary = score("sound", [frame])
    assert summary.organs["dice"].to_dict() == {"Liv": 75.0, "Gal": 0.0}
    assert summary.means["hd95"] == pytest.approx((2 + liver.diagonal_mm) / 2)
    assert (summary.cases, summary.missed) == (3, 3)


BAD = {
    r"truth is 10 x 8 x 8 voxels of .* but prediction is 9 x 8 x 8": lambda truth, found: (truth, found[1:]),
    r"prediction holds the ids \[3, 7\], expected 0 and \[1, 5\]": lambda truth, found: (
        truth,
        found * 3 + truth // 5 * 7,
    ),
    r"truth holds the ids \[2, 10\]": lambda truth, found: (truth * 2, found),
    r"the truth holds no organ at all": lambda truth, found: (truth * 0, found),
    r"prediction holds float64 values": lambda truth, found: (truth, found * 1.0),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_label_maps_name_the_case_and_leave_nothing(maps, tmp_path, message):
    pairs = [pair(*maps), pair(*BAD[message](*maps), case="x")]
    with pytest.raises(UserError, match=r"case x \(native grid\): " + message):
        evaluate(pairs, ORGANS, tmp_path / "cases.csv", workers=1)
    assert list(tmp_path.iterdir()) == []


def test_errors_come_whole_out_of_worker_processes(maps, tmp_path):
    pairs = [pair(*maps), pair(*maps, case="x", predicted_spacing=(2.0, 1.0, 1.5))]
    with pytest.raises(
        UserError, match=r"case x .* of 2 x 1 x 1 mm from .* but prediction is 10 x 8 x 8 voxels of 2 x 1 x 1.5"
    ):
        evaluate(pairs, ORGANS, tmp_path / "cases.csv", workers=2)
    assert list(tmp_path.iterdir()) == []


def test_no_pairs_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match="no test cases to measure"):
        evaluate([], ORGANS, tmp_path / "cases.csv", 1)


class Project:
    """A raw scan, its prepared form (axes zyx, half the slices' length) and a run's predictions, all real files."""

    def __init__(self, folder: Path) -> None:
        self.raw, self.prepared = folder / "raw" / "manifest.json", folder / "prepared" / "index.json"
        self.predictions, self.out = folder / "run" / "predictions.json", folder / "run" / "cases.csv"
        affine, prepared_affine = np.diag([1.0, 1, 3, 1]), np.eye(4)[[2, 1, 0, 3]] @ np.diag([3.0, 1, 1, 1])
        label = np.zeros((8, 9, 6), np.uint8)
        label[2:6, 2:6, 1:4], label[6, 6, 4] = 1, 2
        self.label, self.volume = label, Volume(label, affine)
        write_nifti(folder / "raw" / "labelsTr" / "p1.nii.gz", self.volume)
        stored = np.ascontiguousarray(label.transpose(2, 1, 0))
        geometry = Geometry(stored.shape, (3.0, 1.0, 1.0), prepared_affine, "zyx", label.shape, affine)
        write_case(folder / "prepared" / "p1.h5", PreparedCase(stored.astype(np.float32), stored, geometry))
        self.entry = {"id": "p1", "image": "imagesTr/p1_0000.nii.gz", "label": "labelsTr/p1.nii.gz"}
        self.list(self.entry)
        write_json(self.prepared, {"cases": {"p1": {"file": "p1.h5"}}})
        self.predict("p1.prepared.nii.gz", Volume(stored, prepared_affine))
        self.predict("p1.nii.gz", self.volume)

    def list(self, entry: dict[str, str | None]) -> None:
        """The raw manifest."""
        files = {self.entry["label"]: {"sha256": sha256(self.raw.parent / self.entry["label"])}}
        write_json(self.raw, {"dataset": "phantom", "cases": [entry], "files": files})

    def predict(self, name: str, volume: Volume) -> None:
        folder = self.predictions.parent / "predictions"
        write_nifti(folder / name, volume)
        files = {path.name: sha256(path) for path in sorted(folder.iterdir())}
        write_json(self.predictions, {"cases": ["p1"], "files": files})

    def evaluate(self) -> None:
        evaluate_run(self.predictions, self.prepared, self.raw, self.out, workers=1)


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


def test_a_run_is_measured_on_both_grids(project):
    project.evaluate()
    frame = read_cases(project.out)
    assert list(frame.organ.unique()) == [organ.abbreviation for organ in get_dataset("phantom").organs]
    for grid in ("prepared", "native"):
        first = frame[(frame.grid == grid) & (frame.label == 1)].iloc[0]
        assert (first.truth_voxels, first.overlap_voxels, first.pooled_p95_mm) == (48, 48, 0.0)
        assert first.diagonal_mm == pytest.approx(np.sqrt(8**2 + 9**2 + 18**2))
    for rule in ("la", "guidednet", "sound"):
        assert score(rule, [frame[frame.label <= 2]]).means["dice"] == 100


def test_native_distances_follow_the_spacing_of_each_axis(project):
    project.predict("p1.nii.gz", Volume(np.roll(project.label, 1, axis=2), project.volume.affine))
    project.evaluate()
    frame = read_cases(project.out)
    native = frame[(frame.grid == "native") & (frame.label == 2)].iloc[0]
    assert (native.to_truth_mean_voxel, native.to_truth_mean_mm) == (1.0, pytest.approx(3.0))


def test_a_prediction_on_another_grid_is_refused(project):
    project.predict("p1.nii.gz", Volume(project.label, np.diag([1.0, 1, 2.5, 1])))
    with pytest.raises(UserError, match=r"\(native grid\): truth is .* 1 x 1 x 3 mm from 0 x 0 x 0 but prediction is"):
        project.evaluate()
    assert not project.out.exists()


@pytest.mark.parametrize("kind", [">f8", "<f4", ">i8"])
def test_the_scored_truth_is_what_preparation_reads(project, kind):
    """A label map of another type, with noise, another rounding of its spacing, and along other axes."""
    affine = np.diag([1.0, 1, 3.01, 1])
    label = project.label[::-1].astype(kind)
    affine[0] = [-1, 0, 0, 7]
    noisy = label * 1.0001 if kind[1] == "f" else label
    write_nifti(project.raw.parent / project.entry["label"], Volume(noisy.astype(kind), affine))
    project.list(project.entry)
    project.predict("p1.nii.gz", Volume(np.roll(project.label, 1, axis=2), project.volume.affine))
    project.evaluate()
    frame = read_cases(project.out)
    native = frame[(frame.grid == "native") & (frame.label == 2)].iloc[0]
    assert (native.truth_voxels, native.to_truth_mean_voxel, native.to_truth_mean_mm) == (1, 1.0, 3.0)


def test_a_label_map_that_changed_behind_the_manifest_is_refused(project):
    write_nifti(project.raw.parent / project.entry["label"], Volume(project.label[:, ::-1], project.volume.affine))
    with pytest.raises(UserError, match=r"case p1: labelsTr/p1\.nii\.gz is not the file that .*manifest\.json lists"):
        project.evaluate()


def test_what_is_missing_or_changed_is_named(project):
    file = project.predictions.parent / "predictions" / "p1.nii.gz"
    whole = file.read_bytes()
    write_nifti(file, Volume(project.label * 0, project.volume.affine))
    with pytest.raises(UserError, match=r"p1\.nii\.gz is not the file that its manifest names"):
        project.evaluate()
    file.unlink()
    with pytest.raises(UserError, match=r"p1\.nii\.gz is missing"):
        project.evaluate()
    file.write_bytes(whole)
    project.list(project.entry | {"label": None})
    with pytest.raises(UserError, match="test case p1 has no label"):
        project.evaluate()
    write_json(project.prepared, {"cases": {}})
    with pytest.raises(UserError, match="test case p1 is not among the prepared cases"):
        project.evaluate()
