"""Building a method with new networks, and choosing the device that it runs on."""

import os
from dataclasses import dataclass

import torch
from torch import nn

from semiseg import catalogue
from semiseg.blocks.losses import SUPERVISED
from semiseg.method import Context, Method, method_class
from semiseg.network import build
from semiseg.params.config import Network, Training


@dataclass(frozen=True)
class Runtime:
    """Settings that may differ between machines without changing the numbers, apart from a GPU's rounding."""

    device: torch.device
    workers: int
    checkpoint_seconds: float


def build_method(
    name: str,
    hyper: dict[str, bool | int | float | str],
    network: Network,
    training: Training | None,
    voxels: list[float],
) -> Method:
    """The method with new networks.

    voxels: number of voxels per class in the labelled training volumes; training: None if the method only predicts.
    Raises UserError unless the method's ``inference_networks`` are modules of it.
    """

    def backbone(initialisation: str, channels: int) -> nn.Module:
        return build(network.name, 1, channels, initialisation, filters=network.filters)

    supervised = SUPERVISED[training.supervised] if training else SUPERVISED["half_ce_dice_all"]
    context = Context(len(voxels), backbone, supervised, torch.tensor(voxels, dtype=torch.float64))
    method = method_class(name)(context, **hyper)
    catalogue.check_predicting(type(method).__name__, method.inference_networks, dict(method.named_children()))
    return method


def choose_runtime(device: str, threads: int, checkpoint_seconds: float) -> Runtime:
    """Set the number of CPU threads, which is part of the bits, and choose the device and the loader processes.

    device: ``auto`` takes a GPU if there is one.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(threads)
    workers = max(min(threads, os.cpu_count() or 1) - 1, 0) if device == "cuda" else 0
    return Runtime(torch.device(device), workers, checkpoint_seconds)
