"""UGPCL beyond its golden cases: turns, anchors, the loss against plain loops, the memory as a ring."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage
from support.plain_network import plain_context
from torch import Tensor

from semiseg.blocks.perturbations import rotated
from semiseg.method import Batch, TrainingTime, total
from semiseg.methods.parts import ugpcl_contrast
from semiseg.methods.ugpcl import UGPCL

SLOPES, OFFSETS = (0.0, 100.0), (0.0, -50.0)  # class 1 where the image exceeds 0.5, and sure of it
CLASSES, SIZE, DIMENSION = 4, 3, 5


def at(iteration: int, ramp: float = 1.0) -> TrainingTime:
    return TrainingTime(iteration, 20000, 0, 1, ramp)


def plain(**hyper: object) -> UGPCL:
    return UGPCL(plain_context(SLOPES, OFFSETS), **hyper)


def draw(sides: tuple[int, int, int] = (16, 32, 32)) -> Batch:
    """Images of 0 and 1 whose labels are themselves, with structures of several voxels."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(4, 1, *(side // 8 for side in sides), generator=generator)
    images = torch.nn.functional.interpolate((coarse > 0.5).float(), size=sides)
    return Batch(images[:2], images[:2, 0].long(), images[2:])


@pytest.fixture
def voxels() -> tuple[Tensor, Tensor, Tensor]:
    """Embedding ``[3 d z y x]``, labels with ignored voxels and rare classes, predictions."""
    generator = torch.Generator().manual_seed(5)
    embedding = torch.nn.functional.normalize(torch.randn(3, DIMENSION, 2, 3, 4, generator=generator), dim=1)
    labels = torch.randint(-1, 2, (3, 2, 3, 4), generator=generator)
    labels[0, 0, 0, 0], labels[1, 0, 0, :2], labels[2, :, :, 3] = 2, 3, 2  # class 2 once in the first item: too rare
    predicted = torch.randint(CLASSES, (3, 2, 3, 4), generator=generator)
    predicted[1, 0, 0, :2] = 0  # all voxels of class 3 are hard
    return embedding, labels, predicted


def random_queue() -> Tensor:
    generator = torch.Generator().manual_seed(6)
    return torch.nn.functional.normalize(torch.randn(CLASSES, SIZE, DIMENSION, generator=generator), dim=2)


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_quarter_turns_are_exact_on_a_square_plane(turns: int) -> None:
    volumes = torch.arange(2 * 3 * 5 * 36.0).view(2, 3, 5, 6, 6)
    turned = rotated(volumes, torch.tensor([90.0 * turns, 0.0]))
    assert torch.equal(turned[0], torch.rot90(volumes[0], turns, (-2, -1)))
    assert torch.equal(turned[1], volumes[1])


def test_half_a_turn_is_exact_on_an_oblong_plane() -> None:
    volumes = torch.arange(3 * 4 * 7.0).view(1, 1, 3, 4, 7)
    assert torch.equal(rotated(volumes, torch.tensor([180.0])), volumes.flip(3, 4))


@pytest.mark.parametrize("degrees", [-17.3, 12.9, 103.1])
def test_turns_equal_scipy_s_nearest_neighbour(degrees: float) -> None:
    plane = np.random.default_rng(0).integers(1, 9, (24, 36)).astype(np.float32)
    ours = rotated(torch.from_numpy(plane).expand(1, 1, 2, 24, 36), torch.tensor([degrees]))
    theirs = ndimage.rotate(plane, degrees, axes=(1, 0), reshape=False, order=0, mode="grid-constant", cval=0)
    assert torch.equal(ours[0, 0, 0], ours[0, 0, 1])
    assert (ours[0, 0, 0].numpy() == theirs).mean() > 0.99 and (theirs == 0).any()


def test_labels_turn_with_their_images_and_are_never_mixed() -> None:
    terms = plain().losses(draw(), at(0))
    assert terms["supervised"] < 1e-3, "the network is right at every voxel, wherever it was moved"
    assert terms["supervised_second"] > 0.1


def test_contrast_and_memory_begin_after_their_iteration() -> None:
    method, batch = plain(), draw()
    method.second.forward = lambda maps: method.network.head(maps[0])  # agrees, so that pseudo labels are certain
    before = method.queue
    assert method.losses(batch, at(1000))["contrast"] == 0
    assert torch.equal(method.queue, before) and not method.slots.any()
    assert method.losses(batch, at(1001))["contrast"] > 0
    assert not torch.equal(method.queue[1], before[1]) and torch.equal(method.queue[0], before[0])
    assert method.slots.tolist() == [0, 4], "class 1 of every image, of unlabelled ones by certain pseudo labels"


def test_the_contrast_uses_the_memory_as_it_was_before_the_step() -> None:
    method, other, batch = plain(contrast_start=0), plain(contrast_start=0), draw()
    other.load_state_dict(method.state_dict())
    torch.manual_seed(1)
    first = method.losses(batch, at(1))["contrast"]
    queue = method.queue
    torch.manual_seed(1)
    assert torch.equal(other.losses(batch, at(1))["contrast"], first)
    torch.manual_seed(1)
    assert not torch.equal(method.losses(batch, at(1))["contrast"], first)
    assert torch.equal(other.queue, queue)


def test_weights_are_those_of_the_official_run() -> None:
    """Half way through the training the ramp is exp(-5/4), whatever the protocol's own ramp says."""
    expected = {"supervised_second": 0.4, "consistency": 0.01 * math.exp(-1.25), "rotation": 0.1, "contrast": 0.1}
    assert plain().weights(TrainingTime(5000, 10000, 0, 1, 0.5)) == pytest.approx(expected)


