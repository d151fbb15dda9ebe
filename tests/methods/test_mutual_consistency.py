"""Methods whose decoders or networks sharpen each other, beyond their golden cases."""

from typing import Any

import pytest
import torch
from support.facts import facts

from semiseg.base.errors import UserError
from semiseg.blocks.losses import cross_entropy
from semiseg.blocks.mutual_consistency import sharpened, sharpened_each
from semiseg.learning.build import build_method
from semiseg.method import Batch, TrainingTime
from semiseg.networks.vnet import VNet
from semiseg.params.config import Network, Training

BEFORE, MAX_STEP = (TrainingTime(iteration, 100, 0, 1, 1.0) for iteration in (2, 4))


def build(name: str, **hyper: Any) -> Any:
    training = Training.model_construct(supervised="half_ce_dice_fg")
    return build_method(name, hyper, Network(name="vnet", filters=2), training, facts([90.0, 10.0], (16, 16, 16)))


def batch() -> Batch:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(4, 1, 16, 16, 16, generator=generator)
    return Batch(images[:2], torch.randint(2, (2, 16, 16, 16), generator=generator), images[2:])


def test_both_forms_of_sharpening_are_equal_for_two_classes_alone() -> None:
    two, three = (torch.randn(1, classes, 2, 2, 2).softmax(1) for classes in (2, 3))
    torch.testing.assert_close(sharpened(two, 0.5), sharpened_each(two, 0.5))
    torch.testing.assert_close(sharpened(three, 0.5).sum(1), torch.ones(1, 2, 2, 2))
    assert not torch.allclose(sharpened(three, 0.5), sharpened_each(three, 0.5))
    for form in (sharpened, sharpened_each):
        with pytest.raises(UserError, match=r"temperature of a sharpening must be above 0; found 0\.0"):
            form(two, 0.0)


def test_mc_net_adds_the_cross_entropy_where_it_is_wanted() -> None:
    logits, labels = torch.randn(1, 2, 2, 2, 2), torch.randint(2, (1, 2, 2, 2))
    alone, both = (
        build("mc_net_plus", supervised=form).supervised_loss(logits, labels) for form in ("dice", "dice_ce")
    )
    torch.testing.assert_close(both, alone + cross_entropy(logits, labels))


def test_mcf_draws_the_weights_of_transposed_convolutions_by_kaimings_rule() -> None:
    method = build("mcf")
    for network in (method.a, method.b):
        weight = network.decoder.up[0][0].weight  # of 32 channels, to 16 of 8 positions each
        assert weight.std().item() == pytest.approx((2 / (16 * 8)) ** 0.5, rel=0.1)


def test_a_max_step_makes_the_decoders_better_combinations_of_each_other_and_moves_no_network() -> None:
    torch.manual_seed(0)
    method, crops = build("mc_caussl", interval=4, start_after=2, inner_steps=3), batch()
    steps = [crops] * 3, [BEFORE, MAX_STEP, MAX_STEP]
    network = {name: value.clone() for name, value in method.network.named_parameters()}
    names = [f"independence_{number}" for number in (1, 2, 3)]
    before, first, second = ([terms[name].item() for name in names] for terms in map(method.losses, *steps))
    assert before == [0.0, 0.0, 0.0] and method.mixing.steps == 6
    assert all(later > earlier > 0 for earlier, later in zip(first, second, strict=True))
    assert all(torch.equal(value, network[name]) for name, value in method.network.named_parameters())
    assert not any(matrix.requires_grad or matrix.grad is not None for matrix in method.mixing.parameters())


@pytest.mark.parametrize(("form", "learning"), [("official", [True, False, False]), ("all_branches", [True] * 3)])
def test_which_decoders_learn_to_be_independent(form: str, learning: list[bool]) -> None:
    method = build("mc_caussl", interval=4, start_after=2, inner_steps=1, independence=form)
    terms = method.losses(batch(), MAX_STEP)
    assert [terms[f"independence_{number}"].requires_grad for number in (1, 2, 3)] == learning
    assert len(method.logged_only) == learning.count(False)


def test_mc_caussl_refuses_an_interval_of_no_steps_and_is_a_vnet_everywhere() -> None:
    with pytest.raises(UserError, match="interval must be 1 or more steps; found 0"):
        build("mc_caussl", interval=0)
    method = build_method("mc_caussl", {}, Network(name="unet3d", filters=2), None, facts([90.0, 10.0]))
    assert isinstance(method.network, VNet)
