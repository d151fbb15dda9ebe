"""GenericSSL: the diffusion, the networks, and a step of the method."""

from collections.abc import Sequence
from typing import Any
from unittest import mock

import torch
from adapters.backbones import count, shape
from stage import Speaker, at, batch
from support.facts import facts
from torch import Tensor, nn

from semiseg.blocks.ramps import sigmoid_rampup
from semiseg.learning.build import build_method
from semiseg.method import total
from semiseg.methods.generic_ssl import GenericSSL
from semiseg.methods.parts import generic_ssl_diffusion as diffusion
from semiseg.methods.parts.generic_ssl_layers import SINUSOID, sinusoid
from semiseg.methods.parts.generic_ssl_network import average
from semiseg.params.config import Network

Inputs = dict[str, Any]
CODE = "code/DiffVNet/guided_diffusion"


def method(classes: int, filters: int = 1, **hyper: Any) -> GenericSSL:
    found = build_method("generic_ssl", hyper, Network(name="vnet", filters=filters), None, facts([1.0] * classes))
    assert isinstance(found, GenericSSL)
    return found


def schedule(i: Inputs, p: Inputs) -> dict[str, Tensor]:
    betas = diffusion.betas(p["steps"], p["beta_start"], p["beta_end"])
    return {"beta": betas[i["t"]], "alpha_bar": diffusion.alpha_bars(betas)[i["t"]]}


def respacing(i: Inputs, p: Inputs) -> dict[str, Any]:
    ours = diffusion.Diffusion(p["steps"])
    return {"map": ours.times, "alpha_bar": ours.left, "alpha_bar_prev": ours.left_before}


def q_sample(i: Inputs, p: Inputs) -> Tensor:
    ours = method(p["classes"])
    return ours.diffusion.noised(ours.clean(i["label"].squeeze(1)), i["noise"], i["t"])


def ddim(i: Inputs, p: Inputs) -> dict[str, Tensor]:
    """The stub network of the case, in place of xi."""

    def denoise(noisy: Tensor, times: Tensor) -> Tensor:
        mixed = torch.einsum("oc,bczyx->bozyx", i["M"], torch.cat([i["image"], noisy], 1))
        return mixed + times.view(-1, 1, 1, 1, 1) / 1000

    sampled = diffusion.Diffusion(p["steps"]).sample(denoise, i["start_noise"])
    return {"pred_xstart": sampled, "sample": sampled}


def difficulty(i: Inputs, p: Inputs) -> dict[str, Any]:
    ours = method(p["num_classes"], accumulate=p["accumulate_iters"])
    pairs = zip(i["logits"], i["label"], strict=True)
    init = ours.difficulty_weights()
    return {"init": init, "weights": [ours.update_difficulty(a.argmax(1), b.squeeze(1)) for a, b in pairs]}


def step(i: Inputs, p: Inputs) -> dict[str, Any]:
    """A step of the method with decoders that give the logits of the case; Gumbel noise from its uniform numbers."""
    labels, unlabelled = i["label"].squeeze(1), i["theta_unlabelled"]
    ours = method(unlabelled.shape[1], weight=float(p["mu"]))
    uniform, seen = i["uniform"].clamp(1e-6, 1 - 1e-6), []

    def pseudo(*given: Tensor) -> Tensor:
        seen.append(diffusion.pseudo_labels(*given))
        return seen[-1]

    ours.network = Theta(unlabelled)  # type: ignore[assignment]
    ours.psi = Speaker(i["psi_labelled"], i["psi_unlabelled"])  # type: ignore[assignment]
    ours.denoiser = Xi(i["xi_labelled"])  # type: ignore[assignment]
    place = "semiseg.methods.generic_ssl"
    with (
        mock.patch(f"{place}.average"),
        mock.patch(f"{place}.gumbel_like", lambda maps: -(-uniform.log()).log()),
        mock.patch(f"{place}.pseudo_labels", pseudo),
        mock.patch.object(diffusion.Diffusion, "sample", lambda *given: i["ddim_x0_unclipped"].clamp(-1, 1)),
    ):
        terms = ours.losses(batch(labels, len(labels) + len(unlabelled)), at(0))
    return {
        "deno": terms["denoising"],
        "weight": ours.difficulty_weights(),
        "diff": terms["difficulty"],
        "unsup": terms["pseudo"],
        "total": total(terms, ours.weights(at(0))),
        "pseudo_histogram": seen[0].flatten().bincount(minlength=unlabelled.shape[1]),
    }


