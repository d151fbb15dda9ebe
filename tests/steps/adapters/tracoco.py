"""TraCoCo (yyliu01/TraCoCo)."""

from typing import Any
from unittest import mock

import torch
from steps.stage import Case, Given, Run, backbone, drawn, make, of_network, training, watched
from torch import Tensor

from semiseg.blocks.box_mix import Boxes
from semiseg.method import Batch, total
from semiseg.methods.parts.tracoco_crops import Pair
from semiseg.params.config import Training

NETWORKS = {"la": "vnet", "pancreas": "vnet", "brats": "unet3d"}
FILTERS = 16
ROLES = {"network1": "a", "network2": "b"}
TERMS = {"crc": "cross", "spatial": "translation", "reg": "entropy"}
LOSSES = "semiseg.blocks.losses"
CLASSES = 2
NUMBERS = (("1", "a"), ("2", "b"))  # of a network in the names of losses; ours


def rules(setting: Case) -> Training:
    """The schedule; the script counts a step before it reads ramp and rate, and the case begins with that number."""
    length = setting["rampup_epochs"] * (setting["labelled_cases"] // setting["labelled_per_batch"])
    return training(setting, {"length": length}, {"rule": "poly"})


def pair(given: Given, step: int) -> Pair:
    """The two crops of a step, and their common part."""
    first, second, labels, *ranges = (
        given.inputs[name][step] for name in ("image", "second_image", "label", "overlap", "second_overlap")
    )
    boxes = [[tuple(slice(*ends) for ends in item) for item in crop.tolist()] for crop in ranges]
    return Pair(first, second, labels[: given.setting["labelled_per_batch"]].long(), *boxes)


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
    stage = Run(method, rules(setting), setting, {role: of_network(method, ROLES[role]) for role in given.start})
    stage.load(given.start)
    losses = [taken(stage, given, step) for step in range(len(case["losses"]))]
    state = {
        "consistency_weight_of_last_step": stage.weight("cross_a"),
        "learning_rate_of_last_step": stage.rate,
    }
    return stage.result(losses, case, state)


def taken(stage: Run, given: Given, step: int) -> dict[str, float]:
    """The losses of a step."""
    crops, draws = pair(given, step), {name: values[step] for name, values in given.draws.items()}
    boxes = Boxes(draws["mix_ratio"].double(), draws["box_centres"].T, draws["partners"])
    count = len(crops.labels)
    batch = Batch(crops.first[:count], crops.labels, crops.first[count:])
    noise = list(draws["noise"].flatten(0, 1))
    seen: dict[str, list[Tensor]] = {"ce": [], "dice": []}
    names = {f"{official}_{number}": f"{ours}_{of}" for official, ours in TERMS.items() for number, of in NUMBERS}
    with (
        drawn({"semiseg.methods.tracoco.noise": noise}),
        mock.patch("semiseg.methods.tracoco.two_crops", lambda *_: crops),
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
