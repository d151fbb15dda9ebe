"""Largest components of pseudo labels."""

import numpy as np
import pytest
import torch

from semiseg.blocks.components import largest_component


def test_each_class_of_each_volume_keeps_its_own() -> None:
    labels = torch.zeros(2, 5, 5, 5, dtype=torch.int64)
    labels[0, 0, 0, :3] = 1
    labels[0, 4, 4, :2] = 1
    labels[0, 2, 2, 2] = 2
    labels[0, 4, 0, :2] = 2
    kept = largest_component(labels)
    expected = torch.zeros_like(labels)
    expected[0, 0, 0, :3], expected[0, 4, 0, :2] = 1, 2
    assert torch.equal(kept, expected) and kept.dtype == labels.dtype
    assert labels[0, 2, 2, 2] == 2, "what was given stays"


@pytest.mark.parametrize(("neighbours", "voxels"), [(6, 1), (18, 2), (26, 4)])
def test_neighbours_touch_by_a_face_an_edge_or_a_corner(neighbours: int, voxels: int) -> None:
    """A chain of four voxels: edge, corner, edge. Of equal components the first one in the array's order stays."""
    labels = torch.zeros(1, 4, 4, 4, dtype=torch.int64)
    for place in ((0, 0, 0), (0, 1, 1), (1, 2, 2), (1, 3, 3)):
        labels[0][place] = 1
    kept = largest_component(labels, neighbours)[0]
    assert int(kept.sum()) == voxels and kept[0, 0, 0] == 1


def test_sizes_are_those_of_skimage_and_random_ties_go_to_the_first() -> None:
    from skimage import measure

    rng = np.random.default_rng(0)
    for connectivity, neighbours in ((1, 6), (2, 18), (3, 26)):
        mask = (rng.random((9, 8, 7)) < (0.12 if neighbours > 6 else 0.25)).astype(np.int64)
        components = measure.label(mask, connectivity=connectivity)
        expected = components == 1 + np.bincount(components.ravel())[1:].argmax()
        found = largest_component(torch.from_numpy(mask)[None], neighbours)[0].numpy()
        np.testing.assert_array_equal(found, expected)
