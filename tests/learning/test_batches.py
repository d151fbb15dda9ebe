"""Crops equal the official ones: turn the whole volume, pad, cut; here only the crop's box is read."""

import numpy as np
import pytest

from semiseg.learning.batches import Crop, draw_crop, rotate, stored_box
from semiseg.params.config import Augmentation

ALL = Augmentation(rot90=True, flip_one_of=(0, 1), flip_each=(2,))


def read_box(volume, start, size):
    """A box of an array, zero outside of it."""
    padded = np.pad(volume, 40)
    return padded[tuple(slice(s + 40, s + 40 + n) for s, n in zip(start, size, strict=True))]


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("flips", [(), (0,), (1,), (2,), (0, 2)])
def test_the_box_read_from_the_store_equals_the_crop_of_the_turned_volume(turns, flips):
    rng = np.random.default_rng(turns)
    volume, patch, start = rng.random((9, 13, 7)), (6, 5, 8), (-2, 3, -1)
    crop = Crop(*stored_box(start, volume.shape, patch, turns, flips), turns, flips)
    whole = np.flip(np.rot90(volume, turns, (0, 1)), flips)
    np.testing.assert_array_equal(rotate(read_box(volume, crop.start, crop.size), crop), read_box(whole, start, patch))


def test_starts_cover_all_positions_but_the_last_one():
    starts = {draw_crop(np.random.default_rng(i), (12, 10, 9), (8, 8, 8), Augmentation()).start for i in range(500)}
    assert {s[0] for s in starts} == {0, 1, 2, 3}, "start is uniform in [0, 12 - 8), the end excluded"
    assert {s[1] for s in starts} == {0, 1}
    assert {s[2] for s in starts} == {0}


def test_a_short_side_pads_every_axis_as_the_official_loader_does():
    # side 6 of patch 8: (8 - 6) // 2 + 3 = 4 zeros per end; side 12: max((8 - 12) // 2 + 3, 0) = 1; side 20: 0
    starts = {draw_crop(np.random.default_rng(i), (6, 12, 20), (8, 8, 8), Augmentation()).start for i in range(800)}
    assert {s[0] for s in starts} == set(range(-4, 2))  # padded side 14, room 6
    assert {s[1] for s in starts} == set(range(-1, 5))  # padded side 14, room 6
    assert {s[2] for s in starts} == set(range(12))


@pytest.mark.parametrize(("order", "flipped"), [("first", {0, 1, 2, 3}), ("last", {1, 2, 3, 4})])
def test_a_flip_moves_the_position_that_is_never_reached_unless_the_crop_comes_first(order, flipped):
    """DHC crops first: a flipped crop starts at 0..m-1 of the stored volume; elsewhere at 1..m."""
    rule = Augmentation(flip_each=(0,), crop=order)
    crops = [draw_crop(np.random.default_rng(i), (12, 20, 20), (8, 8, 8), rule) for i in range(400)]
    assert {crop.start[0] for crop in crops if crop.flips} == flipped
    assert {crop.start[0] for crop in crops if not crop.flips} == {0, 1, 2, 3}


def test_a_crop_that_comes_first_has_the_patch_s_sides_after_its_turns():
    rule = Augmentation(rot90=True, crop="first")
    for number in range(20):
        crop = draw_crop(np.random.default_rng(number), (20, 30, 9), (8, 16, 4), rule)
        assert rotate(np.zeros(crop.size), crop).shape == (8, 16, 4)
        assert all(0 <= s <= side - n for s, side, n in zip(crop.start, (20, 30, 9), crop.size, strict=True))


def test_one_flip_always_and_all_quarter_turns():
    crops = [draw_crop(np.random.default_rng(i), (20, 20, 20), (8, 8, 8), ALL) for i in range(200)]
    assert {crop.rotations for crop in crops} == {0, 1, 2, 3}
    assert all((0 in crop.flips) != (1 in crop.flips) for crop in crops)
    assert 60 < sum(2 in crop.flips for crop in crops) < 140
