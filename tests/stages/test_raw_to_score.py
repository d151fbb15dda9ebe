"""From a raw case to its distances: either preparation refuses it, or every distance is that of the patient's space.

``make properties`` runs 5,000 random cases. The tests run 300.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial import cKDTree
from support import random_scans

from semiseg.base.errors import UserError
from semiseg.base.files import sha256, write_json
from semiseg.base.volume import Volume
from semiseg.data.images import write_nifti
from semiseg.data.store import read_geometry, read_label
from semiseg.dataset import RawCase
from semiseg.params.preparation import Preparation
from semiseg.scoring.cases import read_cases
from semiseg.stages.evaluate import evaluate_run
from semiseg.stages.prepare import CaseToPrepare, prepare_one

CASES = int(os.environ.get("SEMISEG_RANDOM_CASES", "300"))
FORMS = {
    "nifti": ("phantom", "imagesTr/{0}_0000.nii.gz", "labelsTr/{0}.nii.gz", 13, 1),
    "nrrd": ("la", "{0}/lgemri.nrrd", "{0}/laendo.nrrd", 1, 255),
}
PREPARATION = Preparation.model_validate(
    {"axes": "zyx", "steps": [{"step": "orient", "to": "LPI"}, {"step": "rescale", "low": 0, "high": 100}]}
)


@pytest.mark.parametrize("form", FORMS)
def test_random_cases_are_refused_or_measured_in_the_patients_space(tmp_path: Path, form: str) -> None:
    dataset, image, label, ids, inside = FORMS[form]
    raw, prepared, run = tmp_path / "raw", tmp_path / "prepared", tmp_path / "run"
    made: dict[str, random_scans.RandomCase] = {}
    predictions: dict[str, np.ndarray] = {}
    listed: dict[str, Any] = {"dataset": dataset, "cases": [], "files": {}}
    wrong: list[str] = []
    for seed in range(CASES // 2):
        case = RawCase(f"case{seed}", image.format(f"case{seed}"), label.format(f"case{seed}"))
        one = random_scans.write(form, seed, ids, inside, raw / case.image, raw / str(case.label))
        hashes = {name: sha256(raw / name) for name in (case.image, str(case.label))}
        stored = prepared / f"{case.id}.h5"
        try:
            prepare_one(CaseToPrepare(dataset, case, raw, hashes, frozenset(), PREPARATION, stored, "x"))
        except UserError as error:
            if one.fault is None or "\n" in str(error):
                wrong.append(f"{case.id} is sound but refused: {error}")
            continue
        if one.fault is not None:
            wrong.append(f"{case.id} is accepted in spite of its fault: {one.fault}")
            continue
        made[case.id] = one
        geometry = read_geometry(stored)
        predictions[case.id] = np.roll(one.label, (1, -1, 2), (0, 1, 2))
        write_nifti(run / "predictions" / f"{case.id}.nii.gz", Volume(predictions[case.id], geometry.raw_affine))
        write_nifti(run / "predictions" / f"{case.id}.prepared.nii.gz", Volume(read_label(stored), geometry.affine))
        listed["cases"].append({"id": case.id, "image": case.image, "label": case.label})
        listed["files"] |= {name: {"sha256": digest} for name, digest in hashes.items()}
    assert len(made) > 0.6 * (CASES // 2), wrong
    write_json(raw / "manifest.json", listed)
    write_json(prepared / "index.json", {"cases": {case: {"file": f"{case}.h5"} for case in made}})
    files = {path.name: sha256(path) for path in (run / "predictions").iterdir()}
    write_json(run / "predictions.json", {"cases": list(made), "files": files})
    evaluate_run(run / "predictions.json", prepared / "index.json", raw / "manifest.json", run / "cases.csv", 1)
    table = read_cases(run / "cases.csv")
    for case, rows in table[table["grid"] == "native"].groupby("case"):
        for row in rows.to_dict("records"):
            expected = independent(made[case], predictions[case], row["label"])
            if not np.allclose([row[name] for name in expected], [*expected.values()], 1e-6, 0, equal_nan=True):
                wrong.append(
                    f"{case} {row['organ']}: { ({name: row[name] for name in expected}) }, expected {expected}"
                )
    at_home = table[table["grid"] == "prepared"]
    assert (at_home["truth_voxels"] == at_home["overlap_voxels"]).all()
    assert not wrong, "\n".join([f"{len(wrong)} of {CASES // 2} {form} cases", *wrong[:20]])


def independent(case: random_scans.RandomCase, prediction: np.ndarray, organ: int) -> dict[str, float]:
    """Voxels and distances by erosion and positions in mm, from the numbers that the header was written from."""
    masks = case.label == organ, prediction == organ
    truth, predicted = (positions(mask, case.affine) for mask in masks)
    found: dict[str, float] = {"truth_voxels": masks[0].sum(), "predicted_voxels": masks[1].sum()}
    if len(truth) and len(predicted):
        to_truth, to_prediction = cKDTree(truth).query(predicted)[0], cKDTree(predicted).query(truth)[0]
        for name, distances in (("to_truth", to_truth), ("to_prediction", to_prediction)):
            found[f"{name}_mean_mm"], found[f"{name}_max_mm"] = distances.mean(), distances.max()
            found[f"{name}_p95_mm"] = np.percentile(distances, 95)
        found["pooled_p95_mm"] = np.percentile(np.concatenate([to_truth, to_prediction]), 95)
    return found


def positions(mask: np.ndarray, affine: np.ndarray) -> np.ndarray:
    surface = mask & ~ndimage.binary_erosion(mask, ndimage.generate_binary_structure(3, 1))
    return np.argwhere(surface) @ affine[:3, :3].T + affine[:3, 3]
