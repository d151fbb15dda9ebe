"""GenericSSL beyond its golden and step cases: sampling, which layers know the time, what predicts."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage
from support.facts import facts
from torch import Tensor

from semiseg.base.errors import UserError
from semiseg.learning.build import build_method
from semiseg.method import Batch, Method, TrainingTime, total
from semiseg.methods.parts.generic_ssl_diffusion import Diffusion, gumbel_like, smoothed
from semiseg.params.config import Network

LATE = TrainingTime(5, 10, 5, 10, 1.0)


def build(filters: int = 2, **hyper: bool | int | float | str) -> Method:
    torch.manual_seed(0)
    return build_method("generic_ssl", hyper, Network(name="unet3d", filters=filters), None, facts([9.0, 5.0, 1.0]))


def draw() -> Batch:
    torch.manual_seed(1)
    images = torch.randn(4, 1, 16, 16, 32)
    return Batch(images[:2], torch.randint(3, (2, 16, 16, 32)), images[2:])


@pytest.mark.parametrize("steps", [2, 7, 100])
def test_a_denoiser_that_knows_the_truth_sees_it_with_less_and_less_of_the_start_as_its_noise(steps: int) -> None:
    torch.manual_seed(0)
    diffusion, truth, start = Diffusion(steps), torch.randint(2, (2, 3, 2, 2, 3)) * 2.0 - 1, torch.randn(2, 3, 2, 2, 3)
    seen: list[tuple[Tensor, Tensor]] = []

    def denoise(noisy: Tensor, times: Tensor) -> Tensor:
        seen.append((noisy, times))
        return 2 * truth  # is clipped

    assert torch.equal(diffusion.sample(denoise, start), truth)
    assert [times.tolist() for _, times in seen] == [[time, time] for time in reversed(diffusion.times)]
    nothing, ones, last = torch.zeros_like(truth), torch.ones_like(truth), seen[0][1]
    noise = (start - diffusion.noised(truth, nothing, last)) / diffusion.noised(nothing, ones, last)
    for noisy, times in seen[1:]:
        torch.testing.assert_close(noisy, diffusion.noised(truth, noise, times), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("steps", [1, 1001])
def test_numbers_of_steps_that_no_sampler_has_are_refused(steps: int) -> None:
    with pytest.raises(UserError, match=f"ddim_steps must be from 2 to 1000; found {steps}"):
        build(ddim_steps=steps)


def test_the_first_time_hardly_adds_noise_and_the_last_leaves_hardly_anything_else() -> None:
    clean, noise = torch.ones(2, 1, 8, 8, 8), torch.randn(2, 1, 8, 8, 8)
    first, last = Diffusion(2).noised(clean, noise, torch.tensor([0, 999]))
    assert (first - 1).abs().max() < 0.06 and (last - noise[1]).abs().max() < 0.01


@pytest.mark.parametrize(("size", "sigma"), [(3, 1.0), (5, 0.8)])
def test_smoothing_equals_scipy_s_convolution_with_zeros_outside(size: int, sigma: float) -> None:
    maps = torch.rand(2, 3, 4, 6, 5)
    line = np.exp(-(((np.arange(size) - size // 2) / sigma) ** 2) / 2)
    kernel = line[:, None, None] * line[:, None] * line
    theirs = [
        [ndimage.convolve(each, kernel / kernel.sum(), mode="constant") for each in item] for item in maps.numpy()
    ]
    np.testing.assert_allclose(smoothed(maps, size, sigma).numpy(), theirs, rtol=1e-5)


def test_gumbel_noise_has_the_mean_and_variance_of_its_distribution() -> None:
    torch.manual_seed(0)
    noise = gumbel_like(torch.empty(10**5))
    assert noise.mean().item() == pytest.approx(0.5772, abs=0.02)
    assert noise.var().item() == pytest.approx(math.pi**2 / 6, rel=0.03)


def test_every_layer_learns_but_those_that_no_pass_uses() -> None:
    method = build(ddim_steps=2)
    total(method.losses(draw(), LATE), method.weights(LATE)).backward()
    unused = {name.rsplit(".", 1)[0] for name, weight in method.named_parameters() if weight.grad is None}
    of_images = {f"network.embedding.dense.{layer}" for layer in (0, 1)}
    assert unused >= of_images and all("fusion" in name for name in unused - of_images)
    levels = {"network.encoder": (1, 2, 2, 2), "denoiser.decoder": (2, 2, 1, 0)}  # the last unit of each
    ends = {f"{part}.stages.{level}.units.{last}" for part, lasts in levels.items() for level, last in enumerate(lasts)}
    ends |= {"network.embedding.stage.units.0", "denoiser.embedding.stage.units.0"}
    assert unused - of_images == {f"{end}.fusion.projection" for end in ends}


def test_theta_predicts_alone() -> None:
    method, image = build().eval(), draw().images
    expected = method.predict(image, ("network",))
    del method.denoiser, method.psi
    assert torch.equal(method.predict(image, ("network",)), expected)
    assert method.inference_networks == ("network",)


def test_theta_moves_to_the_mean_of_the_others_before_the_step_and_its_statistics_stay() -> None:
    method = build(ema_decay=0.0, ddim_steps=3)
    method.losses(draw(), LATE)
    state = method.state_dict()
    weight = "decoder.stages.0.units.0.conv.weight"
    torch.testing.assert_close(state[f"network.{weight}"], (state[f"psi.{weight}"] + state[f"denoiser.{weight}"]) / 2)
    statistics = "decoder.stages.0.units.0.norm.num_batches_tracked"
    assert [int(state[f"{part}.{statistics}"]) for part in ("network", "psi", "denoiser")] == [1, 2, 4]
    assert int(state["network.encoder.stages.0.units.0.norm.num_batches_tracked"]) == 7
