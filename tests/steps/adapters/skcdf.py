"""SKCDF (yinguanchun/SKCDF)."""

from typing import Any

import torch
from steps.stage import Case, Given, Run, backbone, by_epoch, make

from semiseg.blocks.class_counts import class_counts
from semiseg.method import Method
from semiseg.methods.parts.skcdf_decoders import Branch
from semiseg.methods.skcdf import SKCDF
from semiseg.network import official_names


def hyper(setting: Case) -> dict[str, Any]:
    order = " ".join(setting["transfer_order"])
    return {
        "weight": setting["lambda_u"],
        "flow": "decoupled" if setting["flow"] == "decoupled" else "baseline",
        "decoder_ema": bool(order),
        **({"transfer_order": order} if order else {}),
        **{name: setting[name] for name in ("ema", "skcm", "absh", "heads")},
    }


def official_of(method: SKCDF) -> dict[str, str]:
    """Official name -> our name of every weight."""
    network, own = method.predictor.network, "predictor.network."
    names = official_names(network, network.official_modules())
    decoder = {ours.removeprefix("decoder."): name for ours, name in names.items() if ours.startswith("decoder.")}
    ends = tuple(f"decoder.{name}" for name in decoder)
    found = {
        f"encoder.{name}": f"{own}{ours}"
        for ours, name in names.items()
        if ours not in ends and not ours.startswith("head.")
    }
    for role, branch in {"decoder_u": method.unlabelled, "decoder_l": method.labelled}.items():
        found |= of_branch(method, branch, role, decoder)
    if method.predictor.attention is not None:
        for role, block in {"local": "local", "global": "whole"}.items():
            module = method.predictor.attention.get_submodule(block)
            official = official_names(module, module.official_modules())  # type: ignore[operator]
            found |= {
                f"cross_attention_{role}.{name}": f"predictor.attention.{block}.{ours}"
                for ours, name in official.items()
            }
    return found


def of_branch(method: Method, branch: Branch, role: str, decoder: dict[str, str]) -> dict[str, str]:
    """The same for one decoder and its heads. decoder: our name in a decoder -> the official one."""
    places = {module: name for name, module in method.named_modules()}
    heads = {"out_conv9": branch.main, "out_conv9_abc": branch.auxiliary}
    return {f"{role}.{name}": f"{places[branch.decoder]}.{ours}" for ours, name in decoder.items()} | {
        f"{role}.{name}.{weight}": f"{places[head]}.{weight}"
        for name, head in heads.items()
        if head is not None
        for weight in ("weight", "bias")
    }


def run(case: Case) -> dict[str, Any]:
    given, setting = Given(case), case["setting"]
    steps = setting["iterations_per_epoch"]
    setting = {**setting, "step": setting["epoch"] * steps, "steps_per_epoch": steps}
    volumes = given.inputs.get("label_volumes")
    voxels = None if volumes is None else class_counts(volumes, setting["classes"])
    method = make(
        "skcdf",
        setting["classes"],
        backbone("vnet", setting["filters"]),
        "ce_dice_organs",
        voxels,
        setting["patch"],
        **hyper(setting),
    )
    assert isinstance(method, SKCDF)
    stage = Run(method, by_epoch(setting, "base_lr"), setting, {"network": official_of(method)})
    stage.load(given.start)
    batches = given.batches()
    names = ("keep_labelled", "keep_unlabelled")
    pairs = zip(*(given.draws[name] for name in names), strict=True) if given.draws else [()] * len(batches)
    draws = [{"torch.rand": list(pair)} for pair in pairs]
    terms = {name: name for name in case["losses"][0] if name != "total"}
    losses = stage.steps(batches, draws, terms)
    state = {"learning_rate": stage.rate, "weight": stage.weight("pseudo")}
    if method.absh:
        state["class_ratio"] = method.ratio
    if "prediction" in case["state"]:
        with torch.no_grad():
            state["prediction"] = method.eval().predictor(batches[-1].unlabelled)
    return stage.result(losses, case, state)
