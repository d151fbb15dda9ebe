"""SS-Net beyond its golden and step cases: the memory's rules, and settings that do not serve."""

import pytest
import torch
from support.plain_network import plain_context
from torch.nn.functional import cosine_similarity

from semiseg.base.errors import UserError
from semiseg.method import Batch, TrainingTime
from semiseg.methods.parts.ss_net_contrast import ClassSeparation
from semiseg.methods.ss_net import SSNet

NOW = TrainingTime(5, 10, 0, 1, 1.0)


def separation(size: int = 4) -> ClassSeparation:
    torch.manual_seed(0)
    return ClassSeparation(3, size, 5)


def test_few_vectors_are_kept_in_their_order_without_a_score_and_an_absent_class_keeps_its_own() -> None:
    ours, vectors = separation(), torch.randn(6, 5)
    ours.remember(vectors, torch.tensor([2, 0, 2, 0, 0, 0]))
    assert ours.stored.tolist() == [0, 0, 2]
    assert torch.equal(ours.memory[2, :2], vectors[[0, 2]])
    assert all(norm.num_batches_tracked == 0 for norm in ours.modules() if isinstance(norm, torch.nn.BatchNorm1d))
    ours.remember(vectors[:3], torch.ones(3, dtype=torch.long))
    assert ours.stored.tolist() == [0, 3, 2] and torch.equal(ours.memory[2, :2], vectors[[0, 2]])


def test_a_shorter_memory_replaces_a_longer_one_as_a_whole() -> None:
    ours, labels = separation(), torch.ones(4, dtype=torch.long)
    first, second = torch.randn(4, 5), torch.randn(2, 5)
    ours.remember(first, labels)
    ours.remember(second, labels[:2])
    vectors = torch.randn(3, 5)
    ours.eval()
    scores = ours.selectors[1](vectors).sigmoid().squeeze(1)
    distances = 1 - cosine_similarity(vectors[:, None], second[None], dim=2).mean(1)
    expected = (distances * scores / scores.mean()).mean() / 3
    torch.testing.assert_close(ours(vectors, labels[:3]), expected)


def test_classes_with_one_voxel_or_without_memory_add_nothing() -> None:
    ours = separation()
    ours.remember(torch.randn(3, 5), torch.ones(3, dtype=torch.long))
    assert ours(torch.randn(4, 5), torch.tensor([0, 0, 1, 2])) == 0


def test_only_right_organ_voxels_are_remembered() -> None:
    method = SSNet(plain_context((0.0, 100.0), (0.0, -50.0)))  # predicts class 1 where the image exceeds 0.5
    images = torch.zeros(2, 1, 16, 16, 16)
    images[:, :, :4] = 1
    labels = torch.zeros(2, 16, 16, 16, dtype=torch.long)
    labels[0, 3:5] = 1  # half of them are predicted
    method.losses(Batch(images, labels, images), NOW)
    assert method.separation.stored.tolist() == [0, 32]
    labels[0, 3] = 0
    method.separation.stored.zero_()
    method.losses(Batch(images, labels, images), NOW)
    assert method.separation.stored.tolist() == [0, 0]


def test_settings_that_do_not_serve_are_refused() -> None:
    three = plain_context((0.0, 1.0, 2.0), (0.0, 0.0, 0.0))
    with pytest.raises(UserError, match="memory must be 2 or more vectors per class; found 1"):
        SSNet(three, memory=1)
