"""Clocks and learning rates of the three protocols, against numbers worked out by hand."""

import math
from dataclasses import replace

import pytest
from support import params_yaml
from support.facts import facts

from semiseg.learning.build import build_method
from semiseg.learning.order import Order
from semiseg.learning.schedule import TrainingSchedule
from semiseg.params.config import Network, Training

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
    assert [table.time(step).last_in_epoch for step in (0, 8, 9, 10, 19)] == [False, False, True, False, True]


def test_an_incomplete_epoch_counts_as_one_of_the_length():
    rule = {"rule": "poly", "per": "epoch"}
    table = schedule(iterations=25, schedule=rule, ramp={"per": "epoch"})
    assert table.iterations == 25 and table.time(24).epochs == 3
    assert [table.learning_rate(step) for step in (0, 10, 24)] == pytest.approx(
        [0.1, 0.1 * (2 / 3) ** 0.9, 0.1 * (1 / 3) ** 0.9]
    )
    assert table.time(24).ramp == pytest.approx(math.exp(-5 / 9))
    assert schedule(iterations=4, schedule=rule, ramp={"per": "epoch"}).learning_rate(3) == 0.1


def test_the_rate_of_an_epoch_may_come_one_iteration_late():
    """TAC sets the rate after each step by the epoch of that step; its step cases hold the numbers."""
    late = schedule(4, iterations=6001, schedule={"rule": "poly", "per": "epoch", "late": True}, ramp={})
    rates = [late.learning_rate(step) for step in (0, 1, 3, 4, 5, 6000)]
    assert rates == pytest.approx([late.training.optimiser.lr * (1 - e / 1501) ** 0.9 for e in (0, 0, 0, 0, 1, 1499)])


def test_la_rate_is_cut_every_2500_steps():
    table = schedule(iterations=6000, schedule={"rule": "step"}, ramp={"every": 150, "length": 40})
    assert [table.learning_rate(i) for i in (2499, 2500, 5000)] == pytest.approx([0.1, 0.01, 0.001])


def test_validation_starts_late_repeats_and_closes():
    rule = {"every": 20, "per": "iteration", "first": 60, "region": "volume", "absent": "zero"}
    table = schedule(iterations=90, schedule={"rule": "constant"}, ramp={}, validation=rule)
    assert [i + 1 for i in range(90) if table.scores_after(i, table.training.validation)] == [60, 80, 90]


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
    found = Order.of(training, {"labelled": 7, "unlabelled": 17}, labelled_only=labelled_only)
    assert found.steps_per_epoch == steps, (
        "two crops of each stream in a step; a supervised row takes four labelled ones"
    )
    few = Order.of(training, {"labelled": 1, "unlabelled": 1}, labelled_only=labelled_only)
    assert few.steps_per_epoch == 1


def published(name):
    """Training of a protocol of params.yaml, with 8 steps an epoch."""
    given = params_yaml.content()["protocols"][name]["training"]
    return TrainingSchedule(Training.model_validate(given), 8)


@pytest.mark.parametrize(("name", "epochs"), [("dhc", 300), ("dhc_short", 200), ("dhc_amos", 200)])
def test_dhc_runs_one_epoch_more_than_its_rates_count_and_validates_after_epochs_1_11_21(name, epochs):
    """The official loop is range(max_epoch + 1): 301 and 201 epochs."""
    table = published(name)
    assert table.iterations == 8 * (epochs + 1)
    after = [step + 1 for step in range(table.iterations) if table.scores_after(step, table.training.validation)]
    assert after == [8 * epoch for epoch in range(1, epochs + 2, 10)]
    last = table.time(table.iterations - 1)
    assert (last.epoch, last.epochs) == (epochs, epochs)
    assert table.learning_rate(table.iterations - 1) == pytest.approx(0.03 * (1 - (epochs - 1) / epochs) ** 0.9)
    assert last.ramp == pytest.approx(math.exp(-5 / epochs**2))


@pytest.mark.parametrize(("name", "first"), [("guidednet", 10200), ("guidednet_mmwhs", 5200)])
def test_guidednet_validates_strictly_after_the_half(name, first):
    table = published(name)
    after = [step + 1 for step in range(table.iterations) if table.scores_after(step, table.training.validation)]
    assert after == list(range(first, table.iterations + 1, 200))


def test_brats_lags_by_one_step():
    """HiLab-git/SSL4MIS sets the rate after the step, so steps 0 and 1 share the base rate."""
    table = published("brats19")
    assert table.learning_rate(0) == table.learning_rate(1) == 0.01
    assert table.learning_rate(15111) == pytest.approx(0.00532348578), "the step case of MT"


