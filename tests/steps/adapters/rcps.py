"""RCPS (hsiangyuzhao/RCPS)."""

from collections.abc import Iterator
from typing import Any
from unittest import mock

import torch
from steps.stage import Case, Given, Run, backbone, make, of_modules, of_network, training

from semiseg.method import Batch
from semiseg.methods.parts.rcps_views import Strengths
from semiseg.params.config import Training

KINDS = {"cps": "pseudo", "con": "contrast", "cos": "cosine"}
ROWS = {"l": "labelled", "u": "unlabelled"}
TERMS = {"seg": "supervised", **{f"{a}_{b}": f"{KINDS[a]}_{ROWS[b]}" for a in KINDS for b in ROWS}}


def run(case: Case) -> dict[str, Any]:
    given, setting = Given(case), case["setting"]
    shapes = dict(case["networks"]["model"]["parameters"])
    patch = given.inputs["image"][0].shape[2:]
    background, organ = setting["class_weights"]
    method = make(
        "rcps",
        shapes["convds0.weight"][0],
        backbone("resunet", shapes["convds0.weight"][1]),
        "half_ce_dice_fg",
        patch=tuple(patch),
        weight=setting["cps_ratio"],
        contrast_weight=setting["con_ratio"],
        negatives=setting["negatives"],
        contrast_temperature=setting["contrast_temperature"],
        temperature=setting["temperature"],
        background_weight=background,
        organ_weight=organ,
        sticky_noise=setting["sticky_noise"],
    )
    names = of_network(method, "network") | of_modules(method, {f"projector.{n}": f"projector.{n}" for n in range(3)})
    stage = Run(method, rules(setting), {**setting, "step": 0, "steps_per_epoch": 1}, {"model": names})
    stage.load(given.start)
    losses = []
    steps = zip(setting["epoch"], batches(given), strengths(given), given.draws["noise"], strict=True)
    for epoch, batch, views, noise in steps:
        stage.trainer.state.iteration = epoch
        with mock.patch("semiseg.methods.rcps.strengths", return_value=views):
            losses += stage.steps([batch], [{"torch.randn_like": list(noise)}], TERMS)[-1:]
    tau = stage.trainer.schedule.time(setting["epoch"][-1]).ramp
    return stage.result(losses, case, {"learning_rate_of_last_step": stage.rate, "tau_of_last_step": tau})


def batches(given: Given) -> list[Batch]:
    """The batches of the case, whose labels have a channel axis."""
    parts = (given.inputs[name] for name in ("image", "label", "unlabelled_image"))
    return [Batch(images, labels.squeeze(1).long(), others) for images, labels, others in zip(*parts, strict=True)]


def strengths(given: Given) -> Iterator[Strengths]:
    """The strengths of the views of each step."""
    names = ("gain", "shift", "noise_on", "noise_std")
    for numbers in zip(*(given.draws[name] for name in names), strict=True):
        gain, shift, noisy, deviation = (torch.as_tensor(each) for each in numbers)
        yield Strengths(gain, shift, noisy.bool(), deviation)


def rules(setting: Case) -> Training:
    """Training of the script, which changes rate and ramp between epochs alone; a step stands for an epoch."""
    ramp, warm = {"per": "epoch", "length": setting["rampup_epochs"]}, setting["warmup_epochs"]
    rule = {"rule": "poly", "per": "epoch", "warmup": warm, "warmup_from": 0.01, "length": setting["epochs"] - warm}
    return training(setting, ramp, rule)
