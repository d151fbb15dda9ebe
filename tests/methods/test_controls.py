"""What every control must do. A new file ``semiseg/methods/control_*.py`` is tested here without writing a test."""

import numpy as np
import pytest

from semiseg import catalogue
from semiseg.base.controls import is_control
from semiseg.base.errors import UserError
from semiseg.control import control_class
from semiseg.method import method_class

CONTROLS = [name for name in catalogue.entries("methods") if is_control(name)]
CLASSES = 3


@pytest.fixture
def truth():
    return np.random.default_rng(0).integers(0, CLASSES, (4, 5, 6), np.uint8)


@pytest.mark.parametrize("name", CONTROLS)
def test_a_control_gives_a_label_map_like_the_truth_and_leaves_the_truth_alone(name, truth):
    before = truth.copy()
    labels = control_class(name)().labels(truth)
    assert labels.shape == truth.shape and labels.dtype == np.uint8
    assert labels.max() < CLASSES
    np.testing.assert_array_equal(truth, before)


@pytest.mark.parametrize("name", CONTROLS)
def test_a_control_has_no_hyperparameters(name):
    assert catalogue.hyperparameters(name) == {}
    with pytest.raises(UserError, match=f"{name} has no such parameter; it has: none"):
        catalogue.check_hyper(name, {"weight": 1.0}, f"methods.{name}")


def test_controls_are_best_and_worst_possible(truth):
    perfect, empty = (control_class(f"control_{name}")() for name in ("perfect", "empty"))
    np.testing.assert_array_equal(perfect.labels(truth), truth)
    assert not empty.labels(truth).any()


def test_a_control_is_no_method_and_a_method_no_control():
    with pytest.raises(UserError, match=r"control_empty\.py must define exactly one Method \(.*\), it defines 0$"):
        method_class("control_empty")
    with pytest.raises(UserError, match=r"methods/mt\.py must define exactly one Control, it defines 0$"):
        control_class("mt")
