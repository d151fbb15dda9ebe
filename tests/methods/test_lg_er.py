"""LG-ER-MT: blocks of crops of any size, and blocks that do not fit."""

import pytest
import torch
from support.facts import facts

from semiseg.base.errors import UserError
from semiseg.learning.build import build_method
from semiseg.methods.lg_er import LGER, similarity_loss
from semiseg.params.config import Network

SIDES = (16, 32, 32)


def build(block: int) -> LGER:
    method = build_method("lg_er", {"block": block}, Network(name="unet3d", filters=2), None, facts([1.0, 1.0], SIDES))
    assert isinstance(method, LGER)
    return method


def test_blocks_are_two_by_two_by_one_of_those_that_fit() -> None:
    method = build(8)
    drawn = [method.chosen((16, 32, 48)) for _ in range(40)]
    assert all([len(axis) for axis in each] == [2, 2, 1] for each in drawn)
    assert all(len(set(axis)) == len(axis) for each in drawn for axis in each)
    assert {index for each in drawn for index in each[1]} == {0, 1, 2, 3}
    assert {index for each in drawn for index in each[2]} == {0, 1, 2, 3, 4, 5}


def test_a_short_axis_gives_the_blocks_that_it_has() -> None:
    assert [len(axis) for axis in build(16).chosen(SIDES)] == [1, 2, 1]


@pytest.mark.parametrize("block", [0, 17])
def test_a_block_that_does_not_fit_the_crop_is_refused(block: int) -> None:
    with pytest.raises(UserError, match=f"from 1 voxel to the shortest side of the crop, 16; found {block}"):
        build(block)


def test_the_similarity_loss_is_that_of_the_written_out_matrices() -> None:
    student, teacher = torch.rand(2, 2, 3, 2, 3, 4).softmax(2)

    def cosine(block: torch.Tensor) -> torch.Tensor:
        vectors = torch.nn.functional.normalize(block.flatten(2).double(), dim=1)
        return vectors.transpose(1, 2) @ vectors

    written = (cosine(teacher) - cosine(student)).square().sum() / (24**2 * 2)
    torch.testing.assert_close(similarity_loss(student, teacher), written, rtol=1e-6, atol=0)
