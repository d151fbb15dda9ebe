"""CAML: the memory beyond its golden cases."""

from typing import Any

import pytest
import torch
from support.facts import facts
from torch import Tensor

from semiseg.base.errors import UserError
from semiseg.learning.build import build_method
from semiseg.methods.parts.caml_memory import EMPTY, FeatureMemory, correlations, distinct, most_probable
from semiseg.networks.vnet_attention import VNetAttention
from semiseg.params.config import Network


def build(**hyper: Any) -> Any:
    return build_method("caml", hyper, Network(name="vnet", filters=2), None, facts([90.0, 10.0], (16, 16, 16)))


def stored(number: int) -> Tensor:
    """Four vectors that say the slot."""
    return torch.full((4, 2), float(number))


def test_a_sample_has_as_many_different_vectors_as_were_wanted() -> None:
    torch.manual_seed(0)
    assert sorted(distinct(7, 7).tolist()) == list(range(7))
    counts = torch.bincount(torch.cat([distinct(4, 2) for _ in range(400)]), minlength=4)
    assert counts.sum() == 800 and counts.min() > 150  # 200 each, deviation 10


def test_a_slot_is_replaced_as_a_whole_and_a_class_with_too_few_vectors_is_left_out() -> None:
    memory = FeatureMemory(slots=2, voxels=6, dimension=2, size=3)
    labels, kept = torch.tensor([0, 0, 0, 1, 1, 1]), torch.tensor([True, True, True, True, False, False])
    memory.store(0, stored(1), labels, kept)
    assert memory.classes[0].tolist() == [0, 0, 0, 1, EMPTY, EMPTY]
    background, organ = memory.sample(2)
    assert background is not None and background.tolist() == stored(1)[:3].tolist() and organ is None
    memory.store(0, stored(5)[:0], labels, torch.zeros(6, dtype=torch.bool))
    memory.store(1, stored(2)[:3], labels, labels == 1)
    background, organ = memory.sample(2)
    assert background is None and organ is not None and organ.tolist() == stored(2)[:3].tolist()


def test_the_most_probable_voxels_come_class_by_class_and_a_single_one_of_a_class_does_not_count() -> None:
    scores, predicted = torch.tensor([0.6, 0.9, 0.7, 0.8, 0.5]), torch.tensor([0, 1, 0, 2, 0])
    assert most_probable(scores, predicted, 3, 2).tolist() == [2, 0]
    assert correlations(torch.zeros(0, 2), [stored(1)], 0.1) is None


@pytest.mark.parametrize(("layout", "expected"), [("fixed", [0.0, 8.0]), ("official", [0.0, 1.0])])
def test_the_layout_of_the_auxiliary_maps_is_an_option(layout: str, expected: list[float]) -> None:
    """Channel c of voxel v holds 8 c + v; the first row is the vector of voxel 0, or the first two numbers."""
    method = build(memory_layout=layout)
    method.projection_vanilla = method.projection_auxiliary = torch.nn.Identity()
    maps = torch.arange(16.0).view(1, 2, 2, 2, 2)
    found = method.stored(torch.zeros_like(maps), maps, torch.ones(1, 2, 2, 2, dtype=torch.bool))
    assert (2 * found[0]).tolist() == expected


def test_volumes_attend_to_each_other_in_training_alone() -> None:
    torch.manual_seed(0)
    network, images = VNetAttention(1, 2, filters=2), torch.randn(2, 1, 16, 16, 16)
    other = torch.cat([images[:1], images[1:] + 1])
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm3d):  # which mix the rows of a batch too
            module.eval()
    network.dropout.p = network.decoder.dropout.p = 0.0
    for layer in (network.intra.layer, network.inter.layer):
        layer.eval()  # no dropout; the attention itself acts
    assert not torch.equal(network(images)[0], network(other)[0])
    network.eval()
    assert torch.equal(network(images)[0], network(other)[0])


@pytest.mark.parametrize("hyper", [{"memory_size": 0}, {"filtered": 0}])
def test_sizes_below_one_are_refused(hyper: dict[str, int]) -> None:
    with pytest.raises(UserError, match="must be 1 or more; found "):
        build(**hyper)