def test_uncertain_voxels_are_ignored_by_the_entropy_of_the_mean() -> None:
    first = torch.tensor([[9.0, 0.0], [9.0, 0.0]]).view(2, 2, 1, 1, 1)
    second = torch.tensor([[9.0, 0.0], [0.0, 9.0]]).view(2, 2, 1, 1, 1)  # sure as well, but of another class
    assert ugpcl_contrast.certain_labels(first, second, 0.5).flatten().tolist() == [0, -1]
    assert ugpcl_contrast.certain_labels(first, second, 0.7).flatten().tolist()[0] == 0


def test_anchors_equal_the_plain_loops(voxels: tuple[Tensor, Tensor, Tensor]) -> None:
    embedding, labels, predicted = voxels
    uniform = torch.rand(3, 24, generator=torch.Generator().manual_seed(8))
    anchors = ugpcl_contrast.sample(embedding, labels, predicted, CLASSES, uniform)
    found = []
    for item in range(3):
        for number in range(CLASSES):
            member = labels[item].flatten() == number
            easy = member & (predicted[item].flatten() == number)
            chosen = easy if easy.any() else member
            if member.sum() > 1:
                voxel = max(chosen.nonzero().flatten().tolist(), key=lambda v: uniform[item, v])
                found.append((number, embedding[item].flatten(1)[:, voxel]))
    assert anchors.classes[anchors.present].tolist() == [number for number, _ in found]
    assert torch.equal(anchors.vectors[anchors.present], torch.stack([vector for _, vector in found]))
    assert {number for number, _ in found} == {0, 1, 2, 3} and len(found) == 8


@pytest.mark.parametrize("mask_self", [True, False])
@pytest.mark.parametrize("background", ["zeros", "drop"])
def test_the_contrast_equals_the_plain_loops(voxels, background: str, mask_self: bool) -> None:
    embedding, labels, predicted = voxels
    anchors = ugpcl_contrast.sample(embedding, labels, predicted, CLASSES, torch.rand(3, 24))
    keys = ugpcl_contrast.keys(random_queue(), background)
    vectors, classes = anchors.vectors[anchors.present], anchors.classes[anchors.present]
    losses = []
    for i, (vector, own) in enumerate(zip(vectors, classes, strict=True)):
        scores = [float(vector @ key) / 0.1 for key in keys.vectors]
        negatives = sum(np.exp(s) for s, key in zip(scores, keys.classes, strict=True) if key != own)
        positive = [j for j, key in enumerate(keys.classes) if key == own and not (mask_self and i == j)]
        gain = sum(scores[j] - np.log(np.exp(scores[j]) + negatives) for j in positive)
        losses.append(-0.1 / 0.07 * gain / (len(positive) + 1e-5))
    ours = ugpcl_contrast.contrast(anchors, keys, 0.1, 0.07, mask_self)
    assert float(ours) == pytest.approx(np.mean(losses), rel=1e-5)


def test_background_of_the_memory() -> None:
    queue = random_queue()
    vectors, classes = ugpcl_contrast.keys(queue, "zeros")
    assert classes.tolist() == [1] * SIZE + [2] * SIZE + [3] * SIZE + [0] * SIZE
    assert torch.equal(vectors[: 3 * SIZE], queue[1:].flatten(0, 1)) and not vectors[3 * SIZE :].any()
    assert ugpcl_contrast.keys(queue, "drop").classes.tolist() == classes.tolist()[: 3 * SIZE]


def test_no_anchor_anywhere_gives_zero_and_gradients_that_are_numbers() -> None:
    embedding = torch.randn(2, DIMENSION, 2, 2, 2, requires_grad=True)
    labels = torch.full((2, 2, 2, 2), ugpcl_contrast.IGNORED)
    anchors = ugpcl_contrast.sample(embedding, labels, labels, CLASSES, torch.rand(2, 8))
    loss = ugpcl_contrast.contrast(anchors, ugpcl_contrast.keys(random_queue(), "zeros"), 0.07, 0.07)
    loss.backward()
    assert loss == 0 and embedding.grad is not None and not embedding.grad.any()


def test_the_memory_is_a_ring_without_background_and_ignored_voxels() -> None:
    labels = torch.tensor([1, 1, -1, 0]).view(1, 1, 1, 4).expand(5, 1, 1, 4)
    embedding = torch.randn(5, DIMENSION, 1, 1, 4)
    means, present = ugpcl_contrast.class_means(embedding, labels, CLASSES)
    assert present.tolist() == [[True, True, False, False]] * 5
    queue, slots = ugpcl_contrast.enqueue(random_queue(), torch.tensor([0, 1, 0, 0]), means, present)
    expected = torch.nn.functional.normalize(embedding[:, :, 0, 0, :2].mean(2), dim=1)
    torch.testing.assert_close(queue[1], torch.stack([expected[2], expected[3], expected[4]]))
    assert slots.tolist() == [0, 0, 0, 0]
    assert torch.equal(queue[[0, 2, 3]], random_queue()[[0, 2, 3]])


def test_an_oblong_plane_and_other_sizes_train() -> None:
    method = plain(contrast_start=0, dimension=8, memory=2)
    terms = method.losses(draw((32, 48, 16)), at(5))
    total(terms, method.weights(at(5))).backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in method.parameters())
