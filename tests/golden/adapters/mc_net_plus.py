"""MC-Net+."""

from collections.abc import Sequence
from typing import Any

import torch
from adapters.backbones import count, shape
from stage import Speaker, batch, cast, clock
from torch import Tensor, nn

from semiseg.blocks.losses import cross_entropy, dice_linear_fg
from semiseg.blocks.mutual_consistency import sharpened_each
from semiseg.learning.inference import slide
from semiseg.method import Method, TrainingTime, total
from semiseg.network import build
from semiseg.params.config import Ramp

Inputs = dict[str, Any]
LOOP = "code/train_mcnet_3d.py"
BINARY = 2


class Function(nn.Module):
    """A network that is a function of the image."""

    def __init__(self, *channels: Any) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, image: Tensor) -> Tensor:
        return torch.cat([channel(image) for channel in self.channels], 1)


def method(decoders: int, networks: dict[str, nn.Module], filters: int = 1, classes: int = BINARY, **hyper: Any) -> Any:
    """The method with two or three decoders."""
    third = {2: "none", 3: "nearest"}[decoders]
    return cast("mc_net_plus", "half_ce_dice_fg", classes, networks, filters=filters, third=third, **hyper)


def after(steps: int, length: float) -> TrainingTime:
    """The clock of the script in its step number ``steps``, counted from 1."""
    return clock(steps - 1, steps, Ramp(every=150, length=int(length), lag=-1))


def step(i: Inputs, p: Inputs) -> dict[str, Any]:
    logits = [each.requires_grad_() for each in i["logits"]]
    hyper = {"temperature": p["temperature"], "supervised_weight": p["lamda"], "weight": p["consistency"]}
    ours = method(len(logits), {"network": Speaker(logits[0])}, classes=logits[0].shape[1], **hyper)
    ours.branches = nn.ModuleList(Speaker(each) for each in logits[1:])
    rows = p["labeled_bs"]
    time, labels = after(p["iter_num"], p["rampup"]), i["label"][:rows]
    terms = ours.losses(batch(labels, len(logits[0])), time)
    loss = total(terms, ours.weights(time))
    loss.backward()
    return {
        "loss": loss,
        "loss_seg_dice": terms["supervised"],
        "loss_seg_ce_logged_only": sum(cross_entropy(each[:rows], labels) for each in logits),
        "loss_consist": terms["consistency"],
        "consistency_weight": ours.weights(time)["consistency"],
        "grad_l2": [each.grad.norm() for each in logits],
        "grad_unlabeled_l2": [each.grad[rows:].norm() for each in logits],
    }


def sizes(i: Inputs, p: Inputs) -> dict[str, Any]:
    three, two = method(3, {}, filters=16), method(2, {}, filters=16)
    network = three.network
    own = [count(network.decoder) + count(network.head), *map(count, three.branches)]
    maps = network.encode(torch.zeros(1, 1, 32, 32, 16))
    outputs = [network.head(network.decode(maps)[-1]), *(branch(maps) for branch in three.branches)]
    return {
        "vnet": count(build("vnet", 1, BINARY, "default", filters=16)),
        "mcnet_v1": count(two),
        "mcnet_v2": count(three),
        "encoder": count(network.encoder) + count(network.down),
        **dict(zip(("decoder_transposed", "decoder_trilinear", "decoder_nearest"), own, strict=True)),
        "out_shapes": shape(outputs),
    }


def sliding(ours: Method, i: Inputs, p: Inputs, networks: Sequence[str]) -> Tensor:
    """Scores of an image ``[x y z]`` by the method's networks, in the windows of the LA scripts."""
    stride = (p["stride_xy"], p["stride_xy"], p["stride_z"])
    return slide(lambda image: ours.predict(image, tuple(networks)), i["image"][None], BINARY, p["patch_size"], stride)


def inference(i: Inputs, p: Inputs) -> dict[str, Any]:
    network = Function(lambda image: image, lambda image: image.square() / 2)
    scores = sliding(method(3, {"network": network}), i, p, ("network",))[1]
    return {"foreground": (scores > 0.5).sum(), "score_foreground": scores}


ADAPTERS = {
    f"{LOOP}:training loop": step,
    "code/utils/losses.py:Binary_dice_loss": lambda i, p: dice_linear_fg(
        torch.stack([1 - i["pred"], i["pred"]], 1), i["target"]
    ),
    f"{LOOP}:sharpening": lambda i, p: sharpened_each(i["P"], p["temperature"]),
    f"{LOOP}:get_current_consistency_weight": lambda i, p: [
        method(3, {}).weights(after(steps, 40))["consistency"] for steps in p["iters"]
    ],
    "code/networks/VNet.py:VNet/MCNet3d_v1/MCNet3d_v2": sizes,
    "code/utils/test_patch.py:test_single_case_first_output": inference,
}
