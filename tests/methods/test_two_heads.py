"""sassnet and dtc beyond their golden cases (which are of one organ): one channel, many organs, what predicts."""

import pytest
import torch
from support.facts import facts

from semiseg.blocks.distance import signed_distance
from semiseg.blocks.losses import half_ce_dice_all
from semiseg.learning.build import build_method
from semiseg.method import Batch, TrainingTime
from semiseg.methods.dtc import mask_of
from semiseg.methods.parts.two_heads import TwoHeads
from semiseg.params.config import Network, Training

LATE = TrainingTime(iteration=9, iterations=10, epoch=0, epochs=1, ramp=1.0)
SIDES = (16, 32, 16)
NAMES = ["sassnet", "dtc"]


def build(name: str, classes: int, network: str = "vnet") -> TwoHeads:
    training = Training.model_construct(supervised="half_ce_dice_all")
    method = build_method(name, {}, Network(name=network, filters=2), training, facts([1.0] * classes))
    assert isinstance(method, TwoHeads)
    return method.eval()


def draw(classes: int) -> Batch:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(3, 1, *SIDES, generator=generator)
    return Batch(images[:2], torch.randint(classes, (2, *SIDES), generator=generator), images[2:])


@pytest.mark.parametrize("name", NAMES)
def test_one_organ_has_one_channel_whose_sigmoid_is_the_foreground(name: str) -> None:
    method, image = build(name, 2), draw(2).images
    score = method.network(image)
    assert score.shape[1] == 1
    expected = torch.cat([1 - score.sigmoid(), score.sigmoid()], 1)
    torch.testing.assert_close(method.predict(image, method.inference_networks), expected)


@pytest.mark.parametrize("network", ["vnet", "unet3d"])
@pytest.mark.parametrize(("classes", "organs"), [(2, 1), (5, 4)])
def test_distances_are_one_map_per_organ_within_bounds(classes: int, organs: int, network: str) -> None:
    method = build("dtc", classes, network)
    logits, distances = method(100 * draw(classes).images)
    assert logits.shape == (2, classes, *SIDES) and distances.shape == (2, organs, *SIDES)
    assert distances.abs().max() <= 1


@pytest.mark.parametrize("name", NAMES)
def test_many_organs_take_the_protocols_loss_and_each_organs_own_distance(name: str) -> None:
    method, batch = build(name, 4), draw(4)
    terms = method.losses(batch, LATE)
    logits, distances = method(batch.images)
    torch.testing.assert_close(terms["supervised"], half_ce_dice_all(logits, batch.labels))
    errors = [
        (distances[:, organ - 1] - signed_distance((batch.labels == organ).long(), 2)[:, 0]).square().mean()
        for organ in (1, 2, 3)
    ]
    torch.testing.assert_close(terms["distance"], torch.stack(errors).mean())
    assert method.weights(LATE)["distance"] == 0.3


def test_consistency_compares_each_organ_with_its_own_distance_on_all_rows() -> None:
    method, batch = build("dtc", 4), draw(4)
    logits, distances = method(batch.everything)
    expected = (mask_of(distances, 1500) - logits.softmax(1)[:, 1:]).square().mean((0, 2, 3, 4)).mean()
    torch.testing.assert_close(method.losses(batch, LATE)["consistency"], expected)


def test_masks_are_filled_where_the_distance_is_negative_also_for_half_precision() -> None:
    distances = torch.tensor([-1.0, -0.001, 0.0, 0.001, 1.0], dtype=torch.float16)
    filled = mask_of(distances, 1500)
    assert filled.dtype == torch.float32
    torch.testing.assert_close(filled, torch.tensor([1, 0.8176, 0.5, 0.1824, 0]), atol=1e-3, rtol=0)