class Theta(Speaker):
    """The shared network of a step whose logits are given."""

    encoder = None

    def encode(self, image: Tensor) -> None:
        """The maps, which the speaking decoders do not need."""


class Xi(Speaker):
    """The denoiser of a step whose logits are given."""

    def denoise(self, *given: Any) -> Tensor:
        return self.outputs.pop(0)


def parameters(i: Inputs, p: Inputs) -> dict[str, dict[str, int]]:
    found = {}
    for classes in p["classes"]:
        ours = method(classes, filters=32)
        parts = {
            "total": [ours],
            "embedding": [ours.network.embedding],
            "decoder_theta": [ours.network.decoder, ours.network.head],
            "decoder_psi": [ours.psi],
            "denoise_embedding": [ours.denoiser.embedding],
            "encoder": [ours.network.encoder],
            "decoder_xi": [ours.denoiser.decoder, ours.denoiser.head],
        }
        found[str(classes)] = {name: sum(map(count, modules)) for name, modules in parts.items()}
    return found


@torch.no_grad()
def shapes(i: Inputs, p: Inputs) -> dict[str, Any]:
    ours, image = method(p["classes"], p["n_filters"]), torch.zeros(p["image"])
    noisy, times = torch.zeros(len(image), p["classes"], *image.shape[2:]), torch.zeros(len(image), dtype=torch.long)

    def denoise(noisy: Tensor, times: Tensor) -> Tensor:
        return ours.denoiser.denoise(ours.network.encoder, noisy, times, image)

    theta = theta_names(ours.network)
    return {
        "shapes": {
            "theta": shape(ours.network(image)),
            "psi": shape(ours.psi(ours.network.encode(image))),
            "xi": shape(denoise(noisy, times)),
            "ddim": shape(ours.diffusion.sample(denoise, noisy)),
        },
        "theta_tensors": len(theta),
        "matched": len(
            theta & dict(ours.psi.named_parameters()).keys() & dict(ours.denoiser.named_parameters()).keys()
        ),
    }


def theta_names(network: nn.Module) -> set[str]:
    return {name for name, _ in network.named_parameters() if name.startswith(("decoder.", "head."))}


def averaged(i: Inputs, p: Inputs) -> Tensor:
    """Heads that are one parameter each, beside decoders without any."""
    theta, *others = (heads(i[name]) for name in ("theta", "xi", "psi"))
    average(theta, others, p["ema_w"])  # type: ignore[arg-type]
    return theta.get_parameter("head.0")


def heads(value: Tensor) -> nn.ModuleDict:
    return nn.ModuleDict({"decoder": nn.Identity(), "head": nn.ParameterList([value.clone()])})


def ramp(times: Sequence[int], p: Inputs) -> list[float]:
    ours = method(2, weight=float(p["mu"]))
    return [ours.weights(at(0, ramp=sigmoid_rampup(time, p["rampup_length"])))["pseudo"] for time in times]


ADAPTERS = {
    f"{CODE}/gaussian_diffusion.py:get_named_beta_schedule": schedule,
    f"{CODE}/respace.py:SpacedDiffusion": respacing,
    f"{CODE}/gaussian_diffusion.py:GaussianDiffusion.q_sample": q_sample,
    "code/DiffVNet/diff_vnet.py:get_timestep_embedding": lambda i, p: sinusoid(i["t"], p.get("dim", SINUSOID)),
    f"{CODE}/gaussian_diffusion.py:ddim_sample_loop": ddim,
    "code/utils/__init__.py:GaussianSmoothing": lambda i, p: diffusion.smoothed(i["x"], p["kernel"], p["sigma"]),
    "code/train_diffusion.py:Difficulty.cal_weights": difficulty,
    "code/train_diffusion.py:training loop#total_step_loss": step,
    "code/DiffVNet/diff_vnet.py:DiffVNet": parameters,
    "code/DiffVNet/diff_vnet.py:DiffVNet.forward + train_diffusion.py:training loop": shapes,
    "code/train_diffusion.py:training loop#theta_ema": averaged,
    "code/utils/__init__.py:sigmoid_rampup": lambda i, p: ramp(i["epochs"].tolist(), p),
}
