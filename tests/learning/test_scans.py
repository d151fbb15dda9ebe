"""Intensities scaled to 0..1 when a case is read: the same voxels in crops, whole scans, training and prediction."""

from pathlib import Path

import numpy as np
import pytest
import torch
from support import prepared_cases
from support.prepared_cases import SIDE, train_spec

from semiseg.base.files import read_json
from semiseg.data.images import read_nifti
from semiseg.data.store import read_image, write_case
from semiseg.learning.batches import KeptOnDevice, Store
from semiseg.learning.build import Runtime
from semiseg.learning.crops import Crop
from semiseg.learning.scans import StoredCase, image_crop_of, image_of, limits_of
from semiseg.stages.predict import predict
from semiseg.stages.train import train

CPU = torch.device("cpu")


@pytest.fixture
def case(tmp_path: Path) -> StoredCase:
    """A scan of intensities far from 0."""
    made = prepared_cases.case(3)
    made.image[:] = 700 + 100 * made.image
    write_case(tmp_path / "case.h5", made)
    return StoredCase(tmp_path / "case.h5", (SIDE,) * 3, limits_of(made.image))


def test_a_whole_scan_runs_from_0_to_1(case: StoredCase) -> None:
    before, (low, high) = read_image(case.path).copy(), limits_of(read_image(case.path))
    np.testing.assert_allclose(image_of(case), (before - low) / (high - low), atol=1e-6)
    assert limits_of(image_of(case)) == (0, 1)
    np.testing.assert_array_equal(read_image(case.path), before, "the stored scan stays")
    np.testing.assert_array_equal(image_of(StoredCase(case.path, case.shape)), before)


@pytest.mark.parametrize("start", [(3, 4, 5), (-4, 20, 2), (-9, -9, -9), (30, 0, 0)])
def test_a_crop_is_cut_from_the_scaled_scan_and_padded_with_zeros(case: StoredCase, start: tuple[int, ...]) -> None:
    size = (8, 10, 6)
    padded = np.pad(image_of(case), 40)
    expected = padded[tuple(slice(40 + a, 40 + a + n) for a, n in zip(start, size, strict=True))]
    np.testing.assert_array_equal(image_crop_of(case, start, size), expected)


def test_crops_in_memory_and_on_the_device_are_equal(case: StoredCase) -> None:
    """Turned and flipped ones, in part outside of the scan."""
    drawn = [(case, Crop((-3, 4, 18), (8, 8, 8), rotations, (1,))) for rotations in range(4)]
    stored = Store(pinned=False).images(drawn, (8, 8, 8))
    assert torch.equal(stored, KeptOnDevice.of([case], [], CPU).images(drawn, (8, 8, 8)))
    assert stored.max() <= 1 and stored.min() == 0


def test_a_scan_without_contrast_is_0(tmp_path: Path) -> None:
    made = prepared_cases.case(3)
    made.image[:] = 5
    write_case(tmp_path / "flat.h5", made)
    assert not image_of(StoredCase(tmp_path / "flat.h5", (SIDE,) * 3, limits_of(made.image))).any()


def test_training_and_prediction_do_not_depend_on_the_scale_of_the_stored_scans(tmp_path: Path) -> None:
    """Scans in other units, by a factor of 2 and a shift that float32 holds exactly, give the same weights and maps."""
    results = []
    for folder, factor in ((tmp_path / "a", 1.0), (tmp_path / "b", 2.0)):
        folder.mkdir()
        index, split = prepared_cases.build(folder)
        for number, path in enumerate(sorted(folder.glob("*.h5"))):
            made = prepared_cases.case(number, labelled=not path.stem.startswith("unlabelled"))
            made.image[:] = factor * np.round(made.image * 64) / 64 + (factor - 1) * 8
            write_case(path, made)
        spec = {**train_spec("sup_only", 2), "intensities": "minmax"}
        out = prepared_cases.outputs(folder / "run")
        train(spec, index, split, folder / "state", out, Runtime(CPU, 0, 1e9))
        predict(spec, out.weights, index, split, out.weights.with_name("p.json"), Runtime(CPU, 0, 1e9))
        maps = [
            read_nifti(folder / "run" / "predictions" / f"{name}.nii.gz").array for name in read_json(split)["test"]
        ]
        results.append((out.weights.read_bytes(), maps))
    assert results[0][0] == results[1][0]
    assert all(np.array_equal(*pair) for pair in zip(results[0][1], results[1][1], strict=True))
