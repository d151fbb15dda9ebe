"""Named preparations against what the official scripts make of the same scan.

``golden_preparations/*.json`` hold a recipe of a small scan, drawn here, and voxels of the official output on it, which
were obtained once by running the published script (named in the file) as it is.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage
from support import REALDATA, ROOT
from support.needs import real_data

from semiseg.data.geometry import Affine, Geometry
from semiseg.data.images import read_nifti
from semiseg.data.preparation import Scan, run_steps
from semiseg.data.raw_grid import to_native
from semiseg.data.store import PreparedCase
from semiseg.params.reading import read

HERE = Path(__file__).parent
REAL = REALDATA
PREPARATIONS = read(ROOT / "params.yaml").preparations
GOLDEN = sorted((HERE / "golden_preparations").glob("*.json"))
DIRECTIONS = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}


def affine_of(recipe: dict[str, Any]) -> Affine:
    """Axes run to ``axes`` (letters), with ``spacing`` mm."""
    affine = np.eye(4)
    affine[:3, :3] = 0
    for column, (letter, mm) in enumerate(zip(recipe["axes"], recipe["spacing"], strict=True)):
        row, sign = DIRECTIONS[letter]
        affine[row, column] = sign * mm
    affine[:3, 3] = (11, -7, 3)
    return affine


def drawn(recipe: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Blocks of 5 x 5 x 3 voxels between ``low`` and ``high``, with noise; labels where the middle half is bright.

    Integers only, so that every platform draws the same. ``brain``: 0 outside an ellipsoid, fractions when ``float``.
    """
    rng = np.random.default_rng(recipe["seed"])
    shape, block = recipe["shape"], (5, 5, 3)
    few = [side // size + 1 for side, size in zip(shape, block, strict=True)]
    coarse = rng.integers(recipe["low"], recipe["high"], few)
    image = np.kron(coarse, np.ones(block, np.int64))[tuple(slice(0, side) for side in shape)]
    image = image + rng.integers(-30, 30, shape)
    steps = np.linspace(recipe["low"], recipe["high"], recipe["organs"] + 2)[1:-1]
    middle = np.zeros(shape, bool)
    middle[tuple(slice(side // 4, side * 3 // 4) for side in shape)] = True
    label = np.where(middle, np.digitize(image, steps), 0).astype(np.uint8)
    if recipe.get("brain"):
        x, y, z = (np.arange(-side, side, 2) * 1000 // side for side in shape)
        inside = x[:, None, None] ** 2 + y[:, None] ** 2 + z**2 < 700**2
        image, label = np.where(inside, image, 0), label * inside
    image = image.astype(np.int16)
    return (image / np.float32(256), label) if recipe.get("float") else (image, label)


def prepared(name: str, recipe: dict[str, Any]) -> PreparedCase:
    image, label = drawn(recipe)
    scan = Scan("golden", image.astype(np.float32), label, affine_of(recipe))
    return run_steps(scan, PREPARATIONS[name], frozenset())


@pytest.mark.parametrize("file", GOLDEN, ids=lambda file: file.stem)
def test_equal_to_the_official_script(file: Path) -> None:
    golden = json.loads(file.read_text(encoding="utf-8"))
    case = prepared(golden["preparation"], golden["recipe"])
    assert case.label is not None
    image, label = case.image, case.label
    if golden["without_last_slice"]:
        image, label = image[:-1], label[:-1]
    assert list(image.shape) == golden["shape"]
    span = golden["highest"] - golden["lowest"]
    assert np.abs(image.ravel()[:: golden["every"]] - golden["image"]).max() < 1e-5 * span
    assert abs(float(image.mean(dtype=np.float64)) - golden["mean"]) < 1e-6 * span
    assert np.bincount(label.ravel(), minlength=len(golden["voxels"])).tolist() == golden["voxels"]
    np.testing.assert_array_equal(label.ravel()[:: golden["every"]], golden["label"])


def test_golden_files_cover_the_official_scripts() -> None:
    covered = {json.loads(file.read_text(encoding="utf-8"))["preparation"] for file in GOLDEN}
    assert covered == {"guidednet_script", "dhc", "dhc_halved", "la", "pancreas_ct", "brats19"}


# --- real scans -------------------------------------------------------------------------------------------------------


def real_ct() -> tuple[np.ndarray, Affine]:
    volume = read_nifti(real_data("totalseg/ct_full.nii.gz"))
    return np.asarray(volume.array, np.float32), volume.affine


def test_real_ct_as_the_guidednet_script_calls_scipy() -> None:
    array, affine = real_ct()
    case = run_steps(Scan("ct", array, None, affine), PREPARATIONS["guidednet_script"], frozenset())
    turned = array.transpose(2, 1, 0)
    factors = [new / old for new, old in zip(case.image.shape, turned.shape, strict=True)]
    expected = ndimage.zoom(turned, factors, order=3, mode="nearest", grid_mode=True)
    expected = (np.clip(expected, -22, 325) - 214.68231) / 100.240135
    assert np.abs(case.image - expected).max() < 1e-5 * 3.47
    sides = np.array(array.shape[::-1]) * np.sqrt((affine[:3, :3] ** 2).sum(0))[::-1]
    assert list(case.image.shape) == (sides / (2.5, 1.22250766, 1.22250766)).round().tolist()


def test_real_ct_as_dhc_calls_torch() -> None:
    array, affine = real_ct()
    case = run_steps(Scan("ct", array, None, affine), PREPARATIONS["dhc"], frozenset())
    turned = torch.from_numpy(np.ascontiguousarray(array.transpose(2, 1, 0)))[None, None]
    expected = torch.nn.functional.interpolate(turned, size=(80, 160, 160), mode="trilinear", align_corners=False)
    clipped = expected[0, 0].numpy().clip(-75, 275)
    np.testing.assert_allclose(case.image, (clipped - clipped.min()) / (clipped.max() - clipped.min()), atol=1e-5)


# --- the way back, on real organs -------------------------------------------------------------------------------------

REAL_LABELS = ["amos_labels/amos_0013.nii.gz", "word_labels/word_0014.nii.gz"]


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / max(a.sum() + b.sum(), 1))


def dice_per_organ(truth: np.ndarray, back: np.ndarray) -> dict[int, float]:
    return {int(organ): dice(truth == organ, back == organ) for organ in np.unique(truth[truth > 0])}


def by_nearest_voxel(label: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Each raw voxel takes the label of the stored voxel that it lies in: all that the stored grid can tell."""
    matrix = np.linalg.inv(geometry.affine) @ geometry.raw_affine
    return np.asarray(
        ndimage.affine_transform(label, matrix[:3, :3], matrix[:3, 3], geometry.raw_shape, order=0, mode="nearest")
    )


@pytest.mark.parametrize("name", REAL_LABELS)
def test_real_organs_survive_the_way_there_and_back(name: str) -> None:
    """Per organ: Dice above 0.97 wherever the stored grid allows it, else as much as the grid allows.

    A grid that lies half a stored voxel off fails for every organ, so a misplacement would be seen.
    """
    volume = read_nifti(real_data(name))
    truth = np.asarray(volume.array, np.uint8)
    low, high = (lambda found: (found.min(1), found.max(1) + 1))(np.array(np.nonzero(truth)))
    box = tuple(slice(max(a - 12, 0), b + 12) for a, b in zip(low, high, strict=True))
    truth, affine = truth[box], volume.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ [side.start for side in box]
    image = truth.astype(np.float32)
    case = run_steps(Scan(name, image, truth, affine), PREPARATIONS["guidednet"], frozenset())
    assert case.label is not None
    scores = np.stack([case.label == organ for organ in range(int(truth.max()) + 1)]).astype(np.float32)
    found = dice_per_organ(truth, to_native(scores, case.geometry))
    bound = dice_per_organ(truth, by_nearest_voxel(case.label, case.geometry))
    moved = case.geometry.affine.copy()
    moved[:3, 3] += moved[:3, :3] @ [0.5, 0.5, 0.5]
    off = Geometry(case.geometry.shape, case.geometry.spacing_mm, moved, case.geometry.axes, truth.shape, affine)
    misplaced = dice_per_organ(truth, to_native(scores, off))
    print(f"\n{name}: organ, voxels, Dice of the way back, of nearest sampling, half a voxel off")
    for organ, score in found.items():
        print(f"{organ:3d} {(truth == organ).sum():9d} {score:.4f} {bound[organ]:.4f} {misplaced[organ]:.4f}")
        least = min(0.97, bound[organ] - 0.01)
        assert score > least, organ
        assert misplaced[organ] < min(bound[organ], score) - 0.005, organ
