"""UniMatch V2 (Yang et al., TPAMI 2025, arXiv 2410.10777), carried from 2D images to 3D crops.

FixMatch with two strong views of each unlabelled crop, which a moving average of the network labels. In the encoder the
two views lose complementary halves of the channels (complementary dropout). Follows LiheYoung/UniMatch-V2:
unimatch_v2.py, model/semseg/dpt.py.
Departures from the code: CutMix takes a box from the next crop, not from the one in the reversed order (equal for two
crops). The running statistics of the moving average are those of the network.
Ours (unverified), because the official network is DINOv2 with a 2D head: each encoder map has a mask of its own, since
the maps differ in their channels. Strong views are those of ``perturbations.strong``, and boxes those of
``perturbations.cutmix``, about half of the plane and through the whole depth. L_sup is the protocol's (CE and Dice).
The moving average predicts, whereas the code validates both networks.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from semiseg.blocks import ema
from semiseg.blocks.losses import confident_labels, masked_cross_entropy
from semiseg.blocks.modes import evaluation_mode
from semiseg.blocks.perturbations import cutmix, strong
from semiseg.method import Batch, Hyper, Terms, TrainingTime
from semiseg.methods.parts.averaged_network import AveragedNetwork

CODE = "LiheYoung/UniMatch-V2"
IGNORED = -1  # label of a voxel that the teacher is not certain of


def complementary_dropout(maps: Sequence[Tensor], whole_share: float) -> list[Tensor]:
    """Encoder maps ``[2n c z y x]`` of two views of n crops, of which the views keep complementary channels, doubled.

    Each channel is kept with probability 1/2 in the first view, and in the second one if not in the first. A random
    ``whole_share`` of the crops, rounded down, keeps all channels in both.
    """
    count = len(maps[0]) // 2
    whole = torch.randperm(count, device=maps[0].device)[: int(count * whole_share)]
    dropped = []
    for each in maps:
        factor = 2.0 * torch.randint(2, (count, each.shape[1], 1, 1, 1), device=each.device)
        factor[whole] = 1.0
        dropped.append(each * torch.cat([factor, 2 - factor]).to(each.dtype))
    return dropped


class UniMatchV2(AveragedNetwork):
    """L = (1 - w) L_sup + w/2 [S(m_1 CE(s_1, t_1)) + S(m_2 CE(s_2, t_2))] / voxels; t_i argmax teacher, m_i certain."""

    weight = Hyper(0.5, "share w of the strong views in the loss", f"{CODE}: unimatch_v2.py")
    cutoff = Hyper(0.95, "least probability of a pseudo label", f"{CODE}: configs, conf_thresh")
    mix_probability = Hyper(0.5, "probability that a crop of a strong view is mixed", f"{CODE}: dataset/semi.py")
    whole_share = Hyper(0.5, "share of the crops that keep all channels", f"{CODE}: model/semseg/dpt.py")
    ema_decay = Hyper(0.996, "largest weight of the moving average's own past", f"{CODE}: unimatch_v2.py")

    def losses(self, batch: Batch, time: TrainingTime) -> Terms:
        """Supervised loss, then the loss of each strong view; labelled and strong rows have forward passes apart."""
        with evaluation_mode(self.teacher), torch.no_grad():
            scores = self.teacher(batch.unlabelled)
        _, certain = confident_labels(scores, self.cutoff)
        pseudo = torch.where(certain, self.context.refine(scores.argmax(1), scores), IGNORED)
        views, targets = zip(*(self.mixed(strong(batch.unlabelled), pseudo) for _ in range(2)), strict=True)
        supervised = self.context.supervised(self.network(batch.images), batch.labels)
        maps = complementary_dropout(self.network.encode(torch.cat(views)), self.whole_share)
        first, second = self.network.head(self.network.decode(maps)[-1]).chunk(2)
        return {
            "supervised": supervised,
            "first": masked_cross_entropy(first, targets[0].clamp(min=0), targets[0] != IGNORED),
            "second": masked_cross_entropy(second, targets[1].clamp(min=0), targets[1] != IGNORED),
        }

    def weights(self, time: TrainingTime) -> Mapping[str, float]:
        """Constant weights 1 - w, w/2 and w/2."""
        return {"supervised": 1 - self.weight, "first": self.weight / 2, "second": self.weight / 2}

    def after_step(self, time: TrainingTime) -> None:
        """Average the network into the teacher; t is the number of the step, from 0."""
        ema.update_with_buffers(self.teacher, self.network, ema.warm_alpha(time.iteration, self.ema_decay))

    def mixed(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Crops ``[u c z y x]`` and labels ``[u z y x]``, each mixed by CutMix with its probability."""
        chosen = (torch.rand(len(images), device=images.device) < self.mix_probability).view(-1, 1, 1, 1)
        mixed, mixed_labels = cutmix(images, labels)
        return torch.where(chosen.unsqueeze(1), mixed, images), torch.where(chosen, mixed_labels, labels)
