"""SKCDF (yinguanchun/SKCDF)."""

from typing import Any

import torch
from steps.stage import Case, Given, Run, backbone, make, of_whole, training

from semiseg.blocks.class_counts import class_counts
from semiseg.methods.skcdf import SKCDF
from semiseg.params.config import Training


def build(given: Given, setting: Case) -> SKCDF:
    """The method with the switches of the case. A case without volumes has no auxiliary heads, which count voxels."""
    volumes, order = given.inputs.get("label_volumes"), " ".join(setting["transfer_order"])
    hyper = {name: setting[name] for name in ("ema", "skcm", "absh", "heads")}
    hyper |= {"weight": setting["lambda_u"], "decoder_ema": bool(order)} | ({"transfer_order": order} if order else {})
    method = make(
        "skcdf",
        setting["classes"],
        backbone("vnet", setting["filters"]),
        "ce_dice_organs",
        None if volumes is None else class_counts(volumes, setting["classes"]),
        setting["patch"],
        flow="decoupled" if setting["flow"] == "decoupled" else "baseline",
        **hyper,
    )
    assert isinstance(method, SKCDF)
    return method


def rules(setting: Case) -> Training:
    """Rate and ramp lag by one epoch; without a ramp the weight is constant."""
    ramp = {"per": "epoch", "lag": 1} | ({} if setting["ramp"] else {"length": 0})
    return training(
        setting, ramp, {"rule": "poly", "per": "epoch", "lag": 1, "power": setting["poly_power"]}, "base_lr"
    )


def official(method: SKCDF) -> dict[str, str]:
    """Official name -> our name of every weight."""
    network = method.predictor.network
    names = {ours: theirs for theirs, ours in of_whole(network).items()}
    of_decoder = {ours: name for ours, name in names.items() if ours.startswith("decoder.")}
    found = {f"encoder.{names[ours]}": f"predictor.network.{ours}" for ours in names if ours not in of_decoder}
    places: dict[Any, str] = {module: name for name, module in method.named_modules()}
    for role, branch in {"decoder_u": method.unlabelled, "decoder_l": method.labelled}.items():
        place = places[branch.decoder]
        found |= {f"{role}.{name}": place + ours.removeprefix("decoder") for ours, name in of_decoder.items()}
        for name, head in {"out_conv9": branch.main, "out_conv9_abc": branch.auxiliary}.items():
            found |= {f"{role}.{name}.{each}": f"{places[head]}.{each}" for each in ("weight", "bias") if head}
    blocks = {} if method.predictor.attention is None else method.predictor.attention.named_children()
    for name, block in dict(blocks).items():
        role = {"local": "cross_attention_local", "whole": "cross_attention_global"}[name]
        found |= {f"{role}.{theirs}": f"{places[block]}.{ours}" for theirs, ours in of_whole(block).items()}
    return found


def run(case: Case) -> dict[str, Any]:
    given, steps = Given(case), case["setting"]["iterations_per_epoch"]
    setting = {**case["setting"], "step": case["setting"]["epoch"] * steps, "steps_per_epoch": steps}
    method, batches = build(given, setting), given.batches()
    stage = Run(method, rules(setting), setting, {"network": official(method)})
    stage.load(given.start)
    names = [name for name in ("keep_labelled", "keep_unlabelled") if name in given.draws]
    draws = [{"torch.rand": [given.draws[name][step] for name in names]} for step in range(len(batches))]
    terms = {name: name for name in case["losses"][0] if name != "total"}
    losses = stage.steps(batches, draws, terms)
    state = {"learning_rate": stage.rate, "weight": stage.weight("pseudo")}
    if method.absh:
        state["class_ratio"] = method.ratio
    if "prediction" in case["state"]:
        with torch.no_grad():
            state["prediction"] = method.eval().predictor(batches[-1].unlabelled)
    return stage.result(losses, case, state)
