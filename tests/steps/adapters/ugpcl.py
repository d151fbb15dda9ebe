"""UGPCL (taovv/UGPCL)."""

from typing import Any

from steps.stage import Case, Given, Run, backbone, make, of_modules, of_network, poly, training, watched
from torch import Tensor

from semiseg.methods.ugpcl import UGPCL

HYPER = (
    "second_weight",
    "rotation_weight",
    "contrast_weight",
    "contrast_start",
    "memory",
    "dimension",
    "temperature",
    "base_temperature",
)


def run(case: Case) -> dict[str, Any]:
    given, setting = Given(case), case["setting"]
    hyper = {name: setting[name] for name in HYPER}
    hyper |= {"weight": setting["consistency"], "ramp_every": setting["iterations_per_ramp_unit"]}
    method = make("ugpcl", setting["classes"], backbone("unet3d", setting["filters"]), "half_ce_dice_all", **hyper)
    assert isinstance(method, UGPCL)
    names = of_network(method, "network", "unet.") | of_modules(method, heads())
    stage = Run(method, training(setting, {}, poly(setting["schedule"])), setting, {"model": names})
    stage.load(given.start)
    method.queue.copy_(given.inputs["queue"])
    purposes = ("quarter_turns", "angle_uniform", "anchor_scores")
    draws = [
        {"torch.randint": [turns], "torch.rand": [angle, scores]}
        for turns, angle, scores in zip(*(given.draws[name] for name in purposes), strict=True)
    ]
    labels: list[Tensor] = []
    with watched("semiseg.methods.parts.ugpcl_contrast.certain_labels", labels.append):
        terms = {name: name for name in ("supervised", "supervised_second", "consistency", "rotation", "contrast")}
        losses = stage.steps(given.batches(), draws, terms)
    state = {
        "queue": method.queue,
        "next_slot": method.get_buffer("slots"),
        "consistency_weight_of_last_step": stage.weight("consistency"),
        "ignored_voxels_of_last_step": int((labels[-1] < 0).sum()),
    }
    return stage.result(losses, case, state)


def heads() -> dict[str, str]:
    """Official name -> ours of the second decoder and the two heads."""
    blocks = [f"blocks.{level}.{unit}.0" for level in range(4) for unit in (0, 1)]
    found = {name: f"second.decoder.{name}" for name in (*(f"up.{level}" for level in range(4)), *blocks)}
    found |= {f"embed.{layer}": f"embedding.layers.{layer}" for layer in (0, 1, 3)}
    return found | {"second_head": "second.head", "cls": "rotation.2"}
