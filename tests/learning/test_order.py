"""The order of cases against the official loaders: uses per case, repeats in a step, epochs, and (seed, step) alone."""

import numpy as np
import pytest
from support import ROOT

from semiseg.base.errors import UserError
from semiseg.data.split_lists import part_counts
from semiseg.learning.order import Order
from semiseg.params.config import BatchSize
from semiseg.params.reading import read

TWO, FOUR = BatchSize(labelled=2, unlabelled=2), BatchSize(labelled=4, unlabelled=4)
RULES = ("endless", "two_stream", "two_stream_repeated", "two_loaders", "two_loaders_drop_last")


def order(rule, labelled, unlabelled, size=TWO, epoch="unlabelled"):
    return Order(rule, labelled, unlabelled, size, epoch)


def uses(rule, labelled, unlabelled, steps, epoch="labelled"):
    """Uses of each unlabelled case."""
    found = order(rule, labelled, unlabelled, epoch=epoch)
    drawn = [number for step in range(steps) for number in found.cases(1337, step)[1]]
    return np.bincount(drawn, minlength=unlabelled)


def test_the_unlabelled_stream_restarts_at_every_labelled_epoch():
    """The sheet of the LA protocol: LA with 8 labelled cases 166.7 +- 12.2 uses, 16 labelled cases 187.5 +- 13.8."""
    for labelled, unlabelled, mean, spread in ((8, 72, 166.7, 12.2), (16, 64, 187.5, 13.8)):
        counts = uses("two_stream", labelled, unlabelled, 6000)
        assert counts.mean() == pytest.approx(mean, abs=0.05)
        assert counts.std() == pytest.approx(spread, rel=0.25), "72 or 64 cases tell a spread to a tenth"
        assert uses("endless", labelled, unlabelled, 600).std() < 0.6, "its sound twin"


def test_the_restarts_of_brats():
    """The sheet: 266.7 +- 16.6 uses in 30000 steps; a tenth of them here, with the spread of a tenth."""
    counts = uses("two_stream", 25, 225, 3000)
    assert counts.mean() == pytest.approx(26.67, abs=0.01)
    assert counts.std() == pytest.approx(16.6 / 10**0.5, rel=0.25)


def test_an_epoch_of_two_streams_is_one_order_of_the_labelled_list_without_its_rest():
    found = order("two_stream", 25, 225, epoch="labelled")
    assert found.steps_per_epoch == 12
    for epoch in range(3):
        labelled, unlabelled = zip(*(found.cases(3, 12 * epoch + place) for place in range(12)), strict=True)
        assert len(set(np.ravel(labelled))) == 24 and len(set(np.ravel(unlabelled))) == 24


