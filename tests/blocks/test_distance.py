"""Signed distance maps against scipy and by hand."""

import numpy as np
import pytest
import torch
from scipy.ndimage import distance_transform_edt
from skimage.segmentation import find_boundaries

from semiseg.blocks.distance import signed_distance, squared_distance


def slow(mask: np.ndarray) -> np.ndarray:
    """The definition: both distances over their maxima, zero on the inner boundary."""
    inside, outside = distance_transform_edt(mask), distance_transform_edt(~mask)
    signed = outside / outside.max() - inside / inside.max()
    signed[find_boundaries(mask, mode="inner")] = 0
    return np.asarray(signed)


@pytest.mark.parametrize("shape", [(9, 8, 7), (1, 12, 5), (30, 33, 40)])
def test_organs_equal_the_definition_each_against_its_own_mask(shape: tuple[int, ...]) -> None:
    rng, grid = np.random.default_rng(0), np.indices(shape)
    labels = (rng.random((2, *shape)) < 0.1).astype(np.int64)  # organ 1: specks in the whole crop
    for item, organ in ((0, 2), (0, 3), (1, 3)):  # balls, some cut by the border; organ 2 is missing in item 1
        centre = rng.uniform(0, shape)
        ball = sum(np.square(axis - middle) for axis, middle in zip(grid, centre, strict=True)) < np.prod(shape) / 30
        labels[item][ball] = organ
    maps = signed_distance(torch.from_numpy(labels), 4).numpy()
    assert maps.shape == (2, 3, *shape) and maps.dtype == np.float32
    for item in range(2):
        for organ in np.unique(labels[item])[1:]:
            np.testing.assert_allclose(maps[item, organ - 1], slow(labels[item] == organ), atol=1e-6)
    assert not maps[1, 1].any()


def test_one_voxel_is_its_own_boundary_and_the_farthest_corner_is_one() -> None:
    labels = torch.zeros(1, 4, 1, 3, dtype=torch.int64)
    labels[0, 0, 0, 0] = 1
    signed = signed_distance(labels, 2)[0, 0, :, 0]
    by_hand = torch.tensor([[(z * z + x * x) ** 0.5 for x in range(3)] for z in range(4)]) / 13**0.5
    torch.testing.assert_close(signed, by_hand)


def test_an_organ_that_fills_the_crop_is_inside_everywhere_and_a_missing_one_is_zero() -> None:
    signed = signed_distance(torch.ones(1, 2, 3, 4, dtype=torch.int64), 3)
    assert torch.equal(signed[0, 0], torch.full((2, 3, 4), -1.0))
    assert not signed[0, 1].any()


def test_distances_from_a_box_inside_a_larger_grid() -> None:
    squared = squared_distance(torch.ones(1, 1, 2, dtype=torch.bool), [2, 0, 1], torch.Size((3, 2, 5)))
    assert squared[2].tolist() == [[1, 0, 0, 1, 4], [2, 1, 1, 2, 5]]
    assert squared[0, 1].tolist() == [6, 5, 5, 6, 9]
