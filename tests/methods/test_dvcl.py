"""DVCL, which has no official code: its parts on pools and crops made by hand."""

import math

import pytest
import torch
from support.plain_network import plain_context
from torch import Tensor, nn

from semiseg.blocks.consistency import cross_supervision
from semiseg.blocks.info_nce import by_class
from semiseg.method import Batch, TrainingTime
from semiseg.methods.dvcl import DVCL
from semiseg.methods.parts.dvcl_contrast import Sizes, View, class_contrast, draw_negatives, mean_direction
from semiseg.methods.parts.dvcl_neighbours import Pool, bound, dense, links, neighbour_loss
from semiseg.networks.heads.pointwise import PointwiseHead

LATE = TrainingTime(90, 100, 9, 10, 0.5)
ANGLES = (0.0, 0.1, 0.25, 1.2, 1.5, 3.0)  # of six voxels on a circle
PROBABILITIES = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4], [0.5, 0.5], [0.2, 0.8]])


def circle(exists: tuple[bool, ...] = (True,) * 6) -> Pool:
    vectors = torch.tensor([[math.cos(angle), math.sin(angle)] for angle in ANGLES])
    return Pool(PROBABILITIES.clone().requires_grad_(), vectors, torch.tensor(exists))


def test_neighbours_affinity_and_distant_voxels_of_six_voxels() -> None:
    of = links(circle(), torch.tensor([0, 2, 3]), neighbours=2, distant=2, one_sided_affinity=0.1)
    assert of.neighbours.tolist() == [[1, 2], [1, 0], [4, 2]]
    assert of.distant.tolist() == [[5, 4], [5, 4], [5, 0]]
    # the two nearest: of 1 are 0 and 2, of 2 are 1 and 0, of 0 are 1 and 2, of 4 are 3 and 2
    torch.testing.assert_close(of.affinity, torch.tensor([[1.0, 1.0], [1.0, 1.0], [1.0, 0.1]]))
    torch.testing.assert_close(of.similarity[0], torch.tensor([math.cos(0.1), math.cos(0.25)]))


def test_the_bound_of_a_query_and_its_gradient() -> None:
    pool = circle()
    of = links(pool, torch.tensor([3]), neighbours=2, distant=2, one_sided_affinity=0.1)
    value = bound(pool.probabilities, torch.tensor([3]), of)
    p = PROBABILITIES
    torch.testing.assert_close(value, (p[3] @ (p[5] + p[0] - p[4] - 0.1 * p[2])).view(1))
    value.sum().backward()
    assert pool.probabilities.grad is not None
    torch.testing.assert_close(pool.probabilities.grad[3], p[5] + p[0] - p[4] - 0.1 * p[2])
    assert not pool.probabilities.grad[[0, 1, 2, 4, 5]].any(), "neighbours and distant voxels receive no gradient"


def test_voxels_that_do_not_exist_are_no_neighbours() -> None:
    pool = circle((True, False, True, False, False, True))
    of = links(pool, torch.tensor([0]), neighbours=4, distant=4, one_sided_affinity=0.1)
    assert of.neighbours[0, :2].tolist() == [2, 5] and (of.similarity[0, 2:] == -torch.inf).all()
    assert of.distant[0][of.distant_exists[0]].tolist() == [5, 2]
    loss = neighbour_loss(pool, torch.tensor([0, 1]), 4, 4, 0.1)
    p = PROBABILITIES
    torch.testing.assert_close(loss, p[0] @ (p[2] + p[5] - p[2] - p[5]), atol=1e-6, rtol=0)


def test_a_pool_of_nothing_gives_zero_and_gradients_that_are_numbers() -> None:
    pool = circle((False,) * 6)
    loss = neighbour_loss(pool, torch.arange(3), 2, 2, 0.1)
    loss.backward()
    assert loss == 0 and pool.probabilities.grad is not None and not pool.probabilities.grad.any()


def test_outlying_queries_are_left_out() -> None:
    similarity = torch.tensor([[0.9, 0.8], [0.9, 0.7], [0.85, 0.8], [0.1, 0.0], [-1.0, -1.0]])
    wanted = torch.tensor([True, True, True, True, False])
    density = torch.tensor([0.85, 0.8, 0.825, 0.05])
    limit = density.mean() - density.std(correction=0)
    assert dense(similarity, wanted).tolist() == [*(density >= limit).tolist(), False] == [True] * 3 + [False] * 2
    assert dense(torch.full((3, 2), 0.5), wanted[:3]).all(), "equally dense: none is an outlier"


def view(labels: Tensor, directions: Tensor, known: Tensor | None = None) -> View:
    """A network whose vector at a voxel is the direction of its label."""
    feature = directions[labels].movedim(4, 1).contiguous().requires_grad_()
    return View(feature, nn.Identity(), labels if known is None else known)


