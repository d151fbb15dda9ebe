"""Backbones beyond their golden cases: initialisation, errors, widths, features; and the small shared blocks."""

import math

import pytest
import torch
from torch import nn

from semiseg.base.errors import UserError
from semiseg.blocks import ema
from semiseg.blocks.losses import SUPERVISED
from semiseg.blocks.perturbations import noisy
from semiseg.blocks.ramps import poly, step_decay
from semiseg.network import build, official_names

NAMES = ["vnet", "unet3d", "unet3d_ds"]


def deviation(name: str, initialisation: str) -> float:
    """Standard deviation of the weights of a conv with 128 inputs, 128 outputs and 27 positions."""
    torch.manual_seed(0)
    weights = [
        module.weight
        for module in build(name, 1, 2, initialisation, filters=16).modules()
        if isinstance(module, nn.Conv3d) and module.weight.shape == (128, 128, 3, 3, 3)
    ]
    return weights[0].std().item()


def test_initialisations_by_hand() -> None:
    fan = 128 * 27
    kaiming, xavier, default = math.sqrt(2 / fan), math.sqrt(2 / (2 * fan)), math.sqrt(1 / (3 * fan))
    assert deviation("unet3d", "kaiming") == pytest.approx(kaiming, rel=0.01)
    assert deviation("unet3d", "xavier") == pytest.approx(xavier, rel=0.01)
    assert deviation("unet3d", "default") == pytest.approx(kaiming, rel=0.01), "the U-Net's own is kaiming"
    assert deviation("vnet", "default") == pytest.approx(default, rel=0.01), "the V-Net's own is torch's"


@pytest.mark.parametrize("name", NAMES)
def test_the_head_on_the_last_feature_map_is_the_output(name: str) -> None:
    network, image = build(name, 1, 3, "default", filters=2).eval(), torch.randn(1, 1, 32, 32, 48)
    maps = network.features(image)
    assert [feature.shape[1] for feature in maps] == [16, 8, 4, 2]
    assert [feature.shape[2] for feature in maps] == [4, 8, 16, 32]
    torch.testing.assert_close(network.head(maps[-1]), network(image))


def test_unknown_names_are_refused_with_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"network.*'vnett'.*unet3d.*vnet"):
        build("vnett", 1, 2, "default", filters=2)
    with pytest.raises(UserError, match="'he'; known: default, kaiming, xavier"):
        build("vnet", 1, 2, "he", filters=2)


@pytest.mark.parametrize("name", NAMES)
def test_images_may_have_several_channels(name: str) -> None:
    network, image = build(name, 2, 3, "default", filters=2).eval(), torch.randn(1, 2, 32, 32, 32)
    assert network(image).shape == (1, 3, 32, 32, 32)
    assert not torch.allclose(network(image), network(image * torch.tensor([1.0, 0.0]).view(1, 2, 1, 1, 1)))


@pytest.mark.parametrize("name", [*NAMES, "vnet_magic"])
def test_every_weight_has_its_name_in_the_official_checkpoint(name: str) -> None:
    """The step cases hold the names of the backbones that they use; here: complete, and none twice."""
    network = build(name, 1, 3, "default", filters=2)
    names = official_names(network, network.official_modules())
    assert names.keys() == network.state_dict().keys() and len(set(names.values())) == len(names)
    head = {"unet3d": "final", "unet3d_ds": "dsv1", "vnet": "out_conv", "vnet_magic": "decoder.out_conv"}[name]
    assert names["head.weight"] == f"{head}.weight"


def test_a_weight_without_an_official_name_is_an_error() -> None:
    with pytest.raises(KeyError, match=r"encoder\.0\.0\.1"):
        official_names(build("vnet", 1, 3, "default", filters=2), {"encoder.0.0.0": "block_one.conv.0"})


def test_deep_supervision_gives_all_scales_at_full_size_finest_first() -> None:
    torch.manual_seed(0)
    network, image = build("unet3d_ds", 1, 3, "default", filters=2).eval(), torch.randn(1, 1, 32, 32, 32)
    outputs = network.outputs(image)  # type: ignore[operator]
    assert [output.shape for output in outputs] == [(1, 3, 32, 32, 32)] * 4
    torch.testing.assert_close(outputs[0], network(image))
    roughness = [(output[..., 1:] - output[..., :-1]).abs().mean() / output.std() for output in outputs]
    assert roughness[0] > roughness[2] > roughness[3], "deeper scales are smoother"


@pytest.mark.parametrize("name", NAMES)
def test_sides_that_cannot_be_halved_are_refused(name: str) -> None:
    with pytest.raises(UserError, match=r"multiples of 16, found \(32, 40, 32\)"):
        build(name, 1, 2, "default", filters=2)(torch.zeros(1, 1, 32, 40, 32))


def test_moving_average_takes_parameters_and_leaves_buffers() -> None:
    slow, fast = nn.BatchNorm1d(1), nn.BatchNorm1d(1)
    nn.init.constant_(fast.weight, 5.0)
    fast.running_mean += 7  # type: ignore[operator]
    ema.update(slow, fast, alpha=0.75)
    assert slow.weight.item() == pytest.approx(0.75 * 1 + 0.25 * 5)
    assert slow.running_mean.item() == 0  # type: ignore[union-attr, operator]


def test_learning_rates_by_hand() -> None:
    assert [step_decay(0.01, t) for t in (0, 2499, 2500, 5000)] == pytest.approx([0.01, 0.01, 1e-3, 1e-4])
    assert poly(0.1, 50, 100, power=2) == pytest.approx(0.025)


def test_noise_is_clamped_and_new_each_time() -> None:
    torch.manual_seed(0)
    images = torch.zeros(100_000)
    first, second = noisy(images), noisy(images)
    assert first.abs().max().item() == pytest.approx(0.2)
    assert first.std().item() == pytest.approx(0.0959, rel=0.02)  # a normal of 0.1 clamped at two deviations
    assert not torch.equal(first, second)


def test_supervised_losses_of_a_sure_and_right_network() -> None:
    labels = torch.tensor([0, 1, 1, 0]).view(1, 1, 2, 2)
    logits = 50 * nn.functional.one_hot(labels, 2).movedim(-1, 1).float()
    values = {name: rule(logits, labels).item() for name, rule in SUPERVISED.items()}
    expected = {"half_ce_dice_fg": 0, "half_ce_dice_all": 0, "ce_dice_organs": -1, "half_ce_dice_organs": -0.5}
    assert values == pytest.approx(expected, abs=1e-6)
