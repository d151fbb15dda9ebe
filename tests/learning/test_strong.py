"""Strong augmentation: steps as batchgenerators does them, drawn as GenericSSL draws them."""

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest

from semiseg.learning.strong import changed_image, changed_label, draw_changes
from semiseg.params.augmentation import Strong

GENERIC_SSL = Strong.model_validate(
    {
        "choose": 3,
        "steps": [
            {"step": "rotate", "axis": 0, "degrees": [-15, 15], "probability": 0.7},
            {"step": "zoom", "factor": [0.7, 1], "probability": 0.35},  # 0.7; half of the factors are 1
            {"step": "blur", "sigma": [0.7, 1.3], "probability": 0.7},
            {"step": "brightness", "factor": [0.7, 1.3], "probability": 0.7},
            {"step": "contrast", "factor": [0.7, 1.3], "probability": 0.7},
            {"step": "gamma", "exponent": [0.7, 1.3], "probability": 0.7},
        ],
    }
)
STEPS = {step.step: step for step in GENERIC_SSL.steps}
Z, Y, X = np.mgrid[:4, :7, :6]
IMAGE = (np.sin(Z + 0.5 * Y * X) + 0.1 * X).astype(np.float32)
LABEL = ((Z + Y * Y // 3 + X) // 2 % 4).astype(np.uint8)
# From batchgenerators 0.25 (augment_spatial with random_crop=False and border_mode_data="constant",
# augment_gaussian_blur, augment_contrast, ...): the values at [1, 2] and [3, 0], and the sum of all magnitudes.
EXPECTED = {
    "rotate": (15.0, "0.901259 1.038448 0.206241 -0.665005 0.243341 0 0 0 0 0.365016 0.128814 0", 65.7896),
    "zoom": (
        0.75,
        "0.978271 0.61236 -0.181414 -0.674982 -0.561533 0.242845"
        " 0.214406 0.017708 -0.120309 -0.237826 -0.316738 -0.251987",
        94.7886,
    ),
    "blur": (
        0.9,
        "0.606366 0.534927 0.334776 0.210777 0.285111 0.409642 0.364223 0.339112 0.327059 0.36265 0.447726 0.530768",
        61.359,
    ),
    "brightness": (
        1.25,
        "1.051839 1.261622 0.4264 -0.571003 -0.698655 0.275731 0.1764 0.3014 0.4264 0.5514 0.6764 0.8014",
        134.4342,
    ),
    "contrast": (
        1.25,
        "0.962202 1.171985 0.336764 -0.66064 -0.788292 0.186094 0.086764 0.211764 0.336764 0.461764 0.586764 0.711764",
        126.4578,
    ),
    "gamma": (
        1.25,
        "0.82655 1.016722 0.288351 -0.448302 -0.526129 0.166068 0.087248 0.186674 0.288351 0.392136 0.49791 0.605565",
        105.9657,
    ),
}
LABELS = {  # plane 1, and the number of voxels of each class
    "rotate": ("000230 112230 112230 123301 030000 001120 003000", [86, 24, 31, 27]),
    "zoom": ("111222 112223 102233 223300 330011 000000 111220", [54, 34, 44, 36]),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_each_step_gives_the_numbers_of_batchgenerators(name):
    value, some, magnitudes = EXPECTED[name]
    before = IMAGE.copy()
    found = changed_image(IMAGE, [(STEPS[name], value)])
    assert found.dtype == np.float32 and np.array_equal(IMAGE, before)
    np.testing.assert_allclose([*found[1, 2], *found[3, 0]], [float(number) for number in some.split()], atol=2e-6)
    assert np.abs(found).sum(dtype=np.float64) == pytest.approx(magnitudes, abs=1e-3)
    label = changed_label(LABEL, [(STEPS[name], value)])
    if name in LABELS:
        plane, counts = LABELS[name]
        assert ["".join(map(str, row)) for row in label[1]] == plane.split()
        assert label.dtype == np.uint8 and np.bincount(label.ravel()).tolist() == counts
    else:
        assert label is LABEL


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_quarter_turn_about_any_axis_moves_image_and_label_alike(axis):
    step = STEPS["rotate"].model_copy(update={"axis": axis})
    label = np.random.default_rng(axis).integers(0, 4, (5, 5, 5)).astype(np.uint8)
    others = tuple(number for number in range(3) if number != axis)
    turned = [np.rot90(label, times, others) for times in (1, 3)]
    found = changed_label(label, [(step, 90.0)])
    assert any(np.array_equal(found, one) for one in turned)
    np.testing.assert_allclose(changed_image(label.astype(np.float32), [(step, 90.0)]), found, atol=1e-5)


def test_a_crop_of_one_value_stays_finite():
    flat = np.full((3, 4, 5), 0.5, np.float32)
    for name, (value, *_) in EXPECTED.items():
        assert np.isfinite(changed_image(flat, [(STEPS[name], value)])).all()


def test_three_of_six_are_drawn_and_each_is_carried_out_with_its_probability():
    drawn = [draw_changes(np.random.default_rng([1, number]), GENERIC_SSL) for number in range(2000)]
    assert {len(changes) for changes in drawn} == {0, 1, 2, 3}
    counted = Counter(step.step for changes in drawn for step, _ in changes)
    for name, step in STEPS.items():
        assert counted[name] / 2000 == pytest.approx(0.5 * step.probability, abs=0.04)
    for changes in drawn:
        assert len({step.step for step, _ in changes}) == len(changes)
    angles = [value for changes in drawn for step, value in changes if step.step == "rotate"]
    assert -15 <= min(angles) < -14 and 14 < max(angles) <= 15


def test_what_is_drawn_last_is_applied_first():
    """As GenericSSL does it; the numbers of the draw are given."""
    draws = SimpleNamespace(
        choice=lambda count, size, replace: np.array([4, 0, 2]), random=lambda: 0.0, uniform=lambda low, high: high
    )
    assert [step.step for step, _ in draw_changes(draws, GENERIC_SSL)] == ["blur", "rotate", "contrast"]
