"""AutoSAM and MA-SAM beyond golden and step cases: slices, files of weights, SAM against Meta's own implementation."""

from pathlib import Path
from typing import Any

import pytest
import torch
from steps.stage import make
from torch import Tensor

from semiseg.base.errors import UserError
from semiseg.blocks.slices import resized, stacks, unstacked
from semiseg.learning import weights
from semiseg.learning.brought_weights import Brought, bring
from semiseg.learning.counting import count, count_whole
from semiseg.method import Batch, Method
from semiseg.networks.sam import Sam, sizes_of

WIDTH = 8


def method(name: str, width: int = WIDTH, classes: int = 2, **hyper: Any) -> Any:
    torch.manual_seed(0)
    return make(name, classes, lambda _: Sam(3, 2, width), "half_ce_dice_all", **hyper)


def meta_file(width: int = WIDTH) -> dict[str, Tensor]:
    """What a file of SAM by Meta holds, with other numbers than a new network."""
    torch.manual_seed(1)
    return {name: torch.randn_like(tensor) for name, tensor in Sam(3, 2, width).state_dict().items()}


def hardnet_file() -> dict[str, Tensor]:
    """What a file of HarDNet by its authors holds, its classifier included."""
    torch.manual_seed(2)
    base = method("autosam").network.prompt.backbone.state_dict()
    old = {name: torch.rand(tensor.shape) for name, tensor in base.items() if not name.endswith("num_batches_tracked")}
    return {**old, "base.19.3.weight": torch.zeros(1000, 8), "base.19.3.bias": torch.zeros(1000)}


def both_files() -> dict[str, Tensor]:
    parts = {"sam": meta_file(), "prompt": hardnet_file()}
    return {f"{network}.{name}": tensor for network, file in parts.items() for name, tensor in file.items()}


