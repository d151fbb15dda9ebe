"""Which protocols can serve which methods, and what is said where they cannot."""

import pytest

from semiseg.graph.requirements import why_not
from semiseg.params.config import BatchSize, Training


def training(patch=(64, 128, 128), labelled=4, unlabelled=4):
    return Training.model_construct(patch=patch, batch=BatchSize(labelled=labelled, unlabelled=unlabelled))


@pytest.mark.parametrize("patch", [(64, 128, 128), (32, 64, 64), (64, 64, 64), (96, 96, 96)])
def test_crops_that_magicnet_can_cut(patch):
    assert why_not("magicnet", {}, training(patch)) is None


@pytest.mark.parametrize("patch", [(16, 32, 32), (112, 112, 80), (64, 96, 96), (64, 32, 128), (96, 160, 160)])
def test_crops_that_magicnet_cannot_cut(patch):
    """No whole cubes; 64 not divisible by 3; one cube on the second axis; 96 not divisible by 5."""
    sides = " x ".join(map(str, patch))
    assert f"crops of {sides} cannot be cut so" in why_not("magicnet", {}, training(patch))


def test_the_rows_own_cube_size_counts():
    assert "cubes of 64 voxels" in why_not("magicnet", {"cube_size": 64}, training((96, 96, 96)))
    assert why_not("magicnet", {"cube_size": 64}, training((128, 128, 128))) is None


def test_halves_must_be_equal_where_crops_are_paired():
    assert why_not("guidednet", {}, training(unlabelled=2)) == (
        "guidednet pairs labelled with unlabelled crops, but the protocol takes 4 and 2 in a step"
    )
    assert why_not("cps", {}, training(unlabelled=2)) is None