def test_tracoco_counts_a_step_before_it_sets_ramp_and_rate():
    """yyliu01/TraCoCo: the last of 9000 steps has a rate of 0. A lag of the method's own adds nothing."""
    table = published("la_tracoco")
    expected = [0.05 * (1 - 1 / 9000) ** 0.9, 0.05 * 0.5**0.9, 0.0]
    assert [table.learning_rate(step) for step in (0, 4499, 8999)] == pytest.approx(expected)
    assert replace(table, rate_lag=1).learning_rate(4499) == table.learning_rate(4499)
    assert [table.time(step).ramp for step in (159, 160)] == [1.0, 1.0] > [table.time(158).ramp]


@pytest.mark.parametrize(("method", "lag"), [("mt", 1), ("dan", 1), ("cps", 0), ("guidednet", 0)])
def test_mt_and_dan_lag_in_every_protocol_that_counts_iterations(method, lag):
    network, voxels = Network(name="unet3d", filters=2), [1.0, 1.0]
    own = build_method(method, {}, network, None, facts(voxels)).rate_lag
    assert own == lag
    table = published("guidednet")
    late = replace(table, rate_lag=own)
    assert late.learning_rate(100) == table.learning_rate(100 - lag)
    assert replace(published("dhc"), rate_lag=own).learning_rate(33) == published("dhc").learning_rate(33)
    assert replace(published("brats19"), rate_lag=own).learning_rate(9) == published("brats19").learning_rate(9)


def test_a_lag_of_mt_is_an_option():
    assert build_method("mt", {"lag": 0}, Network(name="unet3d", filters=2), None, facts([1.0, 1.0])).rate_lag == 0


def test_a_rate_never_counts_beyond_its_length():
    table = schedule(epochs=2, extra_epochs=1, schedule={"rule": "poly", "per": "epoch"}, ramp={})
    assert table.iterations == 30 and table.learning_rate(29) == 0


def test_an_order_whose_epochs_contradict_the_protocol_is_refused():
    with pytest.raises(ValueError, match="order two_stream has epochs of the labelled cases: give epoch: labelled"):
        schedule(epochs=1, epoch="unlabelled", order="two_stream", schedule={"rule": "constant"}, ramp={})


def test_a_rate_rises_then_falls_and_stops_at_its_floor():
    """MA-SAM's rate: base (t + 1) / n, then base (1 - (t - n) / T)^7, each set a step late; and CRLN's floor."""
    rule = {"rule": "poly", "power": 7, "warmup": 4, "lag": 1}
    table = schedule(iterations=20, schedule=rule, ramp={})
    rises = [table.learning_rate(step) for step in range(6)]
    assert rises == pytest.approx([0.025, 0.025, 0.05, 0.075, 0.1, 0.1])
    assert table.learning_rate(15) == pytest.approx(0.1 * (1 - 10 / 20) ** 7)
    floored = schedule(epochs=4, schedule={"rule": "poly", "per": "epoch", "floor": 0.04}, ramp={})
    assert [floored.learning_rate(10 * epoch) for epoch in (0, 1, 2, 3)] == pytest.approx(
        [0.1, 0.1 * 0.75**0.9, 0.1 * 0.5**0.9, 0.04]
    )
    cut = schedule(iterations=20, schedule={"rule": "step", "every": 5, "warmup": 2}, ramp={})
    assert [cut.learning_rate(step) for step in (0, 1, 2, 6, 7)] == pytest.approx([0.05, 0.1, 0.1, 0.1, 0.01])


@pytest.mark.parametrize("labelled_only", [False, True])
def test_an_epoch_may_be_a_number_of_steps(labelled_only):
    training = schedule(epochs=3, epoch=200, order="replaced", schedule={"rule": "constant"}, ramp={}).training
    found = Order.of(training, {"labelled": 7, "unlabelled": 17}, labelled_only=labelled_only)
    assert found.steps_per_epoch == 200 and TrainingSchedule(training, 200).iterations == 600
    with pytest.raises(ValueError, match="order two_stream has epochs of the labelled cases: give epoch: labelled"):
        schedule(epochs=1, epoch=200, order="two_stream", schedule={"rule": "constant"}, ramp={})
    with pytest.raises(ValueError, match="epoch"):
        schedule(epochs=1, epoch=0, schedule={"rule": "constant"}, ramp={})
    assert "warmup" not in training.schedule.model_dump() and "floor" not in training.schedule.model_dump()


def test_a_rise_may_begin_with_a_part_of_the_rate_that_it_reaches_right_after_it():
    """RCPS: a hundredth in the first epoch, on a line to the whole rate in the sixth one, then it falls."""
    table = published("la_rcps")
    rates = [table.learning_rate(8 * epoch) for epoch in (0, 1, 4, 5, 6, 99)]
    assert rates == pytest.approx([0.0001, 0.00208, 0.00802, 0.01, 0.01 * (94 / 95) ** 0.9, 0.01 * (1 / 95) ** 0.9])
    with pytest.raises(ValueError, match="warmup_from belongs to a warm-up: remove it, or give warmup"):
        schedule(iterations=20, schedule={"rule": "poly", "warmup_from": 0.1}, ramp={})
