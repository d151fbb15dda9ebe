"""Backbones beyond their golden cases: initialisation, errors, widths, features; and the small shared blocks."""

import math
from typing import get_args

import pytest
import torch
import torch.nn.functional as F
from support.plain_network import PlainNetwork
from torch import nn

from semiseg.base.errors import UserError
from semiseg.base.official_weights import weight_names
from semiseg.blocks import ema
from semiseg.blocks.losses import SUPERVISED
from semiseg.blocks.perturbations import noisy
from semiseg.blocks.ramps import poly, step_decay
from semiseg.network import Upsampling, build
from semiseg.networks.heads.dybac import DyBAC, DynamicConvolution

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
    names = weight_names(network.state_dict(), network.official_modules())
    assert sorted(names.values()) == sorted(network.state_dict())
    head = {"unet3d": "final", "unet3d_ds": "dsv1", "vnet": "out_conv", "vnet_magic": "decoder.out_conv"}[name]
    assert names[f"{head}.weight"] == "head.weight"


def test_a_weight_whose_module_has_no_official_name_has_none() -> None:
    network = build("vnet", 1, 3, "default", filters=2)
    found = weight_names(network.state_dict(), {"encoder.0.0.0": "block_one.conv.0"})
    assert found == {f"block_one.conv.0.{each}": f"encoder.0.0.0.{each}" for each in ("weight", "bias")}


@pytest.mark.parametrize(("name", "ordinary"), [("vnet_dy", 0), ("vnet_dy_v2", 7)])
def test_dynamic_convolutions_are_in_all_blocks_but_the_first(name: str, ordinary: int) -> None:
    """Blocks have 1, 2, 3, 3, 3 units on the way down and 3, 3, 2, 1 on the way up; v2 keeps each second unit."""
    network = build(name, 1, 3, "default", filters=2)
    further = network.new_decoder()
    wide = [each for each in network.modules() if isinstance(each, nn.Conv3d) and each.kernel_size == (3, 3, 3)]
    assert len(wide) == 1 + ordinary
    dynamic = [sum(isinstance(each, DyBAC) for each in part.modules()) for part in (network, further)]
    assert dynamic == [20 - ordinary, 9 - ordinary + (4 if ordinary else 0)]


def test_the_kernel_of_an_item_does_not_depend_on_the_others() -> None:
    convolution, image = DynamicConvolution(4, 6, stride=2, temperature=0.1), 3 * torch.randn(3, 4, 5, 6, 4)
    alone = torch.cat([convolution(item.unsqueeze(0)) for item in image])
    torch.testing.assert_close(convolution(image), alone)
    weights = convolution.attention(image)
    torch.testing.assert_close(weights.sum(1), torch.ones(3))
    assert not torch.allclose(weights[0], weights[1])


FORMS = (None, "transposed", "trilinear", "nearest")


@pytest.mark.parametrize("up", FORMS)
@pytest.mark.parametrize("name", [*NAMES, "vnet_magic", "vnet_dy"])
def test_a_further_decoder_is_drawn_anew_and_takes_the_maps_of_the_encoder(name: str, up: Upsampling | None) -> None:
    network, image = build(name, 1, 3, "kaiming", filters=2).eval(), torch.randn(1, 1, 32, 32, 48)
    decoder, maps = network.new_decoder(up).eval(), network.encode(image)
    own, other = network.decode(maps), decoder(maps)
    assert [each.shape for each in own] == [each.shape for each in other]
    assert not torch.equal(own[-1], other[-1])
    assert network.head(other[-1]).shape == (1, 3, 32, 32, 48)
    if up is None:
        decoder.load_state_dict(network.decoder.state_dict())
        assert all(torch.equal(*pair) for pair in zip(own, decoder(maps), strict=True))


@pytest.mark.parametrize(
    ("name", "initialisation", "rule"),
    [("vnet", "default", math.sqrt(1 / 3)), ("vnet", "kaiming", math.sqrt(2)), ("unet3d", "default", math.sqrt(2)),
     ("unet3d", "xavier", 1.0)],
)  # fmt: skip
def test_a_further_decoder_is_drawn_by_the_rule_of_its_network(name: str, initialisation: str, rule: float) -> None:
    weights = [
        module.weight
        for module in build(name, 1, 2, initialisation, filters=8).new_decoder("nearest").modules()
        if isinstance(module, nn.Conv3d) and module.weight.shape[:2] == (64, 64)
    ]
    assert weights[0].std().item() == pytest.approx(rule / math.sqrt(64 * 27), rel=0.02)


