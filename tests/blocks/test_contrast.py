"""Drawing voxels by class, InfoNCE, percentiles, long memories and CutMix against plain loops and numpy."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from semiseg.blocks.info_nce import by_class, info_nce, ranks
from semiseg.blocks.memory import MemoryBank
from semiseg.blocks.perturbations import cutmix, half_boxes
from semiseg.blocks.reliability import above_mean, entropy, percentiles
from semiseg.learning import weights

IDS = torch.tensor([[3, 1, 0, 1], [5, 0, 1, 3]])  # of 5 classes; 2 and 4 do not occur, 5 belongs to none


def every(count: int) -> torch.Tensor:
    """One draw for each of so many voxels."""
    return (torch.arange(count) + 0.5) / count


def test_draws_of_a_class_reach_each_of_its_voxels_in_order() -> None:
    groups = by_class(IDS, 5)
    assert groups.sizes.tolist() == [2, 3, 0, 2, 0]
    found = groups.inside(every(6).expand(5, 2, 6))
    assert found[0, 0].tolist() == [2, 2, 2, 5, 5, 5] and torch.equal(found[:, 0], found[:, 1])
    assert found[1, 0].tolist() == [1, 1, 3, 3, 6, 6]


def test_draws_outside_a_class_reach_all_others_but_voxels_of_no_class() -> None:
    flat = IDS.flatten()
    for number, places in enumerate(by_class(IDS, 5).outside(torch.rand(5, 200, dtype=torch.float64))):
        assert {int(flat[place]) for place in places} == {0, 1, 3} - {number}
    assert sorted(by_class(IDS, 5).outside(every(4).expand(5, 4))[1].tolist()) == [0, 2, 5, 7]


def test_ranks_never_leave_the_group() -> None:
    almost = torch.tensor([0.0, 0.5, 1 - 2**-24])
    assert ranks(almost, 10).tolist() == [0, 5, 9]
    assert ranks(almost, 2**25 + 1).tolist()[2] == 2**25 - 2, "float32 would have rounded up"
    assert ranks(almost, 0).tolist() == [0, 0, 0]


def test_info_nce_is_cross_entropy_with_target_0() -> None:
    anchors, negatives = torch.randn(4, 6, requires_grad=True), torch.randn(4, 5, 6)
    positive, expected = torch.randn(6), []
    for anchor, others in zip(anchors.detach().double().numpy(), negatives.double().numpy(), strict=True):
        keys = [positive.double().numpy(), *others]
        scores = [anchor @ key / np.linalg.norm(anchor) / np.linalg.norm(key) / 0.3 for key in keys]
        expected.append(-scores[0] + math.log(sum(map(math.exp, scores))))
    loss = info_nce(anchors, positive, negatives, 0.3)
    assert float(loss.detach()) == pytest.approx(np.mean(expected), rel=1e-5)
    loss.backward()
    assert anchors.grad is not None and anchors.grad.abs().sum() > 0


@pytest.mark.parametrize("count", [1, 2, 7, 100])
def test_percentiles_are_those_of_numpy(count: int) -> None:
    values, wanted = torch.randn(count), [0, 0.25, 20, 50, 79.9, 100]
    np.testing.assert_allclose(percentiles(values, wanted), np.percentile(values.numpy(), wanted), rtol=1e-5, atol=1e-7)


def test_unreliable_are_voxels_half_a_deviation_above_the_mean_entropy_of_their_item() -> None:
    sure, unsure = [1.0, 0.0], [0.5, 0.5]
    rows = [[sure, sure, sure, unsure], [unsure, unsure, unsure, unsure]]
    probabilities = torch.tensor(rows).movedim(2, 1).reshape(2, 2, 1, 1, 4)
    values = entropy(probabilities)
    torch.testing.assert_close(values[0, 0, 0], torch.tensor([0, 0, 0, math.log(2)]))
    assert above_mean(values, 0.5).flatten().tolist() == [False] * 3 + [True] + [False] * 4
    mean, deviation = math.log(2) / 4, math.log(2) * math.sqrt(3) / 4  # population SD
    limit = (math.log(2) - mean) / deviation
    assert above_mean(values, limit - 0.01)[0].any() and not above_mean(values, limit + 0.01)[0].any()


def test_the_memory_keeps_the_newest_of_each_class() -> None:
    bank = MemoryBank([3, 5], 1)
    for start, number in ((0, 2), (2, 2), (4, 9)):
        bank.push(1, torch.arange(start, start + number).unsqueeze(1).float())
        assert len(bank.queue(0)) == 0
    assert bank.queue(1).flatten().tolist() == [8, 9, 10, 11, 12]
    bank.push(0, torch.tensor([[1.0], [2.0]]))
    bank.push(0, torch.tensor([[3.0], [4.0]]))
    assert bank.queue(0).flatten().tolist() == [2, 3, 4]


def test_a_stored_memory_of_any_length_is_taken_over(tmp_path: Path) -> None:
    bank, other = MemoryBank([3, 5], 2), MemoryBank([3, 5], 2)
    bank.push(1, torch.randn(4, 2))
    other.push(0, torch.randn(2, 2))
    weights.save(tmp_path / "state.safetensors", bank.state_dict(), {})
    other.load_state_dict(weights.load(tmp_path / "state.safetensors")[0])
    assert len(other.queue(0)) == 0 and torch.equal(other.queue(1), bank.queue(1))
    other.push(1, torch.ones(2, 2))
    assert torch.equal(other.queue(1), torch.cat([bank.queue(1)[1:], torch.ones(2, 2)]))


def test_boxes_cover_about_half_of_the_plane() -> None:
    boxes = half_boxes(50, 24, 40)
    assert abs(boxes.float().mean((1, 2)) - 0.5).max() <= 0.5 * 40 / (24 * 40) + 1e-6, "the height is rounded"
    for box in boxes:
        rows, columns = box.any(1).nonzero(), box.any(0).nonzero()
        assert int(box.sum()) == len(rows) * len(columns) and 21 <= len(columns) <= 39
    assert len({tuple(box.nonzero()[0].tolist()) for box in boxes}) > 10


def test_cutmix_takes_image_and_label_from_the_next_item() -> None:
    labels = torch.arange(3).view(3, 1, 1, 1).expand(3, 2, 16, 32)
    mixed, found = cutmix(labels.unsqueeze(1).float(), labels)
    assert torch.equal(mixed.squeeze(1).long(), found)
    assert [sorted(each.unique().tolist()) for each in found] == [[0, 1], [1, 2], [0, 2]]
    assert torch.equal(found[:, 0], found[:, 1]), "the box goes through the whole depth"
