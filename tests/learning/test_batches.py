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
    volume, patch = rng.random((9, 13, 7)), (6, 5, 8)
    crop = Crop(turns, flips, start=(-2, 3, -1))
    whole = np.flip(np.rot90(volume, turns, (0, 1)), flips)
    start, size = stored_box(crop, volume.shape, patch)
    np.testing.assert_array_equal(rotate(read_box(volume, start, size), crop), read_box(whole, crop.start, patch))


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


def test_one_flip_always_and_all_quarter_turns():
    crops = [draw_crop(np.random.default_rng(i), (20, 20, 20), (8, 8, 8), ALL) for i in range(200)]
    assert {crop.rotations for crop in crops} == {0, 1, 2, 3}
    assert all((0 in crop.flips) != (1 in crop.flips) for crop in crops)
    assert 60 < sum(2 in crop.flips for crop in crops) < 140