def test_the_class_contrast_is_cross_entropy_with_target_0() -> None:
    labels = torch.tensor([0, 0, 0, 2, 2, 0]).view(1, 1, 2, 3)
    angle, temperature, count = 0.7, 0.5, 5
    directions = torch.tensor([[1.0, 0.0], [0.0, 1.0], [math.cos(angle), math.sin(angle)]])
    views = [view(labels, 3 * directions), view(labels, directions)]
    loss = class_contrast(views, labels, 4, Sizes(6, count, 2, temperature))
    expected = math.log(1 + count * math.exp((math.cos(angle) - 1) / temperature))  # classes 1 and 3 are absent
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-5)
    loss.backward()
    assert all(each.feature.grad is not None and each.feature.grad.any() for each in views)


def test_a_crop_of_one_class_has_no_contrast() -> None:
    labels = torch.ones(1, 1, 2, 3, dtype=torch.long)
    one = view(labels, torch.eye(3))
    loss = class_contrast([one, one], labels, 3, Sizes(4, 5, 2, 1.0))
    loss.backward()
    assert loss == 0 and one.feature.grad is not None and one.feature.grad.isfinite().all()


def test_unreliable_voxels_are_no_anchors_and_unlabelled_ones_no_negatives() -> None:
    labels = torch.tensor([0, 1, 0, 1]).view(1, 1, 2, 2)
    known = torch.tensor([[0, 1, 0, 1], [0, 0, 2, 2]]).view(2, 1, 2, 2)  # of two classes: 2 is unreliable
    feature = torch.randn(2, 3, 1, 2, 2).requires_grad_()
    views = [View(feature, nn.Identity(), known)] * 2
    class_contrast(views, labels, 2, Sizes(64, 8, 4, 1.0)).backward()
    assert feature.grad is not None
    moved = feature.grad.abs().sum(1).flatten() > 0
    assert moved.tolist() == [True] * 6 + [False] * 2
    negatives = draw_negatives(by_class(labels, 2), views, Sizes(16, 50, 4, 1.0))
    assert sum(each.shape[2] for each in negatives) == 50 and all(10 < each.shape[2] < 40 for each in negatives)
    assert {place for each in negatives for place in each[0].flatten().tolist()} == {1, 3}


def test_the_positive_is_the_mean_of_unit_vectors() -> None:
    vectors = torch.tensor([[5.0, 0.0], [0.0, 1.0], [-9.0, 0.0]])
    torch.testing.assert_close(mean_direction(vectors, torch.tensor([True, True, False])), torch.full((2,), 0.5**0.5))


SLOPES, OFFSETS = (0.0, 0.5, -0.5), (0.1, 0.0, 0.0)


def plain(**hyper: object) -> DVCL:
    torch.manual_seed(0)
    return DVCL(plain_context(SLOPES, OFFSETS), **hyper)


def draw() -> Batch:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(4, 1, 16, 16, 32, generator=generator)
    return Batch(images[:2], torch.randint(3, (2, 16, 16, 32), generator=generator), images[2:])


def term(name: str, **hyper: object) -> float:
    method, batch = plain(**hyper), draw()
    torch.manual_seed(1)
    return float(method.losses(batch, LATE)[name].detach())


def test_weights() -> None:
    assert plain().weights(LATE) == {"cross": 0.05, "hqcl": 0.1, "dvcl": pytest.approx(0.03)}


def test_the_sum_of_the_bound_is_divided_by_the_number_of_neighbours() -> None:
    assert term("dvcl", dvcl_norm="none", neighbours=7) == pytest.approx(7 * term("dvcl", neighbours=7), rel=1e-5)
    assert term("dvcl", rank_space="prob") != term("dvcl")


def test_the_bound_of_voxels_with_equal_predictions() -> None:
    """Their products are all alike, so only the numbers of neighbours and distant voxels count."""
    method = DVCL(plain_context((0.0, 0.0), (1.0, 0.0)), one_sided_affinity=1.0, alpha=-1.0, dvcl_norm="none")
    batch = draw()
    batch.labels.clamp_(max=1)
    with torch.no_grad():
        method.a.head.weight[0] = method.b.head.weight[0] = 1e-4  # enough to split them by entropy
    square = torch.tensor([1.0, 0.0]).softmax(0).square().sum()
    torch.testing.assert_close(method.losses(batch, LATE)["dvcl"], (15 - 10) * square, rtol=1e-3, atol=0)


def test_the_cross_term_may_be_weighted_by_certainty() -> None:
    a, b = torch.randn(2, 3, 2, 2, 2), torch.randn(2, 3, 2, 2, 2)
    weighted, default = plain(cps_entropy_weight=True), plain()
    torch.testing.assert_close(default._cross(a, b), cross_supervision(a, b))
    sure, other = (1000 * torch.eye(3)[each.argmax(1)].movedim(4, 1) for each in (a, b))
    torch.testing.assert_close(weighted._cross(sure, other), cross_supervision(sure, other))
    assert weighted._cross(torch.zeros_like(a), torch.zeros_like(a)).abs() < 1e-5, "uncertain targets have no weight"


def test_the_head_of_256_channels_has_70144_parameters() -> None:
    assert sum(each.numel() for each in PointwiseHead(16, 256).parameters()) == 70144
