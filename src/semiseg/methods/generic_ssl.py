"""GenericSSL, aggregating and decoupling (Wang and Li, NeurIPS 2023, arXiv 2310.11320).

One encoder has three decoders. xi removes noise from label maps, given the image: a diffusion model, trained on
labelled crops. psi segments labelled crops with weights for difficult classes. theta is trained on unlabelled crops
alone and predicts. Its pseudo labels come from label maps that xi samples from noise, added to psi's prediction. Before
each step theta moves towards the mean of xi and psi.
Follows xmed-lab/GenericSSL: code/train_diffusion.py. The network is the method's own: it takes the number of filters of
the protocol's network, and no more. The class weights are not divided by their maximum, other than in DHC. Sampling is
in training mode, so the running statistics of the encoder are mostly those of noisy label maps. Running statistics of
theta are its own. The supervised loss is the method's own, not the protocol's. Strong augmentation of both streams and
the overlap of windows are matters of the protocol.
Departures: the noise that DDIM multiplies by 0 is not drawn. The times come from torch's generator, not from numpy's.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from semiseg.base.errors import UserError
from semiseg.blocks.class_weights import Difficulty, hard_dice
from semiseg.blocks.losses import ce_dice_organs, one_hot
from semiseg.method import Batch, Context, Hyper, Method, Net, Terms, TrainingTime
from semiseg.methods.parts.generic_ssl_diffusion import TIMES, Diffusion, gumbel_like, pseudo_labels
from semiseg.methods.parts.generic_ssl_network import Branch, Denoiser, SharedVNet, average

CODE = "xmed-lab/GenericSSL: code/train_diffusion.py"


class GenericSSL(Method):
    """L = L(p_xi, y) + L(p_psi, y; w) + mu r(t) L(p_theta, pseudo label); L = CE + Dice of the organs."""

    networks = {"network": Net("default", SharedVNet)}
    inference_networks = ("network",)
    network: SharedVNet

    weight = Hyper(10.0, "weight mu of the pseudo labels, times the protocol's ramp", "xmed-lab/GenericSSL: README, -w")
    ema_decay = Hyper(0.99, "fraction of the weights of theta that the averaging keeps", f"{CODE} ema_w")
    ddim_steps = Hyper(10, "steps in which a label map is sampled", f"{CODE} ddim_steps")
    accumulate = Hyper(50, "steps over which changes of the Dice of xi are averaged", f"{CODE} Difficulty")
    exponent = Hyper(0.2, "power of unlearning over learning in the class weights", f"{CODE} Difficulty: 1/5")

    def __init__(self, context: Context, **hyper: Any) -> None:
        super().__init__(context, **hyper)
        if self.accumulate < 1:
            raise UserError(f"GenericSSL.accumulate must be 1 or more steps; found {self.accumulate}")
        widths, classes = self.network.widths, context.classes
        self.denoiser, self.psi = Denoiser(widths, classes), Branch(widths, classes)
        self.diffusion = Diffusion(self.ddim_steps)
        self.difficulty = Difficulty(classes, self.accumulate, self.exponent)

    def losses(self, batch: Batch, time: TrainingTime) -> Terms:
        """Losses of xi and of psi on the labelled rows, that of theta on the unlabelled ones."""
        average(self.network, (self.denoiser, self.psi), self.ema_decay)
        clean, labels = self.clean(batch.labels), batch.labels
        noise = torch.randn_like(clean)
        times = torch.randint(TIMES, (len(clean),), device=clean.device)
        xi = self._denoise(self.diffusion.noised(clean, noise, times), times, batch.images)
        psi = self.psi(self.network.encode(batch.images))
        weights = self.update_difficulty(xi.argmax(1), labels)
        pseudo = self._pseudo_labels(batch.unlabelled)
        return {
            "denoising": ce_dice_organs(xi, labels),
            "difficulty": ce_dice_organs(psi, labels, weights),
            "pseudo": ce_dice_organs(self.network(batch.unlabelled), pseudo),
        }

    def weights(self, time: TrainingTime) -> Mapping[str, float]:
        """The ramped weight mu r(t)."""
        return {"pseudo": self.weight * time.ramp}

    def clean(self, labels: Tensor) -> Tensor:
        """The label map ``[b k z y x]`` that noise is added to: 1 for the class of a voxel, -1 for the others."""
        return 2 * one_hot(labels, self.context.classes).float() - 1

    def update_difficulty(self, predicted: Tensor, labels: Tensor) -> Tensor:
        """Class weights ``[k]`` after one more step of labelled predictions of xi, ``[b z y x]``: K x difficulty."""
        self.difficulty.observe(hard_dice(predicted, labels, self.context.classes))
        return self.difficulty_weights()

    def difficulty_weights(self) -> Tensor:
        """Current class weights ``[k]``; all are K before the first step."""
        return self.context.classes * self.difficulty.weights()

    @torch.no_grad()
    def _pseudo_labels(self, images: Tensor) -> Tensor:
        start = torch.randn(len(images), self.context.classes, *images.shape[2:], device=images.device)
        sampled = self.diffusion.sample(lambda noisy, times: self._denoise(noisy, times, images), start)
        psi = self.psi(self.network.encode(images))
        return pseudo_labels(sampled, gumbel_like(sampled), psi)

    def _denoise(self, noisy: Tensor, times: Tensor, images: Tensor) -> Tensor:
        return self.denoiser.denoise(self.network.encoder, noisy, times, images)
