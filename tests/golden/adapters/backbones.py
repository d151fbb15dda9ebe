"""Backbones and supervised losses."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from semiseg.blocks import losses
from semiseg.blocks.ramps import sigmoid_rampup
from semiseg.network import Backbone, build
from semiseg.networks.heads.distance import DistanceHead

Inputs = dict[str, Any]


def vnet(params: Inputs) -> Backbone:
    return build(
        "vnet", params.get("n_channels", 1), params.get("n_classes", 2), "default", filters=params["n_filters"]
    )


def two_heads(params: Inputs) -> nn.ModuleList:
    network = vnet(params)
    return nn.ModuleList([network, DistanceHead(network, params["n_classes"])])


def unet3d(params: Inputs, name: str = "unet3d") -> Backbone:
    filters = 64 // params.get("feature_scale", 4)
    return build(name, params.get("in_channels", 1), params["n_classes"], "default", filters=filters)


def unet3d_ds(params: Inputs) -> Backbone:
    return unet3d(params, "unet3d_ds")


def outputs(network: Backbone, mode: str, image: Tensor) -> Tensor | tuple[Tensor, ...]:
    """The official network returns all heads in training mode and the finest one otherwise; ours has two functions."""
    return network.outputs(image) if mode == "train" else network.eval()(image)


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


def shape(value: Any) -> Any:
    return list(value.shape) if isinstance(value, Tensor) else [shape(item) for item in value]


def constant_fill(network: Backbone) -> Backbone:
    """The fill that the cases describe: output does not depend on initialisation or parameter names."""
    for module in network.modules():
        if isinstance(module, nn.Conv3d | nn.ConvTranspose3d):
            kernel = math.prod(module.kernel_size) if isinstance(module, nn.Conv3d) else 1
            nn.init.constant_(module.weight, 1 / (module.in_channels * kernel))
            nn.init.constant_(module.bias, 0.01)
    return network.eval()


def deepest_head(network: Backbone, image: Tensor) -> Tensor:
    return constant_fill(network).outputs(image)[-1]


@torch.no_grad()
def features_and_head(params: Inputs) -> list[list[int]]:
    network = unet3d(params)
    feature = network.features(torch.zeros(params["input_shape"]))[-1]
    return [shape(network.head(feature)), shape(feature)]


ADAPTERS = {
    "code/networks/vnet.py:VNet#params": lambda i, p: count(vnet(p)),
    "xmed-lab/DHC:code/models/vnet.py:VNet": lambda i, p: count(vnet(p)),
    "kimjisoo12/GuidedNet:networks/unet_3D.py:unet_3D#params": lambda i, p: count(unet3d(p)),
    "xmed-lab/DHC:code/models/unet_ds.py:unet_3D_ds#params": lambda i, p: count(unet3d_ds(p)),
    "HiLab-git/SSL4MIS:code/networks/unet_3D_dv_semi.py:unet_3D_dv_semi": lambda i, p: count(unet3d_ds(p)),
    "kleinzcy/SASSnet:code/networks/vnet_sdf.py:VNet": lambda i, p: count(two_heads(p)),
    "code/networks/vnet.py:VNet#output_shape": lambda i, p: shape(vnet(p).eval()(torch.zeros(p["input_shape"]))),
    "code/networks/vnet.py:VNet.encoder": lambda i, p: shape(vnet(p).eval().encode(torch.zeros(p["input_shape"]))),
    "kimjisoo12/GuidedNet:networks/unet_3D.py:unet_3D#output_shape": lambda i, p: shape(
        unet3d(p)(torch.zeros(p["input_shape"]))
    ),
    "xmed-lab/DHC:code/models/unet_ds.py:unet_3D_ds#train_shapes": lambda i, p: shape(
        outputs(unet3d_ds(p), p["mode"], torch.zeros(p["input_shape"]))
    ),
    "kimjisoo12/GuidedNet:networks/unet_3D_gmm.py:unet_gmm": lambda i, p: features_and_head(p),
    "code/networks/vnet.py:VNet#constant_fill": lambda i, p: constant_fill(vnet(p))(i["x"]),
    "kimjisoo12/GuidedNet:networks/unet_3D.py:unet_3D#constant_fill": lambda i, p: constant_fill(unet3d(p))(i["x"]),
    "xmed-lab/DHC:code/models/unet_ds.py:unet_3D_ds#constant_fill_dsv4": lambda i, p: deepest_head(
        unet3d_ds(p), i["x"]
    ),
    "code/utils/losses.py:dice_loss": lambda i, p: losses.dice_squared_fg(i["logits"].softmax(1), i["labels"]),
    "code/train_LA.py:training loop": lambda i, p: losses.half_ce_dice_fg(i["logits"], i["labels"]),
    "HiLab-git/SSL4MIS:code/utils/losses.py:DiceLoss": lambda i, p: losses.dice_squared_all(
        i["logits"].softmax(1), i["labels"]
    ),
    "HiLab-git/SSL4MIS:code/train_mean_teacher_3D.py:training loop": lambda i, p: losses.half_ce_dice_all(
        i["logits"], i["labels"]
    ),
    "xmed-lab/DHC:code/utils/loss.py:SoftDiceLoss#unweighted": lambda i, p: losses.dice_linear_organs(
        i["prob"], i["labels"], p["smooth"]
    ),
    "xmed-lab/DHC:code/utils/loss.py:DC_and_CE_loss": lambda i, p: losses.ce_dice_organs(i["logits"], i["labels"]),
    "xmed-lab/DHC:code/utils/loss.py:SoftDiceLoss#weighted": lambda i, p: losses.dice_linear_organs(
        i["prob"], i["labels"], p["smooth"], torch.tensor(p["weight"])
    ),
    "xmed-lab/DHC:code/utils/loss.py:RobustCrossEntropyLoss": lambda i, p: losses.cross_entropy(
        i["logits"], i["labels"], torch.tensor(p["weight"])
    ),
    "code/utils/ramps.py:sigmoid_rampup": lambda i, p: [sigmoid_rampup(t, p["L"]) for t in i["t"].tolist()],
}
