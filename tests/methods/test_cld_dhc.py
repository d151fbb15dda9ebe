"""CLD and DHC beyond their golden cases: clocks of the banks, who is looked at, lost classes, half precision."""

import pytest
import torch
from support.facts import facts
from torch import Tensor, nn

from semiseg.base.errors import UserError
from semiseg.blocks.class_weights import Difficulty, hard_dice, rarity_weights, sampling_mask, sampling_rate
from semiseg.blocks.losses import ce_dice_organs
from semiseg.learning.build import build_method
from semiseg.method import Batch, Method, TrainingTime
from semiseg.params.config import Network, Training

SHAPE = (4, 6, 8)
VOXELS = [8000.0, 1000.0, 1.0]


class Says(nn.Module):
    """A network that says what it is told to."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits)

    def forward(self, image: Tensor) -> Tensor:
        return self.logits


def build(name: str, a: Tensor, b: Tensor, supervised: str = "ce_dice_organs", **hyper: object) -> Method:
    training = Training.model_construct(supervised=supervised)
    method = build_method(name, hyper, Network(name="unet3d", filters=1), training, facts(VOXELS))
    method.a, method.b = Says(a), Says(b)
    return method


def speech(seed: int) -> Tensor:
    return torch.randn(4, 3, *SHAPE, generator=torch.Generator().manual_seed(seed))


def silence() -> Tensor:
    """Logits that say background everywhere."""
    return torch.tensor([50.0, 0.0, 0.0]).view(1, 3, 1, 1, 1).repeat(4, 1, *SHAPE)


def draw() -> Batch:
    images = torch.zeros(4, 1, *SHAPE)
    labels = torch.randint(3, (2, *SHAPE), generator=torch.Generator().manual_seed(9))
    return Batch(images[:2], labels, images[2:])


def at(iteration: int) -> TrainingTime:
    return TrainingTime(iteration, 1000, 0, 1, 1.0)


def test_weights_by_rarity_and_a_class_that_is_never_labelled() -> None:
    torch.testing.assert_close(rarity_weights(torch.tensor([8000.0, 1000.0, 0.0])), torch.tensor([1.0, 2.0, 0.0]))


def test_one_random_map_is_as_good_as_one_for_each_class() -> None:
    predicted = torch.randint(3, (2, 32, 32, 32), generator=torch.Generator().manual_seed(0))
    rate = torch.tensor([0.1, 1.0, 0.6])
    uniform = torch.rand(1, 2, 32, 32, 32, generator=torch.Generator().manual_seed(1))
    kept = sampling_mask(predicted, rate, uniform)
    assert torch.equal(kept, sampling_mask(predicted, rate, uniform.repeat(3, 1, 1, 1, 1)))
    shares = torch.stack([kept[predicted == k].float().mean() for k in range(3)])
    torch.testing.assert_close(shares, rate, atol=0.02, rtol=0)


def test_the_least_rate_is_for_organs_alone() -> None:
    rate = sampling_rate(torch.tensor([1.0, 1.0, 0.0]), gamma=0.5, floor=0.25)
    torch.testing.assert_close(rate, torch.tensor([0.0, 0.25, 1.0]))


def test_cld_banks_change_after_every_update_iter_steps_and_note_their_own_network() -> None:
    method, batch = build("cld", speech(0), speech(1), update_iter=2, momentum=0.75), draw()
    start = method.bank_a.confidence
    assert torch.equal(start, method.bank_b.confidence) and start.unique().numel() == 3
    seen = []
    for iteration, seed in enumerate((0, 0, 2, 2)):
        method.a = Says(speech(seed))
        method.losses(batch, at(iteration))
        seen.append(method.bank_a.confidence)
    first, second = (
        torch.stack([speech(seed)[:2].softmax(1)[:, k][batch.labels == k].mean() for k in range(3)]) for seed in (0, 2)
    )
    assert torch.equal(seen[0], start) and torch.equal(seen[1], seen[2])
    torch.testing.assert_close(seen[1], first)  # replaced, not averaged with the random start
    torch.testing.assert_close(seen[3], 0.75 * first + 0.25 * second)  # the pool of the first steps is gone
    assert not torch.allclose(method.bank_a.confidence, method.bank_b.confidence)


def test_cld_cross_terms_are_alive_from_the_first_step_and_draw_anew() -> None:
    method, batch = build("cld", speech(0), speech(1)), draw()
    torch.manual_seed(0)
    first, second = (method.losses(batch, at(iteration)) for iteration in range(2))
    assert min(first["cross_a"], first["cross_b"]) > 0
    assert not torch.equal(first["cross_a"], second["cross_a"])


def test_cld_keeps_each_networks_voxels_by_what_it_says_itself() -> None:
    a, b = silence(), speech(1)
    method = build("cld", a, b)
    method.bank_a.confidence = torch.tensor([1.0, 0.0, 0.0])  # sure of background, which is all that A says
    method.bank_b.confidence = torch.tensor([0.0, 0.0, 0.0])
    terms = method.losses(draw(), at(0))
    assert terms["cross_a"] == 0 and terms["cross_b"] > 0


def test_dhc_weighs_a_by_labelled_and_b_by_unlabelled_crops() -> None:
    def after(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        method = build("dhc", a, b)
        method.losses(draw(), at(0))
        return method.difficulty_weights(), method.distribution_weights

    a, b, other = speech(0), speech(1), speech(2)
    weights_a, weights_b = after(a, b)
    same = after(torch.cat([a[:2], other[2:]]), torch.cat([other[:2], b[2:]]))
    assert torch.equal(weights_a, same[0]) and torch.equal(weights_b, same[1])
    changed = after(torch.cat([other[:2], a[2:]]), torch.cat([b[:2], other[2:]]))
    assert not torch.equal(weights_a, changed[0]) and not torch.equal(weights_b, changed[1])


def test_dhc_survives_networks_that_say_nothing_but_background() -> None:
    method, batch = build("dhc", silence(), silence()), draw()
    for iteration in range(200):
        terms = method.losses(batch, at(iteration))
        assert all(term.isfinite() for term in terms.values())
    assert terms["cross_b"] == 0  # all its voxels are background, which weighs nothing
    assert method.distribution_weights[0] == 0 and method.distribution_weights[1:].min() > 2.5
    assert method.difficulty_weights().isfinite().all() and method.difficulty_weights().max() == 3


def test_difficulty_by_hand() -> None:
    difficulty = Difficulty(2, steps=2, exponent=0.2)
    assert difficulty.weights().tolist() == [1, 1]
    difficulty.dice = torch.tensor([0.5, 0.5])
    difficulty.observe(torch.tensor([0.25, 1.0]))
    log2 = torch.tensor(2.0).log()
    torch.testing.assert_close(difficulty.unlearn, torch.stack([0.125 * log2, 0 * log2]))
    torch.testing.assert_close(difficulty.learn, torch.stack([0 * log2, 0.25 * log2]))
    torch.testing.assert_close(difficulty.lack, torch.tensor([0.875, 0.5]))
    hard, easy = difficulty.weights().tolist()
    assert hard > 0.875 and easy < 0.5


def test_hard_dice_by_hand() -> None:
    labels = torch.tensor([0, 0, 1, 1]).view(2, 1, 1, 2)
    predicted = torch.tensor([0, 1, 1, 1]).view(2, 1, 1, 2)
    torch.testing.assert_close(hard_dice(predicted, labels, 3), torch.tensor([2 / 3, 4 / 5, 0.5]))
    assert 0 < hard_dice(labels * 2, labels, 3)[1] < 1e-8  # in the truth alone: small, but with a logarithm


@pytest.mark.parametrize("name", ["cld", "dhc"])
def test_the_supervised_loss_is_the_methods_own_under_every_protocol(name: str) -> None:
    a, b, batch = speech(0), speech(1), draw()
    terms = [build(name, a, b, rule).losses(batch, at(0)) for rule in ("ce_dice_organs", "half_ce_dice_all")]
    method = build(name, a, b)
    method.losses(batch, at(0))
    weights = method.class_weights if name == "cld" else method.distribution_weights
    assert terms[0]["supervised_b"] == terms[1]["supervised_b"] == ce_dice_organs(b[:2], batch.labels, weights)


@pytest.mark.parametrize("name", ["cld", "dhc"])
def test_half_precision_logits_give_float32_losses_and_state(name: str) -> None:
    batch, rounded = draw(), [speech(seed).bfloat16() for seed in range(2)]
    torch.manual_seed(0)
    exact = build(name, *(each.float() for each in rounded)).losses(batch, at(0))
    torch.manual_seed(0)
    method = build(name, *rounded)
    with torch.autocast("cpu", torch.bfloat16):
        terms = method.losses(batch, at(0))
    torch.testing.assert_close(terms, exact)  # same dtype too
    assert {state.dtype for state in method.buffers()} == {torch.float32}


@pytest.mark.parametrize(("name", "steps"), [("cld", "update_iter"), ("dhc", "accumulate")])
def test_no_steps_at_all_are_refused(name: str, steps: str) -> None:
    with pytest.raises(UserError, match=f"{steps} must be 1 or more steps; found 0"):
        build(name, speech(0), speech(1), **{steps: 0})
