"""Bidirectional copy-paste (DeepMed-Lab-ECNU/BCP): LA and pancreas, pre-training and self-training."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from steps.stage import Case, Given, Run, backbone, make, of_checkpoint, training
from torch import Tensor

from semiseg.blocks.components import largest_component
from semiseg.learning.loop import network_weights
from semiseg.learning.state import OPTIMISER
from semiseg.learning.weights import part
from semiseg.method import Batch, Method
from semiseg.params.config import Optimiser, Training

BINARY = 2
FILTERS = 16
TERMS = {"bcp_pretrain": ("ce", "dice"), "bcp": ("labelled", "unlabelled")}
Counts = dict[str, list[Any]]


def run(case: Case) -> dict[str, Any]:
    """One stage, or a stage after the other; then the second starts from the weights of the first."""
    given, setting = Given(case), case["setting"]
    batches, boxes = _batches(given), given.draws["box"]
    seen: Counts = {"learning_rates": [], "pseudo_voxels_before": [], "pseudo_voxels": []}
    losses: list[dict[str, float]] = []
    done: list[Run] = []
    for name in TERMS:
        steps = slice(setting["pretrain_steps"]) if name == "bcp_pretrain" else slice(setting["pretrain_steps"], None)
        if not batches[steps]:
            continue
        done.append(_stage(name, case, given, done[-1] if done else None))
        for batch, box in zip(batches[steps], boxes[steps], strict=True):
            with _counted(seen):
                losses += done[-1].steps([batch], [{"torch.randint": list(box)}], {term: term for term in TERMS[name]})[
                    -1:
                ]
            seen["learning_rates"].append(done[-1].rate)
    adam = _adam(done[-1]) if setting["optimiser"] == "Adam" else {}
    return done[-1].result(losses, case, {**seen, **adam})


def _stage(name: str, case: Case, given: Given, before: Run | None) -> Run:
    setting, hyper = case["setting"], {"ratio": _ratio(case["setting"])}
    is_pancreas = setting["dataset"] == "pancreas"
    if name == "bcp":
        hyper |= {
            "weight": setting["u_weight"],
            "ema_decay": setting["ema"],
            "threshold": setting["threshold"],
            "neighbours": setting["connectivity"],
            "partners": "crossed" if is_pancreas else "aligned",
        }
    network = backbone("vnet_magic" if is_pancreas else "vnet", FILTERS)
    method = make(name, BINARY, network, "half_ce_dice_all", patch=tuple(setting["crop"]), **hyper)
    names = {role: _names(method, role) for role in given.start if hasattr(method, role)}
    stage = Run(method, _rules(setting, name), setting, names)
    if before is None:
        stage.load({role: weights for role, weights in given.start.items() if role in names})
    else:
        method.start_from(network_weights(before.method, before.method.inference_networks))
        if is_pancreas:
            stage.trainer.state.continue_optimiser(part(before.trainer.state.optimiser_tensors(), OPTIMISER))
    return stage


def _ratio(setting: Case) -> float:
    """A ratio of the cuboid's sides to the crop's that gives these sides, rounded down."""
    sides = list(zip(setting["box"], setting["crop"], strict=True))
    return (max(box / crop for box, crop in sides) + min((box + 1) / crop for box, crop in sides)) / 2


def _rules(setting: Case, name: str) -> Training:
    is_constant = name == "bcp_pretrain" or setting["dataset"] == "pancreas"
    schedule = {"rule": "constant"} if is_constant else {"rule": "step", "every": 2500, "factor": 0.1}
    rules = training({"momentum": 0.9, **setting}, {}, schedule, "lr")
    if setting["optimiser"] == "SGD":
        return rules
    adam = Optimiser(rule="adam", lr=setting["lr"], momentum=0.9, weight_decay=setting["weight_decay"])
    return rules.model_copy(update={"optimiser": adam})


def _names(method: Method, role: str) -> dict[str, str]:
    """Official name -> our name, of the official classes for LA and the pancreas; teacher and student have the same."""
    return {official: ours.replace("student", role, 1) for official, ours in of_checkpoint(method).items()}


def _batches(given: Given) -> list[Batch]:
    """A step of the pre-training has no unlabelled rows."""
    known = [given.inputs[name] for name in ("images", "labels")]
    others = given.inputs.get("unlabelled", [None] * len(known[0]))
    return [
        Batch(images, labels.long(), images[:0] if unlabelled is None else unlabelled)
        for images, labels, unlabelled in zip(*known, others, strict=True)
    ]


@contextmanager
def _counted(seen: Counts) -> Iterator[None]:
    """Note the voxels of the pseudo labels of each crop before and after the clean-up inside the block."""

    def clean(labels: Tensor, neighbours: int) -> Tensor:
        kept = largest_component(labels, neighbours)
        for key, found in {"pseudo_voxels_before": labels, "pseudo_voxels": kept}.items():
            seen[key].append(found.sum((1, 2, 3)).tolist())
        return kept

    with mock.patch("semiseg.methods.bcp.largest_component", clean):
        yield


def _adam(stage: Run) -> dict[str, Any]:
    """Steps that Adam has counted, and the sizes of its moments of the head's weight."""
    head = stage.method.get_parameter("student.head.weight")
    slots = stage.trainer.state.optimiser.state[head]
    return {
        "adam_steps": int(slots["step"]),
        "adam_moments": torch.stack([slots["exp_avg"].norm(), slots["exp_avg_sq"].norm()]),
    }
