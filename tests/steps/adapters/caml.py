"""CAML (Herschel555/CAML)."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest import mock

import torch
from steps.decoders import counted_before
from steps.la_line import labelled_first, put
from steps.stage import Case, Given, Run, backbone, make, of_checkpoint
from torch import Tensor

from semiseg.methods.caml import CAML
from semiseg.methods.parts.caml_memory import EMPTY, FeatureMemory
from semiseg.networks.vnet_attention import VNetAttention

UNIT = 150  # iterations in which the ramp of the script rises by one step
TERMS = {name: name for name in ("supervised", "consistency", "correlation")}
DISTINCT = "semiseg.methods.parts.caml_memory.distinct"


def run(case: Case) -> dict[str, Any]:
    given, setting = Given(case), case["setting"]
    start = given.start["network"]
    classes, filters = len(start["decoder1.out_conv.bias"]), len(start["encoder1.block_one.conv.0.bias"])
    method = make(
        "caml",
        classes,
        backbone("vnet", filters),
        "half_ce_dice_fg",
        torch.ones(setting["labelnum"], classes),
        patch=tuple(setting["crop"]),
        weight=setting["consistency"],
        correlation_weight=setting["consistency_o"],
        supervised_weight=setting["lamda"],
        temperature=setting["T"],
        memory_size=setting["memory_num"],
        filtered=setting["num_filtered"],
    )
    assert isinstance(method, CAML)
    put(method, "auxiliary", VNetAttention(1, classes, filters))
    ramp = {"rampup": setting["consistency_rampup"], "iterations_per_ramp_unit": UNIT}
    rules = counted_before({**setting, **ramp, "iterations": setting["max_iterations"]}, "lr")
    stage = Run(method, rules, setting, {"network": of_checkpoint(method)})
    stage.load(given.start)
    losses, weights, sampled = [], [], []
    inputs = zip(labelled_first(given), given.inputs["cases"], given.draws["sample"], strict=True)
    for batch, cases, places in inputs:
        slots = cases[: len(batch.images), None].expand(-1, 4)
        with chosen(method.memory, places) as sizes:
            losses = stage.steps([replace(batch, labelled_origin=slots)], [{}], TERMS)
        weights.append([stage.weight("consistency"), stage.weight("correlation")])
        sampled.append([float(sizes[number]) if number in sizes else 0.0 for number in range(classes)])
    return stage.result(losses, case, {"lambda_c_and_o": weights, "sampled": sampled, **stored(method.memory, classes)})


@contextmanager
def chosen(memory: FeatureMemory, places: Sequence[Tensor | None]) -> Iterator[dict[int, int]]:
    """Let the memory take given places among the stored vectors of a class; yields how many it took of each class."""
    taken: dict[int, int] = {}

    def take(count: int, size: int) -> Tensor:
        counts = torch.bincount(memory.classes.flatten().long(), minlength=len(places))[: len(places)].tolist()
        number = next(each for each, of_class in enumerate(counts) if of_class >= size and each not in taken)
        given = places[number]
        assert given is not None and counts[number] == count
        taken[number] = len(given)
        return given.long() % count

    with mock.patch(DISTINCT, take):
        yield taken


def stored(memory: FeatureMemory, classes: int) -> dict[str, Any]:
    """What the filled slots hold."""
    kept = [
        (memory.features[slot][row != EMPTY], row) for slot, row in enumerate(memory.classes) if (row != EMPTY).any()
    ]
    return {
        "stored_voxels": [[float((row == number).sum()) for number in range(classes)] for _, row in kept],
        "stored_l2": [float(features.double().norm()) for features, _ in kept],
        "stored_sum": [float(features.double().sum()) for features, _ in kept],
    }
