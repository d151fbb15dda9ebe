"""MCF (WYC-321/MCF)."""

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from steps.la_line import labelled_first, put
from steps.stage import Case, Given, Run, backbone, make, of_network, training, watched
from torch import Tensor

from semiseg.method import total
from semiseg.networks.resnet34 import ResNet34

UNIT = 150  # iterations in which the ramp of the script rises by one step
PARTS = ("ce", "dice", "rectification")
NAMES = {"A": "a", "B": "b"}


def run(case: Case) -> dict[str, Any]:
    given, setting = Given(case), case["setting"]
    classes, filters = len(given.start["A"]["out_conv.bias"]), len(given.start["A"]["block_one.conv.0.bias"])
    method = make(
        "mcf",
        classes,
        backbone("vnet", filters),
        "half_ce_dice_fg",
        weight=setting["consistency"],
        rectification_weight=setting["rectification_weight"],
        temperature=setting["T"],
    )
    put(method, "b", ResNet34(1, classes, filters))
    ramp = {"every": UNIT, "length": setting["consistency_rampup"]}
    rules = training({**setting, "iterations": setting["max_iterations"]}, ramp, {"rule": "step"}, "lr")
    stage = Run(method, rules, setting, {role: of_network(method, ours) for role, ours in NAMES.items()})
    stage.load(given.start)
    teachers: list[Tensor] = []
    masks: list[Tensor] = []
    losses, rates = [], []
    with ExitStack() as stack:
        for function, seen in (("a_teaches", teachers), ("disagreement", masks)):
            stack.enter_context(watched(f"semiseg.methods.mcf.{function}", seen.append))
        for batch in labelled_first(given):
            terms = {f"{part}_{role}": f"{part}_{ours}" for part in PARTS for role, ours in NAMES.items()}
            row = stage.steps([batch], [{}], {**terms, "consistency": "consistency"})[-1]
            losses.append(row | sums(stage, row, student="B" if teachers[-1] else "A"))
            rates.append(stage.rate)
    state = {
        "learning_rates": rates,
        "teachers": ["A" if each else "B" for each in teachers],
        "disagreeing_voxels": [float(mask.sum()) for mask in masks],
    }
    return stage.result(losses, case, state)


def sums(stage: Run, row: Mapping[str, float], student: str) -> dict[str, float]:
    """The supervised loss and the loss of each network, by the weights of our terms."""
    now = stage.trainer.schedule.time(stage.trainer.state.iteration - 1)
    weights, found = stage.method.weights(now), {}
    for role, ours in NAMES.items():
        terms: dict[str, Any] = {f"{part}_{ours}": row[f"{part}_{role}"] for part in PARTS}
        found[f"supervised_{role}"] = float(total(terms, weights))
        shared = {"consistency": row["consistency"]} if role == student else {}
        found[f"total_{role}"] = float(total({**terms, **shared}, weights))
    return found
