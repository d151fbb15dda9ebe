"""Clocks and learning rates of the three protocols, against numbers worked out by hand."""

import math

import pytest

from semiseg.learning.schedule import TrainingSchedule, steps_per_epoch
from semiseg.params.config import Training

BASE = {
    "patch": [8, 8, 8],
    "batch": {"labelled": 2, "unlabelled": 2},
    "epoch": "labelled",
    "supervised": "half_ce_dice_all",
    "optimiser": {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.0},
    "augmentation": {},
}


def schedule(steps_per_epoch=10, **changes):
    return TrainingSchedule(Training.model_validate({**BASE, **changes}), steps_per_epoch)


def test_guidednet_rate_has_no_lag_and_ramp_counts_blocks_of_150():
    table = schedule(iterations=20000, schedule={"rule": "poly"}, ramp={"every": 150, "length": 200})
    assert table.learning_rate(0) == 0.1
    assert table.learning_rate(10000) == pytest.approx(0.1 * 0.5**0.9)
    assert table.time(149).ramp == pytest.approx(math.exp(-5))
    assert table.time(19999).ramp == pytest.approx(math.exp(-5 * (1 - 133 / 200) ** 2))


def test_dhc_rate_and_ramp_lag_by_one_epoch():
    table = schedule(epochs=300, schedule={"rule": "poly", "per": "epoch", "lag": 1}, ramp={"per": "epoch", "lag": 1})
    assert table.iterations == 3000
    assert table.learning_rate(0) == table.learning_rate(19) == 0.1, "epochs 0 and 1 share the base rate"
    assert table.learning_rate(20) == pytest.approx(0.1 * (1 - 1 / 300) ** 0.9)
    assert table.time(0).ramp == table.time(19).ramp == pytest.approx(math.exp(-5))
    assert table.time(25).epoch == 2 and table.time(25).epochs == 300


def test_la_rate_is_cut_every_2500_steps():
    table = schedule(iterations=6000, schedule={"rule": "step"}, ramp={"every": 150, "length": 40})
    assert [table.learning_rate(i) for i in (2499, 2500, 5000)] == pytest.approx([0.1, 0.01, 0.001])


def test_validation_starts_late_repeats_and_closes():
    rule = {"every": 20, "per": "iteration", "start": 0.5, "region": "volume", "absent": "zero"}
    table = schedule(iterations=90, schedule={"rule": "constant"}, ramp={}, validation=rule)
    assert [i + 1 for i in range(90) if table.validates_after(i)] == [60, 80, 90]


def test_patience_counts_epochs_without_gain():
    rule = {"every": 1, "per": "epoch", "region": "volume", "absent": "zero", "patience": 3}
    table = schedule(epochs=50, schedule={"rule": "constant"}, ramp={}, validation=rule)
    assert not table.out_of_patience(iteration=129, best_iteration=100)
    assert table.out_of_patience(iteration=130, best_iteration=100)


@pytest.mark.parametrize(
    ("stream", "labelled_only", "steps"), [("labelled", False, 3), ("unlabelled", False, 8), ("labelled", True, 1),
                                           ("unlabelled", True, 1)]
)  # fmt: skip
def test_an_epoch_is_one_pass_over_the_stream(stream, labelled_only, steps):
    training = schedule(epochs=1, epoch=stream, schedule={"rule": "constant"}, ramp={}).training
    found = steps_per_epoch(training, {"labelled": 7, "unlabelled": 17}, labelled_only=labelled_only)
    assert found == steps, "two crops of each stream in a step; a supervised row takes four labelled ones"
    assert steps_per_epoch(training, {"labelled": 1, "unlabelled": 1}, labelled_only=labelled_only) == 1