@pytest.mark.parametrize(
    ("rule", "size", "labelled", "unlabelled", "share"),
    [
        ("two_loaders", TWO, 2, 18, 0.474),  # Synapse 10 %
        ("two_loaders", TWO, 4, 16, 0.194),  # Synapse 20 %
        ("two_loaders", TWO, 10, 206, 0.093),  # AMOS 5 %
        ("two_loaders", TWO, 21, 195, 0.041),  # AMOS 10 %
        ("two_stream_repeated", FOUR, 42, 378, 0.120),  # FLARE22
        ("two_stream_repeated", FOUR, 18, 162, 0.275),  # AMOS, GuidedNet
    ],
)
def test_share_of_steps_in_which_a_labelled_case_stands_twice(rule, size, labelled, unlabelled, share):
    """As measured on the official loaders (the sheet of CPS)."""
    steps, found = 2000, order(rule, labelled, unlabelled, size)
    repeated = sum(len(set(cases)) < len(cases) for cases, _ in (found.cases(0, step) for step in range(steps)))
    assert repeated / steps == pytest.approx(share, abs=4 * (share * (1 - share) / steps) ** 0.5)
    alone = Order("endless", labelled, unlabelled, size, "unlabelled")
    whole = [alone.cases(0, step)[0] for step in range(labelled // size.labelled)]
    assert all(len(set(cases)) == len(cases) for cases in whole), "its sound twin"


@pytest.mark.parametrize("rule", ["two_stream_repeated", "two_loaders", "two_loaders_drop_last"])
def test_a_repeated_list_is_as_long_as_the_unlabelled_one_and_uses_all_its_cases(rule):
    found = order(rule, 4, 18)
    labelled, unlabelled = zip(*(found.cases(0, step) for step in range(9)), strict=True)
    counts = np.bincount(np.ravel(labelled))
    assert found.steps_per_epoch == 9 and set(np.ravel(unlabelled)) == set(range(18))
    assert counts.sum() == 18
    if rule != "two_stream_repeated":
        assert counts.tolist() == [5, 5, 4, 4], "the first cases once more, in every epoch"
    else:
        assert counts.max() <= 5 and counts.min() >= 3, "copies are left out at random"
        again = [number for step in range(9, 18) for number in found.cases(0, step)[0]]
        assert np.bincount(again).tolist() == counts.tolist(), "once for the whole training"


def test_an_odd_list_ends_with_a_smaller_step():
    """AMOS with 195 unlabelled cases: 98 steps, the last one with one crop of each kind."""
    found = order("two_loaders", 21, 195)
    assert found.steps_per_epoch == 98
    sizes = [tuple(map(len, found.cases(0, step))) for step in (0, 96, 97, 98)]
    assert sizes == [(2, 2), (2, 2), (1, 1), (2, 2)]
    assert order("two_stream_repeated", 21, 195).steps_per_epoch == 97, "GuidedNet drops the rest"


def test_loaders_that_drop_the_last_batch_have_whole_steps_alone_in_the_order_of_those_that_keep_it():
    """AMOS with 195 unlabelled cases: 97 steps; one case of each list is left out, another one in each epoch."""
    kept, dropped = order("two_loaders", 21, 195), order("two_loaders_drop_last", 21, 195)
    assert dropped.steps_per_epoch == 97
    assert [dropped.cases(0, step) for step in range(97)] == [kept.cases(0, step) for step in range(97)]
    assert dropped.cases(0, 97) == kept.cases(0, 98), "the next epoch"
    drawn = [{n for step in range(97) for n in dropped.cases(0, 97 * epoch + step)[1]} for epoch in (0, 1)]
    first, second = (set(range(195)) - cases for cases in drawn)
    assert len(first) == len(second) == 1 and first != second


def test_the_order_of_every_table_of_the_project_fits_its_split(monkeypatch):
    monkeypatch.chdir(ROOT)
    params, steps = read(ROOT / "params.yaml"), {}
    for name, table in params.tables.items():
        training = params.protocols[table.protocol].training
        counts = part_counts(params.splits[table.dataset][table.split])
        steps[name] = Order.of(training, counts, labelled_only=False).steps_per_epoch
    expected = {"la_8": 4, "la_16": 8, "brats19_25": 12, "synapse_20pct": 8, "amos_10pct": 40, "flare22_10pct": 94}
    assert {name: steps[name] for name in expected} == expected


@pytest.mark.parametrize("rule", RULES)
def test_batches_are_a_function_of_seed_and_step(rule):
    epoch = "labelled" if rule == "two_stream" else "unlabelled"
    forwards = [order(rule, 5, 11, epoch=epoch).cases(7, step) for step in range(30)]
    backwards = [order(rule, 5, 11, epoch=epoch).cases(7, step) for step in reversed(range(30))]
    assert forwards == backwards[::-1]
    assert forwards != [order(rule, 5, 11, epoch=epoch).cases(8, step) for step in range(30)]


@pytest.mark.parametrize("stream", [0, 1])
def test_without_end_every_case_comes_once_before_any_comes_again(stream):
    found, length = order("endless", 5, 11), (5, 11)[stream]
    cases = [number for step in range(22) for number in found.cases(0, step)[stream]]
    rounds = [cases[start : start + length] for start in range(0, 44 - 44 % length, length)]
    assert all(sorted(each) == list(range(length)) for each in rounds)
    assert rounds[0] != rounds[1]


def test_more_labelled_than_unlabelled_cases_are_not_cut_in_silence():
    for rule in ("two_stream_repeated", "two_loaders", "two_loaders_drop_last"):
        with pytest.raises(
            UserError, match=r"9 labelled and 6 unlabelled cases, .* never be used: set training\.order"
        ):
            order(rule, 9, 6)
    order("endless", 9, 6)


@pytest.mark.parametrize(
    ("rule", "labelled", "unlabelled"),
    [("two_stream", 1, 9), ("two_stream", 9, 1), ("two_stream_repeated", 1, 1), ("two_loaders_drop_last", 1, 1)],
)
def test_lists_that_cannot_fill_a_step_are_refused(rule, labelled, unlabelled):
    with pytest.raises(UserError, match=f"too few for a step of the order {rule}"):
        order(rule, labelled, unlabelled, epoch="labelled")
    assert order("two_loaders", 1, 1).cases(0, 5) == ([0], [0])
    assert len(order("two_stream_repeated", 2, 16, FOUR).cases(0, 0)[0]) == 4, "repeated lists may be short"


def test_draws_with_replacement_are_even_and_may_repeat_a_case_in_a_step():
    """Each of 5 labelled and 20 unlabelled cases is used as often as the binomial law says, within 4 deviations."""
    replaced, steps = order("replaced", 5, 20), 2000
    drawn = [replaced.cases(3, step) for step in range(steps)]
    for stream, cases in ((0, 5), (1, 20)):
        crops = [case for step in drawn for case in step[stream]]
        counts = np.bincount(crops, minlength=cases)
        assert len(crops) == 2 * steps and len(counts) == cases
        deviation = (len(crops) / cases * (1 - 1 / cases)) ** 0.5
        assert np.abs(counts - len(crops) / cases).max() < 4 * deviation
        assert counts.std() > 0.3 * deviation, "a permutation would use all alike"
    twice = sum(first == second for (first, second), _ in drawn)
    assert abs(twice / steps - 1 / 5) < 0.04
    assert drawn[7] == replaced.cases(3, 7) != replaced.cases(4, 7)
