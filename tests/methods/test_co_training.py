"""The base of two networks that supervise each other: who is trained with whose labels, and labels that are refined."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from semiseg import catalogue
from semiseg.base.controls import is_control
from semiseg.blocks.losses import SUPERVISED, cross_entropy
from semiseg.method import Batch, Context, Method, TrainingTime, method_class, unrefined
from semiseg.methods.parts.co_training import CoTraining
from semiseg.network import build

SHAPE = (16, 16, 32)
CLASSES = 4
NOW = TrainingTime(iteration=3, iterations=10, epoch=1, epochs=4, ramp=0.5)
METHODS = [name for name in catalogue.entries("methods") if not is_control(name)]
STANDING = [name for name in METHODS if issubclass(method_class(name), CoTraining)]


def method(name: str, refine: Callable[[Tensor, Tensor], Tensor] = unrefined) -> Method:
    torch.manual_seed(0)
    context = Context(
        classes=CLASSES,
        network=lambda rule, channels: build("unet3d", 1, channels, rule, filters=2),
        supervised=SUPERVISED["ce_dice_organs"],
        labelled_voxels=torch.tensor([[9000.0, 500.0, 100.0, 20.0]], dtype=torch.float64),
        unlabelled_cases=9,
        patch=SHAPE,
        window=SHAPE,
        refine=refine,
    )
    found = method_class(name)(context)
    with torch.no_grad():  # certain enough for methods that use certain voxels alone
        for each in found.modules():
            if isinstance(each, nn.Conv3d) and each.kernel_size == (1, 1, 1):
                each.weight.mul_(100)
            if isinstance(each, nn.Dropout | nn.Dropout3d):
                each.p = 0.0
    return found


def batch() -> Batch:
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(4, 1, *SHAPE, generator=generator)
    return Batch(images[:2], torch.randint(CLASSES, (2, *SHAPE), generator=generator), images[2:])


@pytest.mark.parametrize("name", STANDING)
def test_refined_labels_are_targets_and_nothing_else(name: str) -> None:
    """What a method keeps between steps, its masks and its supervised terms come from the labels as they were."""
    seen: list[Tensor] = []

    def refine(labels: Tensor, scores: Tensor) -> Tensor:
        assert not scores.requires_grad and torch.equal(labels, scores.argmax(1))
        seen.append(labels)
        return (labels + 1) % CLASSES

    plain, refined = method(name), method(name, refine)
    torch.manual_seed(1)
    before = plain.losses(batch(), NOW)
    torch.manual_seed(1)
    after = refined.losses(batch(), NOW)
    assert [len(labels) for labels in seen] == [4, 4], "once for each network"
    assert {term for term in before if not torch.equal(before[term], after[term])} == set(plain.weights(NOW))
    assert all(torch.equal(value, refined.state_dict()[key]) for key, value in plain.state_dict().items())


def test_each_network_is_trained_with_the_labels_of_the_other() -> None:
    def refine(labels: Tensor, scores: Tensor) -> Tensor:
        return torch.cat([labels[:2], torch.zeros_like(labels[2:])])

    ours, crops = method("cps", refine), batch()
    a, b = (ours.get_submodule(name)(crops.everything) for name in ("a", "b"))
    to_a, to_b = refine(b.argmax(1), b), refine(a.argmax(1), a)
    terms = ours.losses(crops, NOW)
    assert torch.equal(terms["cross"], cross_entropy(a, to_a) + cross_entropy(b, to_b))