def test_a_further_decoder_has_a_dropout_of_its_own_and_those_of_its_network() -> None:
    def rates(module: nn.Module) -> list[tuple[type, float]]:
        kinds = (nn.Dropout, nn.Dropout3d)
        return [(type(each), each.p) for each in module.modules() if isinstance(each, kinds) and each.p]

    expected = {
        "vnet": [(nn.Dropout3d, 0.5)],
        "vnet_magic": [],
        "unet3d": [(nn.Dropout, 0.3)],
        "unet3d_ds": [(nn.Dropout3d, p) for p in (0.5, 0.3, 0.2, 0.1)],
    }
    for name, found in expected.items():
        assert rates(build(name, 1, 2, "default", filters=1).new_decoder("nearest")) == found
    magic = build("vnet_magic", 1, 2, "default", filters=1)
    assert not any(isinstance(each, nn.BatchNorm3d) for part in (magic, magic.new_decoder()) for each in part.modules())


def test_decoders_of_mc_net_plus_and_dst_have_the_published_numbers_of_parameters() -> None:
    """ycwu1997/MC-Net (2 classes, 16 filters, each with its head); xmed-lab/DHC: DST (14 classes, 32 filters)."""

    def count(*modules: nn.Module) -> int:
        return sum(each.numel() for module in modules for each in module.parameters())

    with torch.device("meta"):
        network = build("vnet", 1, 2, "default", filters=16)
        wide = build("vnet", 1, 14, "default", filters=32)
        counts = {up: count(network.new_decoder(up), network.head) for up in get_args(Upsampling)}
        assert counts == {"transposed": 2_071_970, "trilinear": 2_898_850, "nearest": 2_898_850}
        assert count(network.encoder, network.down) == 7_376_896  # type: ignore[arg-type]
        assert count(network.encoder, network.down) + sum(counts.values()) == 15_246_566  # type: ignore[arg-type]
        assert count(wide.new_decoder(), wide.head) == 8_282_830
        assert count(wide) + 2 * 8_282_830 == 54_343_786


@pytest.mark.parametrize(("name", "aligned"), [("vnet", True), ("unet3d", False)])
def test_interpolation_comes_before_the_convolutions(name: str, aligned: bool) -> None:
    """The first thing that each form does with the deepest map, for a map that is a line along x."""
    network = build(name, 1, 2, "default", filters=1)
    line = torch.arange(4.0).expand(1, 16, 2, 2, 4)
    expected = torch.linspace(0, 3, 8) if aligned else torch.tensor([0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3])
    for up, row in (("trilinear", expected), ("nearest", torch.arange(4.0).repeat_interleave(2))):
        (first, *_) = (each for each in network.new_decoder(up).modules() if isinstance(each, nn.Upsample))
        torch.testing.assert_close(first(line), row.expand(1, 16, 4, 4, 8))


def test_a_decoder_that_does_not_exist_is_one_sentence() -> None:
    network = build("vnet", 1, 2, "default", filters=1)
    with pytest.raises(
        UserError, match=r"^VNet\.new_decoder: unknown upsampling 'linear'; known: .*did you mean trilinear"
    ):
        network.new_decoder("linear")  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"^PlainNetwork builds no further decoders: choose another network for the "):
        PlainNetwork([1.0], [0.0]).new_decoder()


@pytest.mark.parametrize("name", ["vnet", "unet3d", "vnet_magic"])
def test_a_network_without_deep_supervision_has_one_output(name: str) -> None:
    network, image = build(name, 1, 3, "default", filters=1).eval(), torch.randn(1, 1, 16, 16, 32)
    (output,) = network.outputs(image)
    assert torch.equal(output, network(image))


def test_deep_supervision_gives_all_scales_at_full_size_finest_first() -> None:
    torch.manual_seed(0)
    network, image = build("unet3d_ds", 1, 3, "default", filters=2).eval(), torch.randn(1, 1, 32, 32, 32)
    outputs = network.outputs(image)
    assert [output.shape for output in outputs] == [(1, 3, 32, 32, 32)] * 4
    torch.testing.assert_close(outputs[0], network(image))
    roughness = [(output[..., 1:] - output[..., :-1]).abs().mean() / output.std() for output in outputs]
    assert roughness[0] > roughness[2] > roughness[3], "deeper scales are smoother"


def test_heads_on_every_map_leave_the_v_net_as_it_is() -> None:
    deep, plain = (build(name, 1, 2, "default", filters=2) for name in ("vnet_ds", "vnet"))
    state = deep.state_dict()
    heads = {name for name in state if name.startswith("side_heads.")}
    assert {name for name in state if name not in heads} == set(plain.state_dict())
    assert [tuple(state[f"side_heads.{level}.weight"].shape) for level in range(3)] == [
        (2, channels, 1, 1, 1) for channels in (16, 8, 4)
    ]
    image = torch.randn(1, 1, 32, 16, 48)
    first, *sides = deep.eval().outputs(image)
    torch.testing.assert_close(first, deep(image))
    for side, head, feature in zip(reversed(sides), deep.side_heads, deep.features(image), strict=False):  # type: ignore[arg-type]
        larger = F.interpolate(head(feature), (32, 16, 48), mode="trilinear")
        torch.testing.assert_close(side, larger)


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
