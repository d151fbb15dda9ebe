"""Building a method with new networks, and choosing the device that it runs on."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from semiseg.base import network_checks
from semiseg.blocks.losses import SUPERVISED
from semiseg.method import Context, Method, method_class
from semiseg.network import Backbone, backbone_class, construct
from semiseg.params.config import Network, Training

MOST_LOADER_THREADS = 4  # one cuts a batch in a fraction of a step; more would hold batches in memory for nothing


@dataclass(frozen=True)
class Runtime:
    """Settings that may differ between machines without changing the numbers, apart from a GPU's rounding.

    loader_threads: threads that prepare batches beside the training; with 0 it prepares them itself. data_on_device:
    whether the training cases lie on the device as a whole, and crops are cut there. runs_per_gpu: how many runs may
    use a GPU at once, which makes each of them slower.
    """

    device: torch.device
    loader_threads: int
    checkpoint_seconds: float
    data_on_device: bool = False
    runs_per_gpu: int = 1


@dataclass(frozen=True)
class Facts:
    """Facts about the data and the crops of a run, which its method receives (``semiseg.method.Context``).

    labelled_voxels: number of voxels of each class in each labelled case, a row a case, in the order of the cases'
    names; unlabelled_cases: their number; patch, window: sides of a crop and of a window in voxels.
    """

    labelled_voxels: Sequence[Sequence[float]]
    unlabelled_cases: int
    patch: tuple[int, int, int]
    window: tuple[int, int, int]

    @classmethod
    def of(
        cls, index: Mapping[str, Any], parts: Mapping[str, list[str]], patch: Sequence[int], window: Sequence[int]
    ) -> "Facts":
        """The facts of a run on these prepared cases (``index.json``) and this split."""
        voxels = [index["cases"][name]["voxels"] for name in sorted(parts["labelled"])]
        return cls(voxels, len(parts["unlabelled"]), _sides(patch), _sides(window))


def _sides(sides: Sequence[int]) -> tuple[int, int, int]:
    z, y, x = sides
    return z, y, x


def build_method(
    name: str,
    hyper: dict[str, bool | int | float | str],
    network: Network,
    training: Training | None,
    facts: Facts,
    wrapped: Mapping[str, Any] | None = None,
) -> Method:
    """The method with new networks.

    training: None if the method only predicts; facts: about at least one labelled case; wrapped: the method that this
    one wraps and its hyperparameters, as in ``Specs.train``, or None. Raises UserError unless the
    method's ``inference_networks`` are modules of it.
    """

    def build_network(
        initialisation: str, channels: int, in_channels: int = 1, backbone: type[Backbone] | None = None
    ) -> nn.Module:
        kind = backbone or backbone_class(network.name)
        return construct(kind, in_channels, channels, initialisation, filters=network.filters)

    context = Context(
        classes=len(facts.labelled_voxels[0]),
        network=build_network,
        supervised=SUPERVISED[training.supervised if training else "half_ce_dice_all"],
        labelled_voxels=torch.tensor(facts.labelled_voxels, dtype=torch.float64),
        unlabelled_cases=facts.unlabelled_cases,
        patch=facts.patch,
        window=facts.window,
        wrapped=wrapped["hyper"] if wrapped else {},
    )
    method = method_class(name)(context, **hyper)
    modules = [module for module, _ in method.named_modules() if module]  # the method itself has no name
    network_checks.check_predicting(type(method).__name__, method.inference_networks, modules)
    return method


def choose_runtime(
    device: str, threads: int, checkpoint_seconds: float, *, data_on_device: bool = False, runs_per_gpu: int = 1
) -> Runtime:
    """Set the number of CPU threads, which is part of the bits, and choose the device and the loader's threads.

    device: ``auto`` takes a GPU if there is one. threads: the cores that the job was given. Beside a GPU all of them
    but one prepare batches, and at least one thread does, because the training mostly waits for the GPU.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(threads)
    chosen = torch.device(device)
    if chosen.type == "cpu" or data_on_device:
        return Runtime(chosen, 0, checkpoint_seconds, data_on_device, runs_per_gpu)
    cores = min(threads, len(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else threads
    return Runtime(chosen, min(max(cores - 1, 1), MOST_LOADER_THREADS), checkpoint_seconds, False, runs_per_gpu)
