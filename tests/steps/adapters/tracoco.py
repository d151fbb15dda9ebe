"""TraCoCo (yyliu01/TraCoCo)."""

from typing import Any
from unittest import mock

import torch
from steps.stage import Case, Given, Run, backbone, drawn, make, of_network, training, watched
from torch import Tensor

from semiseg.blocks.box_mix import Boxes
from semiseg.method import Batch, total
from semiseg.params.config import Training

NETWORKS = {"la": "vnet", "pancreas": "vnet", "brats": "unet3d"}
FILTERS = 16
ROLES = {"network1": "a", "network2": "b"}
TERMS = {"crc": "cross", "spatial": "translation", "reg": "entropy"}
LOSSES = "semiseg.blocks.losses"
CLASSES = 2
NUMBERS = (("1", "a"), ("2", "b"))  # of a network in the names of losses; ours


def rules(setting: Case) -> Training:
    """The schedule; the script counts a step before it reads ramp and rate."""
    length = setting["rampup_epochs"] * (setting["labelled_cases"] // setting["labelled_per_batch"])
    return training(setting, {"length": length, "lag": -1}, {"rule": "poly", "lag": -1})


def crops(given: Given, step: int) -> Batch:
    """The two crops of a step. The second one begins before the first, by what its common part leaves of its start."""
    first, second, labels, part = (
        given.inputs[name][step] for name in ("image", "second_image", "label", "second_overlap")
    )
    count, shifts = given.setting["labelled_per_batch"], part[..., 0].long()
    return Batch(first[:count], labels[:count].long(), first[count:], second=second, shifts=shifts)


def run(case: Case) -> dict[str, Any]:
    given, setting = Given(case), case["setting"]
    method = make(
        "tracoco",
        CLASSES,
        backbone(NETWORKS[setting["script"]], FILTERS),
        "half_ce_dice_fg",
        brightness=False,
        weight=setting["unsup_weight"],
        translation_weight=setting["spatial_weight"],
        entropy_weight=setting["hyp"],
        positive=setting["positive_threshold"],
        negative=setting["negative_threshold"],
        noise=setting["noise"],
        clip=setting["script"] != "la",
    )
    names = {role: of_network(method, ROLES[role]) for role in given.start}
    stage = Run(method, rules(setting), {**setting, "step": setting["step"] - 1}, names)  # of a case, from 1
    stage.load(given.start)
    losses = [taken(stage, given, step) for step in range(len(case["losses"]))]
    state = {
        "consistency_weight_of_last_step": stage.weight("cross_a"),
        "learning_rate_of_last_step": stage.rate,
    }
    return stage.result(losses, case, state)


def taken(stage: Run, given: Given, step: int) -> dict[str, float]:
    """The losses of a step."""
    batch, draws = crops(given, step), {name: values[step] for name, values in given.draws.items()}
    boxes = Boxes(draws["mix_ratio"].double(), draws["box_centres"].T, draws["partners"])
    noise = list(draws["noise"].flatten(0, 1))
    seen: dict[str, list[Tensor]] = {"ce": [], "dice": []}
    names = {f"{official}_{number}": f"{ours}_{of}" for official, ours in TERMS.items() for number, of in NUMBERS}
    with (
        drawn({"semiseg.methods.tracoco.noise": noise}),
        mock.patch("semiseg.methods.tracoco.draw_boxes", lambda _: boxes),
        watched(f"{LOSSES}.cross_entropy", seen["ce"].append),
        watched(f"{LOSSES}.dice_squared_fg", seen["dice"].append),
    ):
        found = stage.steps([batch], [{}], names | {f"supervised_{of}": f"supervised_{of}" for _, of in NUMBERS})[-1]
    weights = stage.method.weights(stage.trainer.schedule.time(stage.trainer.state.iteration - 1))
    for place, (number, of) in enumerate(NUMBERS):
        own = {f"{ours}_{of}": torch.tensor(found[f"{official}_{number}"]) for official, ours in TERMS.items()}
        own[f"supervised_{of}"] = torch.tensor(found.pop(f"supervised_{of}"))
        found[f"total_{number}"] = total(own, weights).item()
        found |= {f"{name}_{number}": values[place].item() for name, values in seen.items()}
    return found
