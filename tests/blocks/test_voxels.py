"""Drawing voxels by class, gathering them, and remembering vectors by class."""

import pytest
import torch

from semiseg.base.errors import UserError
from semiseg.blocks.memory import ClassMemory
from semiseg.blocks.voxels import by_class, draw, gather


def test_drawn_voxels_belong_to_their_class_and_none_comes_twice() -> None:
    torch.manual_seed(0)
    ids = torch.randint(3, (2, 4, 5, 6))
    ids[ids == 1] = 2
    ids[0, 0, 0, :2] = 1
    places, valid = draw(ids, 4, 20)
    assert places.shape == valid.shape == (4, 20)
    assert valid.sum(1).tolist() == [20, 2, 20, 0]
    for number in range(3):
        chosen = places[number][valid[number]]
        assert len(chosen.unique()) == len(chosen)
        assert (ids.flatten()[chosen] == number).all()


def test_all_voxels_of_a_class_are_equally_likely() -> None:
    torch.manual_seed(0)
    ids, hits = torch.tensor([0, 1, 1, 0, 1, 1, 1]), torch.zeros(7)
    for _ in range(2000):
        places, valid = draw(ids, 2, 2)
        hits[places[valid]] += 1
    expected = torch.where(ids == 0, 2000.0, 800.0)
    assert ((hits - expected).abs() < 100).all()


def test_gathering_keeps_the_order_of_places_and_the_gradient() -> None:
    maps = torch.arange(2 * 3 * 8.0).view(2, 3, 2, 2, 2).requires_grad_()
    values = gather(maps, torch.tensor([9, 0, 9]))
    assert values.tolist() == [[25, 33, 41], [0, 8, 16], [25, 33, 41]]
    values.sum().backward()
    assert maps.grad is not None
    assert maps.grad[1, :, 0, 0, 1].tolist() == [2, 2, 2] and maps.grad.sum() == 9


def test_voxels_come_class_by_class_in_their_order() -> None:
    ids = torch.tensor([[2, 0, 3], [0, 2, 0]])
    places, counts = by_class(ids, 5)
    assert places.tolist() == [1, 3, 5, 0, 4, 2] and counts == [3, 0, 2, 1, 0]
    places, counts = by_class(ids, 5, 1)
    assert places.tolist() == [0, 4, 2] and counts == [0, 2, 1, 0]


def test_a_memory_keeps_the_newest_vectors_of_each_class() -> None:
    memory = ClassMemory(3, 2, 1)
    assert memory.filled.tolist() == [0, 0, 0] and not memory.means().any()
    classes, valid = torch.tensor([1, 1, 0, 1, 2]), torch.tensor([True, False, True, True, False])
    memory.push(torch.tensor([[1.0], [2.0], [3.0], [4.0], [5.0]]), classes, valid)
    assert memory.filled.tolist() == [1, 2, 0]
    assert memory.means().tolist() == [[3.0], [2.5], [0.0]]
    memory.push(torch.tensor([[6.0]]), torch.tensor([1]), torch.tensor([True]))
    assert sorted(memory.vectors[1].flatten().tolist()) == [4.0, 6.0]
    memory.push(torch.arange(5.0).view(5, 1), torch.ones(5, dtype=torch.long), torch.ones(5, dtype=torch.bool))
    assert sorted(memory.vectors[1].flatten().tolist()) == [3.0, 4.0]
    assert memory.vectors[0].flatten().tolist() == [3.0, 0.0]


def test_a_memory_of_nothing_is_refused() -> None:
    with pytest.raises(UserError, match="must hold 1 or more vectors; found 0"):
        ClassMemory(2, 0, 4)