def start(ours: Method, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a method after it was given a file."""
    ours.start_from(ours.from_official(tensors))
    return ours.state_dict()


def test_autosam_starts_from_the_files_of_sam_and_of_the_hardnet() -> None:
    new, state = method("autosam").state_dict(), start(method("autosam"), both_files())
    assert all(torch.equal(state[f"network.sam.{name}"], tensor) for name, tensor in meta_file().items())
    for name, tensor in hardnet_file().items():
        assert name.startswith("base.19.") or torch.equal(state[f"network.prompt.backbone.{name}"], tensor), name
    untouched = {name for name, tensor in state.items() if torch.equal(tensor, new[name])}
    assert {name for name in untouched if not name.endswith("num_batches_tracked")} == {
        name for name in new if name.startswith("network.prompt.decoder.") and not name.endswith("num_batches_tracked")
    }


def test_the_files_as_their_publishers_save_them_are_read_and_fit(tmp_path: Path) -> None:
    """Meta saves the bare weights, the authors of the HarDNet those of a network that ran on several GPUs."""
    sam, prompt, out = (
        tmp_path / "sam_vit_h_4b8939.pth",
        tmp_path / "hardnet85-a28faa00.pth",
        tmp_path / "a.safetensors",
    )
    torch.save(meta_file(), sam)
    torch.save({f"module.{name}": tensor for name, tensor in hardnet_file().items()}, prompt)
    bring([Brought(sam, "sam"), Brought(prompt, "prompt")], {}, out)
    state = start(method("autosam"), weights.load(out)[0])
    assert all(torch.equal(state[f"network.sam.{name}"], tensor) for name, tensor in meta_file().items())
    bring([Brought(sam)], {}, out)
    state = start(method("ma_sam"), weights.load(out)[0])
    assert torch.equal(state["network.sam.image_encoder.neck.2.weight"], meta_file()["image_encoder.neck.2.weight"])


def test_ma_sam_starts_from_the_file_of_sam_with_its_positions_resampled() -> None:
    ours, file = method("ma_sam", classes=3), meta_file()
    new = {name: tensor.clone() for name, tensor in ours.state_dict().items()}
    state = start(ours, file)
    assert ours.network.sam.sizes.tokens == 2, "half the side of 4"
    found = state["network.sam.image_encoder.pos_embed"].permute(0, 3, 1, 2)
    half = file["image_encoder.pos_embed"].permute(0, 3, 1, 2).unfold(2, 2, 2).unfold(3, 2, 2).mean((4, 5))
    torch.testing.assert_close(found, half)
    assert state["network.sam.image_encoder.blocks.1.attn.rel_pos_h"].shape == (3, WIDTH)
    same = {"blocks.0.attn.rel_pos_h", "blocks.0.norm1.weight", "blocks.1.mlp.lin1.bias", "neck.2.weight"}
    same = {f"image_encoder.{name}" for name in same} | {"mask_decoder.output_upscaling.3.weight"}
    for name in same | {"mask_decoder.transformer.layers.1.norm4.bias", "prompt_encoder.no_mask_embed.weight"}:
        assert torch.equal(state[f"network.sam.{name}"], file[name]), name
    qkv = "image_encoder.blocks.0.attn.qkv"
    assert torch.equal(state[f"network.sam.{qkv}.frozen.weight"], file[f"{qkv}.weight"])
    for name in ("mask_tokens.weight", "output_upscaling.6.weight", "output_hypernetworks_mlps.0.layers.0.weight"):
        assert torch.equal(state[f"network.sam.mask_decoder.{name}"], new[f"network.sam.mask_decoder.{name}"]), name
    assert torch.equal(state["network.adapters.0.conv.weight"], new["network.adapters.0.conv.weight"])


@pytest.mark.parametrize("name", ["autosam", "ma_sam"])
def test_a_file_of_another_sam_is_refused_with_the_width_to_set(name: str) -> None:
    """Also where it has more blocks, whose names would be strange before any shape is."""
    other = {**meta_file(16), "image_encoder.blocks.2.norm1.weight": torch.zeros(16)}
    file = {f"sam.{key}": value for key, value in other.items()} if name == "autosam" else other
    with pytest.raises(UserError, match=r"tokens have 16 channels.*network has 8: give network\.filters.*1280"):
        start(method(name), {**both_files(), **file} if name == "autosam" else file)


def test_a_file_that_lacks_a_part_is_refused() -> None:
    lacking = {name: tensor for name, tensor in both_files().items() if not name.startswith("prompt.")}
    with pytest.raises(UserError, match=r"lacks prompt\.base"):
        start(method("autosam"), lacking)
    with pytest.raises(UserError, match=r"holds .*prompt\.base"):
        start(method("ma_sam"), both_files())


def test_only_published_widths_and_those_of_rehearsals_are_built() -> None:
    assert sizes_of(768).depth == 12 and sizes_of(2).depth == 2
    with pytest.raises(UserError, match=r"filters must be 1280 .*up to 32.*found 1028"):
        Sam(3, 2, 1028)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_lie_across_the_shortest_side(axis: int) -> None:
    sides = [6, 7, 8]
    sides[axis] = 3
    crops = torch.arange(2.0 * 3 * 7 * 8 * 6)[: 2 * sides[0] * sides[1] * sides[2]].view(2, 1, *sides)
    found = stacks(crops)
    assert found.shape[2] == 3
    assert torch.equal(found[:, :, 1], crops.select(2 + axis, 1))
    assert torch.equal(unstacked(found, crops), crops)


@pytest.mark.parametrize("name", ["autosam", "ma_sam"])
@pytest.mark.parametrize("sides", [(3, 20, 30), (20, 30, 3)])
def test_each_voxel_is_predicted_where_it_lies(name: str, sides: tuple[int, ...]) -> None:
    """A network that gives back its image: a bright half stays where it was, in every slice."""
    ours, crop = method(name), torch.zeros(2, 1, *sides)
    stacks(crop)[..., 15:] = 1.0  # the right half of each slice, as a view
    ours.network = _Mirror(ours.network, name)
    with torch.no_grad():
        found = ours.eval().predict(crop, ("network",))
    assert found.shape == (2, 2, *sides)
    bright = stacks(found[:, 1] > 0.5)
    assert bright[..., 17:].all() and not bright[..., :13].any()


class _Mirror(torch.nn.Module):
    """Logits that are high where the image is bright."""

    def __init__(self, network: Any, name: str) -> None:
        super().__init__()
        self.sam, self.name = network.sam, name

    def forward(self, images: Tensor) -> Tensor:
        if self.name == "autosam":
            return resized(images[:, :1], (16, 16), "bilinear")
        return torch.stack([0.5 - images, images - 0.5], 1) * 20


def test_autosam_finds_something_in_every_slice_unless_it_has_a_sigmoid() -> None:
    """The range of each slice is stretched, so that an empty slice cannot stay empty (the cause of the printed row)."""
    image = torch.rand(1, 1, 20, 20, 2)
    with torch.no_grad():
        stretched = method("autosam").eval().predict(image, ("network",))
        plain = method("autosam", output="sigmoid").eval().predict(image, ("network",))
    assert (stretched[:, 1] > 0.5).any(3).any(2).any(1).all()
    assert plain.shape == stretched.shape and not torch.allclose(plain, stretched)


def test_an_image_of_one_value_gives_finite_losses() -> None:
    batch = Batch(
        torch.zeros(2, 1, 20, 20, 3), torch.zeros(2, 20, 20, 3, dtype=torch.long), torch.zeros(0, 1, 20, 20, 3)
    )
    for name in ("autosam", "ma_sam"):
        terms = method(name).losses(batch, None)  # neither reads the time
        assert all(value.isfinite() for value in terms.values()), name


@pytest.mark.parametrize("name", ["autosam", "ma_sam"])
def test_a_step_without_content_has_the_work_of_a_real_one(name: str) -> None:
    """`semiseg plan` counts these methods so, because a step with SAM's own sizes takes minutes on a CPU."""
    optimiser = {"rule": "adam", "lr": 0.1, "momentum": 0.9, "weight_decay": 0.0}
    training = {
        **{"patch": [9, 9, 2], "batch": {"labelled": 1, "unlabelled": 1}, "iterations": 1, "epoch": 1},
        **{"supervised": "half_ce_dice_all", "optimiser": optimiser, "schedule": {"rule": "constant"}, "ramp": {}},
        "augmentation": {},
    }
    spec = {"method": name, "hyper": {}, "network": {"name": "sam", "filters": WIDTH}, "training": training}
    bare, real = count_whole(spec, 2), count(spec, 2, (9, 9, 2), real=True)
    assert bare.parameters == real.parameters
    assert bare.operations == pytest.approx(real.operations, rel=0.02), "a CPU's fused attention is not counted"
    assert bare.memory == pytest.approx(real.memory, rel=0.02)
    training["batch"] = {"labelled": 2, "unlabelled": 2}
    assert count_whole(spec, 2).operations == pytest.approx(2 * bare.operations, rel=0.05)
