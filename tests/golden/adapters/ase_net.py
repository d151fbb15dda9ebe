"""ASE-Net."""

from typing import Any

import torch
from adapters.backbones import count
from adapters.dan import Verdict
from stage import Speaker, at, batch, cast, clock
from torch import Tensor, nn

from semiseg.method import total
from semiseg.methods.ase_net import three_way
from semiseg.network import build
from semiseg.networks.heads.dybac import DynamicConvolution
from semiseg.networks.heads.dynamic_discriminator import DynamicDiscriminator
from semiseg.params.config import Ramp

Inputs = dict[str, Any]
LOOP = "code/train_ASE-Net_3D.py:training loop"
FILE = "code/networks/discriminator.py"


def objective(i: Inputs, p: Inputs) -> Tensor:
    """The released total; the student gives its predictions without dropout first."""
    logits, labels = i["student_logits"], i["labels"][: p["labeled_bs"]]
    roles = {
        "student": Speaker(i["student_eval_logits"], logits, i["student_noisy_logits_unlabelled"]),
        "teacher": Speaker(i["teacher_noisy_logits_unlabelled"]),
        "first": Verdict(i["disc1_logits"]),
        "second": Verdict(i["disc2_logits"]),
    }
    method = cast("ase_net", "half_ce_dice_fg", 2, roles, weight=p["consistency"], as_released=True)
    now = clock(p["iter_num"], p["iter_num"] + 1, Ramp(every=150, length=int(p["consistency_rampup"])))
    return total(method.losses(batch(labels, len(logits)), now), method.weights(now))


def separations(i: Inputs, p: Inputs) -> list[Tensor]:
    """Losses of both discriminators, whose networks say zeros."""
    known, others = len(i["d1_labelled"]), len(i["d1_unlabelled"])
    silence = torch.zeros(known + others, 1, 1, 1, 1)
    roles = {
        "student": Speaker(silence, silence[known:]),
        "teacher": Speaker(silence[known:]),
        "first": Verdict(i["d1_labelled"], i["d1_unlabelled"]),
        "second": Verdict(i["d2_teacher"], i["d2_student_noisy"]),
    }
    method = cast("ase_net", "half_ce_dice_fg", 2, roles)
    labels = torch.zeros(known, 1, 1, 1, dtype=torch.int64)
    terms = method.adversary_losses(batch(labels, known + others), at(0))
    return [terms["discriminator_1"], terms["discriminator_2"]]


def discriminator(i: Inputs, p: Inputs) -> int:
    return count(DynamicDiscriminator(p["num_classes"], p.get("n_channel", 1), p.get("ndf", 64)))


def parameters(name: str, p: Inputs) -> int:
    return count(build(name, p["n_channels"], p["n_classes"], "default", filters=p.get("n_filters", 16)))


def dynamic(i: Inputs, p: Inputs) -> DynamicConvolution:
    """The convolution with the weights that a case gives."""
    channels = i["x"].shape[1]
    after = len(i["pointwise"]) if "pointwise" in i else channels
    module = DynamicConvolution(channels, after, p.get("stride", 1), p["temperature"])
    module.squeeze.weight, module.excite.weight = nn.Parameter(i["fc1"]), nn.Parameter(i["fc2"])
    if "pointwise" in i:
        module.weight, module.mix.weight = nn.Parameter(i["weight"]), nn.Parameter(i["pointwise"])
        module.mix.bias = nn.Parameter(i["pointwise_bias"])
    return module


ADAPTERS = {
    "code/utils/losses.py:softmax_mse_loss_three": lambda i, p: three_way(
        i["student_clean"], i["student_noisy"], i["teacher_noisy"]
    ),
    f"{LOOP}#total": objective,
    f"{LOOP}#disc_losses": separations,
    f"{FILE}:Discriminator_3D": discriminator,
    "code/networks/vnet.py:VNet": lambda i, p: parameters("vnet", p),
    "code/networks/vnet_dy.py:VNet_dy and vnet_dy_v2.py:VNet_dy": lambda i, p: [
        parameters(name, p) for name in ("vnet_dy", "vnet_dy_v2")
    ],
    f"{FILE}:attention3d": lambda i, p: dynamic(i, p).attention(i["x"]),
    f"{FILE}:Dynamic_conv3d": lambda i, p: dynamic(i, p)(i["x"]),
}
