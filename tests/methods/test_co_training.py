"""The base of two networks that supervise each other: who is trained with whose labels, and labels that are refined."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from semiseg import catalogue
from semiseg.base.controls import is_control
from semiseg.base.errors import UserError
from semiseg.blocks.losses import SUPERVISED, cross_entropy
from semiseg.method import Batch, Context, TrainingTime, method_class, unrefined
from semiseg.methods.parts.co_training import CoTraining
from semiseg.network import build

SHAPE = (16, 16, 32)
CLASSES = 4
NOW = TrainingTime(iteration=3, iterations=10, epoch=1, epochs=4, ramp=0.5)
METHODS = [name for name in catalogue.entries("methods") if not is_control(name)]
STANDING = [name for name in METHODS if issubclass(method_class(name), CoTraining)]


def method(
    name: str, refine: Callable[[Tensor, Tensor], Tensor] = unrefined, unlabelled_cases: int = 9, **hyper: Any
) -> Any:
    torch.manual_seed(0)
    context = Context(
        classes=CLASSES,
        network=lambda rule, channels, *_: build("unet3d", 1, channels, rule, filters=2),
        supervised=SUPERVISED["ce_dice_organs"],
        labelled_voxels=torch.tensor([[9000.0, 500.0, 100.0, 20.0]], dtype=torch.float64),
        unlabelled_cases=unlabelled_cases,
        patch=SHAPE,
        window=SHAPE,
        refine=refine,
    )
    found = method_class(name)(context, **hyper)
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
    changed = {term for term in before if not torch.equal(before[term], after[term])}
    assert changed == {term for term in before if term.startswith("cross")}
    assert all(torch.equal(value, refined.state_dict()[key]) for key, value in plain.state_dict().items())


def test_each_network_is_trained_with_the_labels_of_the_other() -> None:
    def refine(labels: Tensor, scores: Tensor) -> Tensor:
        return torch.cat([labels[:2], torch.zeros_like(labels[2:])])

    ours, crops = method("cps", refine), batch()
    a, b = (ours.get_submodule(name)(crops.everything) for name in ("a", "b"))
    to_a, to_b = refine(b.argmax(1), b), refine(a.argmax(1), a)
    terms = ours.losses(crops, NOW)
    assert torch.equal(terms["cross"], cross_entropy(a, to_a) + cross_entropy(b, to_b))


def test_adsh_refuses_a_split_whose_quarter_is_nothing() -> None:
    with pytest.raises(UserError, match=r"a quarter of the unlabelled cases, so that it needs 4 or more; found 3: "):
        method("adsh", unlabelled_cases=3)
    method("adsh", unlabelled_cases=4)


def test_adsh_drops_voxels_in_the_form_of_the_paper() -> None:
    ours, crops = method("adsh", mask="voxel"), batch()
    ours.thresholds_a, ours.thresholds_b = torch.full((CLASSES,), 2.0), torch.zeros(CLASSES)
    terms = ours.losses(crops, NOW)
    a, b = (ours.get_submodule(name)(crops.everything) for name in ("a", "b"))
    assert torch.equal(terms["cross_a"], cross_entropy(a, b.argmax(1))), "B passes everywhere"
    assert terms["cross_b"] == 0, "A passes nowhere"


def test_adsh_keeps_the_first_crops_where_the_store_has_no_room_for_all() -> None:
    ours, crops = method("adsh", unlabelled_cases=8), batch()
    crops = Batch(crops.images, crops.labels, torch.cat([crops.unlabelled] * 2))
    ours.losses(crops, NOW)
    scores = ours.a(crops.everything)[2:4].softmax(1)
    assert ours.filled == 2
    torch.testing.assert_close(ours.store_a, scores)
    ours.losses(crops, NOW)
    assert ours.filled == 0 and ours.thresholds_a.min() > 0


def test_depl_with_one_prior_of_each_class_and_with_the_margin() -> None:
    """The prior is the mean of row and voxel; the margin moves the unlabelled rows of the cross term alone."""
    crops, prior = batch(), torch.tensor([0.4, 0.3, 0.2, 0.1]).view(1, -1, 1, 1, 1)
    plain, wide = (
        method("depl", prior="class", margin=margin, momentum=0.5, threshold=0.0) for margin in (False, True)
    )
    for each in (plain, wide):
        each.prior_a = each.prior_b = prior
        each.losses(crops, NOW)
    a, b = (plain.get_submodule(name)(crops.everything) for name in ("a", "b"))
    mean = a[2:].softmax(1).mean((0, 2, 3, 4)).view_as(prior)
    torch.testing.assert_close(plain.prior_a, 0.5 * prior + 0.5 * mean)
    for each in (plain, wide):
        each.prior_a = each.prior_b = prior
    target, later = (b - prior.log()).argmax(1), 0.5 * prior + 0.5 * b[2:].softmax(1).mean((0, 2, 3, 4)).view_as(prior)
    torch.testing.assert_close(plain.losses(crops, NOW)["cross_a"], cross_entropy(a, target))
    moved = torch.cat([a[:2], a[2:] + later.log()])
    torch.testing.assert_close(wide.losses(crops, NOW)["cross_a"], cross_entropy(moved, target))


def test_depl_survives_a_prior_that_has_become_zero() -> None:
    ours = method("depl")
    ours.prior_a = torch.zeros_like(ours.prior_a)
    assert ours.losses(batch(), NOW)["cross_b"].isfinite()


def test_dst_trains_the_pseudo_decoders_in_the_roles_of_the_paper_alone() -> None:
    for roles, trained in (("swapped", {"a"}), ("original", {"a", "pseudo_a"})):
        ours = method("dst", roles=roles, threshold=0.0)
        ours.losses(batch(), NOW)["cross_a"].backward()
        reached = {name.split(".")[0] for name, weight in ours.named_parameters() if weight.grad is not None}
        assert reached == trained
    crops = batch()
    maps = ours.b.encode(crops.everything)
    target = ours.b.head(ours.b.decode(maps)[-1]).argmax(1)
    learning = ours.pseudo_a(ours.a.encode(crops.everything))
    torch.testing.assert_close(ours.losses(crops, NOW)["cross_a"], cross_entropy(learning, target))


def test_dst_refuses_a_reversal_without_steps() -> None:
    with pytest.raises(UserError, match=r"^DST\.reversal_steps must be 1 or more steps; found 0$"):
        method("dst", reversal_steps=0)
