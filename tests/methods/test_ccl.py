"""CCL beyond its golden cases: pairs by hand, what the contrast is fed, corner cases."""

from typing import Any

import pytest
import torch
from support.plain_network import plain_context
from torch import Tensor

from semiseg.base.errors import UserError
from semiseg.method import Batch, TrainingTime
from semiseg.methods.ccl import CCL
from semiseg.methods.parts import ccl_contrast as co

SIDES = (16, 16, 16)
NOW = TrainingTime(0, 100, 0, 10, 0.0)


def as_bool(rows: list[str]) -> Tensor:
    return torch.tensor([[sign == "x" for sign in row] for row in rows])


def hand_made() -> tuple[Tensor, ...]:
    """Labelled 0 and 1; a confident view pair of class 1; an unsure pair whose complementary label is 1."""
    unlike = torch.tensor([[True, False, True], [False, True, False]])
    return torch.tensor([0, 1]), torch.tensor([1, 0]), torch.tensor([True, False]), unlike


def test_pairs_by_hand() -> None:
    """Order: labelled 0, labelled 1, weak sure, weak unsure, strong sure, strong unsure."""
    found = co.pairs(*hand_made(), torch.ones(6, dtype=torch.bool))
    assert torch.equal(found.positive, as_bool(["......", "..x.x.", ".x..x.", ".....x", ".xx...", "...x.."]))
    assert torch.equal(found.compared, as_bool([".xx.x.", "x.xxxx", "xx.xxx", ".xx.xx", "xxxx.x", ".xxxx."]))


def test_samples_that_do_not_exist_are_in_no_pair_and_in_no_mean() -> None:
    torch.manual_seed(0)
    labels, pseudo, sure, unlike = hand_made()
    vectors = torch.nn.functional.normalize(torch.randn(6, 4), dim=1)
    everything = torch.ones(6, dtype=torch.bool)
    plain = co.contrast(vectors, co.pairs(labels, pseudo, sure, unlike, everything), everything, 0.1)
    order = torch.tensor([0, 1, 0, 2, 3, 3, 4, 5, 5])  # one labelled sample and one pair of views too many
    valid = torch.tensor([True, True, False, True, True, False, True, True, False])
    more = co.pairs(labels[[0, 1, 0]], pseudo[[0, 1, 1]], sure[[0, 1, 1]], unlike[[0, 1, 1]], valid)
    torch.testing.assert_close(co.contrast(vectors[order], more, valid, 0.1), plain)


def test_a_lonely_sample_gives_a_finite_zero() -> None:
    vectors = torch.eye(3).requires_grad_()
    valid = torch.tensor([True, False, False])
    nothing = torch.zeros(1, 2, dtype=torch.bool)
    pairs = co.pairs(torch.tensor([1]), torch.tensor([0]), torch.tensor([False]), nothing, valid)
    value = co.contrast(vectors, pairs, valid, 0.07)
    value.backward()
    assert value == 0 and vectors.grad is not None and not vectors.grad.any()


@pytest.mark.parametrize(("classes", "number"), [(2, 1), (3, 2), (14, 9), (16, 11)])
def test_the_number_of_complementary_labels_is_rounded_down(classes: int, number: int) -> None:
    logits = torch.randn(7, classes)
    found = co.complementary_labels(logits, 0.7)
    assert (found.sum(1) == number).all() and not found.gather(1, logits.argmax(1, keepdim=True)).any()


def test_a_share_beyond_all_classes_is_refused() -> None:
    with pytest.raises(UserError, match=r"complementary_share must lie between 0 and 1; found 1\.5"):
        CCL(plain_context((0.0, 1.0), (0.0, 0.0)), complementary_share=1.5)


def test_drawn_voxels_carry_their_own_label_or_guess_in_both_views(monkeypatch: pytest.MonkeyPatch) -> None:
    """Labelled voxels of brightness -2, 2, 0 for the labels 0, 1, 2; unlabelled ones dark, bright or unsure (0.01)."""
    torch.manual_seed(0)
    method = CCL(plain_context((-30.0, 0.0, 30.0), (0.0,) * 3), labelled_samples=20, unlabelled_samples=50)
    labels, kinds = torch.randint(3, (2, *SIDES)), torch.randint(3, (2, 1, *SIDES))
    shades = torch.tensor([-1.0, 1.0, 0.01])
    batch = Batch(torch.tensor([-2.0, 2.0, 0.0])[labels].unsqueeze(1), labels, shades[kinds])
    points: list[Tensor] = []
    seen: list[tuple[Tensor, ...]] = []
    method.projection.register_forward_pre_hook(lambda module, given: points.append(given[0]))
    original = co.pairs

    def spy(*given: Any) -> co.Pairs:
        seen.append(given)
        return original(*given)

    monkeypatch.setattr(co, "pairs", spy)
    loss = method.losses(batch, NOW)["contrast"]
    assert loss > 0 and loss.requires_grad
    (brightness,), (given,) = points, seen
    found_labels, pseudo, sure, unlike, valid = given
    assert valid.all() and valid.shape == (3 * 20 + 4 * 50,)
    labelled, weak, strong = brightness[:, 0].split([60, 100, 100])
    assert torch.equal(labelled, torch.tensor([-2.0, 2.0, 0.0])[found_labels])
    assert torch.equal(sure, weak.abs() > 0.5) and sure.sum() == 50
    assert torch.equal(pseudo, torch.where(weak > 0, 2, 0))
    assert torch.equal(unlike, ~torch.nn.functional.one_hot(pseudo, 3).bool())
    assert ((strong - weak).abs() < 0.31).all() and not torch.equal(strong, weak)
