"""CCL beyond its golden cases: pairs by hand, what the contrast is fed, corner cases."""

from typing import Any

import pytest
import torch
from support.plain_network import plain_context
from torch import Tensor

from semiseg.base.errors import UserError
from semiseg.method import Batch, TrainingTime
from semiseg.methods.ccl import CCL
from semiseg.methods.parts import ccl_contrast

SIDES = (16, 16, 16)
NOW = TrainingTime(0, 100, 0, 10, 0.0)


def as_bool(rows: list[str]) -> Tensor:
    return torch.tensor([[sign == "x" for sign in row] for row in rows])


def hand_made() -> tuple[Tensor, ...]:
    """Labelled 0 and 1; a confident view pair of class 1; an other pair whose complementary label is 1."""
    complementary = torch.tensor([[True, False, True], [False, True, False]])
    return torch.tensor([0, 1]), torch.tensor([1, 0]), torch.tensor([True, False]), complementary


def test_pairs_by_hand() -> None:
    """Order: labelled 0, labelled 1, weak confident, weak other, strong confident, strong other."""
    found = ccl_contrast.pairs(*hand_made(), torch.ones(6, dtype=torch.bool))
    assert torch.equal(found.positive, as_bool(["......", "..x.x.", ".x..x.", ".....x", ".xx...", "...x.."]))
    assert torch.equal(found.compared, as_bool([".xx.x.", "x.xxxx", "xx.xxx", ".xx.xx", "xxxx.x", ".xxxx."]))


def test_samples_that_do_not_exist_are_in_no_pair_and_in_no_mean() -> None:
    torch.manual_seed(0)
    labels, pseudo, confident, complementary = hand_made()
    vectors = torch.nn.functional.normalize(torch.randn(6, 4), dim=1)
    everything = torch.ones(6, dtype=torch.bool)
    plain = ccl_contrast.contrast(
        vectors, ccl_contrast.pairs(labels, pseudo, confident, complementary, everything), everything, 0.1
    )
    order = torch.tensor([0, 1, 0, 2, 3, 3, 4, 5, 5])  # one labelled sample and one pair of views too many
    valid = torch.tensor([True, True, False, True, True, False, True, True, False])
    more = ccl_contrast.pairs(
        labels[[0, 1, 0]], pseudo[[0, 1, 1]], confident[[0, 1, 1]], complementary[[0, 1, 1]], valid
    )
    torch.testing.assert_close(ccl_contrast.contrast(vectors[order], more, valid, 0.1), plain)


def test_a_lonely_sample_gives_a_finite_zero() -> None:
    vectors = torch.eye(3).requires_grad_()
    valid = torch.tensor([True, False, False])
    nothing = torch.zeros(1, 2, dtype=torch.bool)
    pairs = ccl_contrast.pairs(torch.tensor([1]), torch.tensor([0]), torch.tensor([False]), nothing, valid)
    value = ccl_contrast.contrast(vectors, pairs, valid, 0.07)
    value.backward()
    assert value == 0 and vectors.grad is not None and not vectors.grad.any()


@pytest.mark.parametrize(("classes", "number"), [(2, 1), (3, 2), (14, 9), (16, 11)])
def test_the_number_of_complementary_labels_is_rounded_down(classes: int, number: int) -> None:
    logits = torch.randn(7, classes)
    found = ccl_contrast.complementary_labels(logits, 0.7)
    assert (found.sum(1) == number).all() and not found.gather(1, logits.argmax(1, keepdim=True)).any()


def test_a_fraction_above_one_is_refused() -> None:
    with pytest.raises(UserError, match=r"complementary_fraction must lie between 0 and 1; found 1\.5"):
        CCL(plain_context((0.0, 1.0), (0.0, 0.0)), complementary_fraction=1.5)


def test_sampled_voxels_carry_their_own_label_or_pseudo_label_in_both_views(monkeypatch: pytest.MonkeyPatch) -> None:
    """Labelled voxels of brightness -2, 2, 0 for the labels 0, 1, 2; unlabelled ones dark, bright or other (0.01)."""
    torch.manual_seed(0)
    method = CCL(plain_context((-30.0, 0.0, 30.0), (0.0,) * 3), labelled_samples=20, unlabelled_samples=50)
    labels, kinds = torch.randint(3, (2, *SIDES)), torch.randint(3, (2, 1, *SIDES))
    shades = torch.tensor([-1.0, 1.0, 0.01])
    batch = Batch(torch.tensor([-2.0, 2.0, 0.0])[labels].unsqueeze(1), labels, shades[kinds])
    points: list[Tensor] = []
    seen: list[tuple[Tensor, ...]] = []
    method.projection.register_forward_pre_hook(lambda module, given: points.append(given[0]))
    original = ccl_contrast.pairs

    def spy(*given: Any) -> ccl_contrast.Pairs:
        seen.append(given)
        return original(*given)

    monkeypatch.setattr(ccl_contrast, "pairs", spy)
    loss = method.losses(batch, NOW)["contrast"]
    assert loss > 0 and loss.requires_grad
    (brightness,), (given,) = points, seen
    found_labels, pseudo, confident, complementary, valid = given
    assert valid.all() and valid.shape == (3 * 20 + 4 * 50,)
    labelled, weak, strong = brightness[:, 0].split([60, 100, 100])
    assert torch.equal(labelled, torch.tensor([-2.0, 2.0, 0.0])[found_labels])
    assert torch.equal(confident, weak.abs() > 0.5) and confident.sum() == 50
    assert torch.equal(pseudo, torch.where(weak > 0, 2, 0))
    assert torch.equal(complementary, ~torch.nn.functional.one_hot(pseudo, 3).bool())
    assert ((strong - weak).abs() < 0.31).all() and not torch.equal(strong, weak)
