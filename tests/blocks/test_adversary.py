"""dan and sassnet beyond their golden cases: who rests when, and what the discriminator is shown."""

import pytest
import torch
from support.facts import facts
from torch import Tensor, nn

from semiseg.blocks.adversary import adversarial_loss, discriminator_loss, evaluation_mode
from semiseg.learning.build import build_method
from semiseg.method import Adam, Batch, Method, TrainingTime
from semiseg.networks.heads.discriminator import Discriminator
from semiseg.params.config import Network, Training

START = TrainingTime(iteration=0, iterations=10, epoch=0, epochs=1, ramp=0.5)
SIDES = (16, 16, 32)


class Witness(nn.Module):
    """Notes the mode and the inputs of every call; says the same logits to all."""

    def __init__(self, logits: list[float]) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(logits))
        self.calls: list[tuple[bool, Tensor, Tensor]] = []

    def forward(self, maps: Tensor, images: Tensor) -> Tensor:
        self.calls.append((self.training, maps, images))
        return self.logits.expand(len(maps), 2)


def build(name: str, classes: int) -> Method:
    training = Training.model_construct(supervised="half_ce_dice_all")
    return build_method(name, {}, Network(name="vnet", filters=2), training, facts([1.0] * classes))


def draw(classes: int, labelled: int = 1, unlabelled: int = 2) -> Batch:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(labelled + unlabelled, 1, *SIDES, generator=generator)
    labels = torch.randint(classes, (labelled, *SIDES), generator=generator)
    return Batch(images[:labelled], labels, images[labelled:])


@pytest.mark.parametrize(("name", "classes", "maps"), [("dan", 4, 4), ("sassnet", 4, 3), ("sassnet", 2, 1)])
def test_each_side_rests_while_the_other_learns(name: str, classes: int, maps: int) -> None:
    method, batch = build(name, classes).train(), draw(classes)
    shown = method.get_submodule("discriminator").of_map.in_channels
    method.discriminator = witness = Witness([0.0, 0.0])
    modes: list[bool] = []
    method.network.dropout.register_forward_hook(lambda module, inputs, output: modes.append(module.training))
    method.losses(batch, START)
    networks_turn = len(modes)
    method.adversary_losses(batch, START)
    assert all(modes[:networks_turn]) and networks_turn < len(modes) and not any(modes[networks_turn:])
    (resting_then, unlabelled, images), (learning_then, everything, all_images) = witness.calls
    assert not resting_then and learning_then
    assert unlabelled.requires_grad and not everything.requires_grad
    assert torch.equal(images, batch.unlabelled) and torch.equal(all_images, batch.everything)
    assert shown == maps and unlabelled.shape == (2, maps, *SIDES) and everything.shape == (3, maps, *SIDES)
    assert witness.training and method.network.training


@pytest.mark.parametrize("name", ["dan", "sassnet"])
def test_the_discriminators_optimiser_is_the_official_one(name: str) -> None:
    assert build(name, 3).adversaries() == {"discriminator": Adam(lr=1e-4, betas=(0.9, 0.99))}


def test_the_mode_from_before_comes_back_even_after_an_error() -> None:
    module = nn.Dropout()
    with pytest.raises(ValueError, match="stop"), evaluation_mode(module):
        assert not module.training
        raise ValueError("stop")
    assert module.training
    with evaluation_mode(module.eval()):
        pass
    assert not module.training


def test_a_discriminator_sure_of_labelled_is_deceived_and_pays_for_the_unlabelled_rows() -> None:
    sure, maps = Witness([0.0, 4.0]), torch.zeros(5, 1, 1, 1, 1)
    right, wrong = torch.tensor([-4.0, 4.0]).exp().log1p()
    torch.testing.assert_close(adversarial_loss(sure, maps, maps), right)
    torch.testing.assert_close(discriminator_loss(sure, maps, maps, 2), (2 * right + 3 * wrong) / 5)


@pytest.mark.parametrize("sides", [(16, 16, 16), (32, 64, 48)])
def test_the_discriminator_takes_any_crop_and_is_random_in_training_only(sides: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    network, maps, images = Discriminator(3, filters=4), torch.randn(2, 3, *sides), torch.randn(2, 1, *sides)
    assert network(maps, images).shape == (2, 2)
    assert not torch.equal(network(maps, images), network(maps, images))
    network.eval()
    assert torch.equal(network(maps, images), network(maps, images))
