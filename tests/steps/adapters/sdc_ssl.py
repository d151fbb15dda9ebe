"""SDC-SSL (SUST-reynole/SDC-SSL)."""

from collections.abc import Mapping
from typing import Any

import torch
from steps.decoders import half_batches
from steps.stage import Case, Given, Run, backbone, make, of_modules, of_network, training, watched
from torch import Tensor

from semiseg.method import Method, total
from semiseg.methods.sdc_ssl import SDCSSL

TERMS = {
    **{name: name for name in ("seg_ce", "seg_dice", "sdm_dice", "shape", "reconstruction_seg", "reconstruction_sdm")},
    "consistency": "consistency_seg",
    "dsv_seg": "side_seg",
    "dsv_sdm": "side_sdm",
}
TOTALS = {
    "total_seg": ("seg_ce", "seg_dice", "consistency_seg", "side_seg", "shape"),
    "total_sdm": ("sdm_dice", "consistency_seg", "side_sdm", "shape"),
}
OF_AUTOENCODER = ("shape", "reconstruction_seg", "reconstruction_sdm")


def run(case: Case) -> dict[str, Any]:
    given, setting = Given(case), case["setting"]
    beta1, beta2 = setting["autoencoder_betas"]
    method = make(
        "sdc_ssl",
        2,
        backbone("vnet", setting["filters"]),
        "half_ce_dice_fg",
        patch=tuple(setting["crop"]),
        weight=setting["consistency"],
        bd_sign=setting["bd_sign"],
        autoencoder_lr=setting["autoencoder_lr"],
        autoencoder_beta1=beta1,
        autoencoder_beta2=beta2,
    )
    assert isinstance(method, SDCSSL)
    names = {role: of_role(method, role) for role in ("seg", "sdm")}
    names["autoencoder"] = of_network(method, "autoencoder")
    fall = {"rule": "step", "every": setting["lr_decay_every"], "factor": setting["lr_decay"]}
    ramp = {"every": setting["iterations_per_ramp_unit"], "length": setting["rampup"]}
    stage = Run(method, training(setting, ramp, fall, "lr"), setting, names)
    stage.load(given.start)
    losses: list[dict[str, float]] = []
    state: dict[str, list[float]] = {"lr": [], "autoencoder_lr": [], "consistency_weight": []}
    for batch in half_batches(given):
        time = stage.trainer.schedule.time(stage.trainer.state.iteration)
        edges: list[Tensor] = []
        with watched("semiseg.methods.parts.sdc_ssl_shape.boundary", edges.append):
            found = stage.steps([batch], [{}], TERMS)[-1]
        weight = stage.weight("consistency_seg")
        losses.append({**found, "boundary": edges[-1].item(), **totals(found, method.weights(time), weight)})
        state["lr"].append(stage.rate)
        state["autoencoder_lr"].append(setting["autoencoder_lr"] * method.adversary_rates(time, 1.0)["autoencoder"])
        state["consistency_weight"].append(weight)
    return stage.result(losses, case, state)


def totals(found: Mapping[str, float], weights: Mapping[str, float], ramped: float) -> dict[str, float]:
    """The losses of each backward pass; the script gives its shape term, which trains no network, the ramped weight."""
    terms = {ours: torch.tensor(found[theirs]) for theirs, ours in TERMS.items()}
    parts = {name: {term: terms[term] for term in each} for name, each in TOTALS.items()}
    sums = {name: total(each, {**weights, "shape": ramped}).item() for name, each in parts.items()}
    return {**sums, "total_autoencoder": total({term: terms[term] for term in OF_AUTOENCODER}, {}).item()}


def of_role(method: Method, role: str) -> dict[str, str]:
    """Official name -> our name of a network and its heads; the segmentation head is the second one there."""
    network, heads = method.get_submodule(role), method.get_submodule(f"{role}_heads")
    modules = {**network.official_modules(), "head": "out_conv2"}  # type: ignore[operator]
    found = {official: f"{role}.{ours}" for ours, official in modules.items()}
    found |= {official: f"{role}_heads.{ours}" for ours, official in heads.official_modules().items()}  # type: ignore[operator]
    return of_modules(method, found)
