"""CRLN (Yaan-Wang/CRLN), and the rows of its ablations."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import torch
from steps.stage import Case, Given, Run, backbone, drawn, make, of_network, training, watched
from torch import Tensor

from semiseg.base.official_weights import weight_names
from semiseg.blocks.box_mix import Boxes
from semiseg.method import Batch
from semiseg.methods.crln import CRLN
from semiseg.methods.parts.crln_interaction import DEPTH, StochasticDepth
from semiseg.methods.parts.crln_strong_view import Changes

NETWORKS = {"vnet": ("vnet", 16), "unet": ("unet3d_crln", 16)}
CORRECTIONS = {"fixed_v1": "exchange", "conv_v2": "convolution"}
POSITIVES = {"none": "none", "mean": "mean", "learned": "prototypes"}
PARTS = "semiseg.methods.parts"
LOSSES = "semiseg.blocks.losses"
HALVES = ("ce", "dice")  # of a supervised loss


def build(setting: Case) -> CRLN:
    """The method with the switches of the case; what a case does not name is on."""
    on = {"cutmix": True, "augment": True, "map": True, "mu": True, "cps": "both", **setting.get("switches", {})}
    plain = "learned" if on["mu"] else "none"
    method = make(
        "crln",
        setting["classes"],
        backbone(*NETWORKS[setting["net"]]),
        "half_ce_dice_fg",
        patch=tuple(setting["crop"]),
        brightness=False,
        prototypes=setting["R"],
        pseudo_weight=setting["w_unsup"],
        contrast_weight=setting["w_cps"],
        xi=setting["xi"],
        start=setting["S"],
        certain=setting["tau"],
        valid=setting["tau_w"],
        temperature=setting["t"],
        anchors=setting["anchors"],
        negatives=setting["negatives"],
        ema_decay=setting["ema"],
        rate=setting["lr"],
        momentum=setting["momentum"],
        weight_decay=setting["weight_decay"],
        cutmix=on["cutmix"],
        augment=on["augment"],
        interaction=on["map"],
        correction=CORRECTIONS[setting["rectifier"]] if "rectifier" in setting else plain,
        positive=POSITIVES.get(on["cps"], "both"),
        aggregation=setting.get("aggregation", "sa_ci_cr"),
    )
    assert isinstance(method, CRLN)
    return method


def names(method: CRLN, role: str) -> dict[str, str]:
    """Official name -> our name of the weights of a role."""
    if role == "mu":
        return {"a": "predictor.correct.mu"}
    if role == "mix":
        return {f"conv.{each}": f"predictor.correct.conv.{each}" for each in ("weight", "bias")}
    place = {"student": "student", "teacher": "predictor.teacher"}[role]
    found = of_network(method, f"{place}.backbone")
    layers = [f"{layer}.{each}" for layer in (0, 1, 3) for each in ("weight", "bias", "running_mean", "running_var")]
    found |= {f"representation.{layer}": f"{place}.representation.{layer}" for layer in layers}
    interaction = method.student.interaction
    if interaction is None:
        return found
    modules = {**interaction.official_modules(), "": ""}
    names = weight_names(interaction.state_dict(), modules)
    assert len(names) == len(interaction.state_dict())
    ours = {official.strip("."): name for official, name in names.items()}
    ours["class_prototype"] = ours.pop("prototypes")
    return found | {f"dynamic.{official}": f"{place}.interaction.{name}" for official, name in ours.items()}


def batches(given: Given) -> list[Batch]:
    rows = (given.inputs[name] for name in ("labelled", "label", "unlabelled"))
    return [Batch(images, labels.long(), others) for images, labels, others in zip(*rows, strict=True)]


@contextmanager
def random_numbers(given: Given, step: int) -> Iterator[None]:
    """The draws of a step, those of stochastic depth in the order of its calls: teacher after S, then student."""
    draws = {name: values[step] for name, values in given.draws.items()}
    changes = Changes(
        zoom=draws["scale"].double(),
        boxes=Boxes(
            draws["cutmix_lam"].double(),
            torch.stack([draws["cutmix_cx"], draws["cutmix_cy"]], 1),
            draws["cutmix_partner"],
        ),
        brightness=draws["brightness"],
        noise=torch.stack(draws["noise"]).unsqueeze(1),
        turns=draws["rot90"],
        flips=draws["flip_axis"],
    )
    kept: list[Tensor] = []
    if "drop_path_keep" in draws:
        student, *teacher = draws["drop_path_keep"].float()
        kept = [rows for forward in (*teacher, student) for rows in forward.flatten(0, 1)]
    numbers = {"torch.rand": [draws["anchor_u"], draws["negative_u"]], f"{PARTS}.crln_interaction.kept": kept}
    with ExitStack() as stack:
        stack.enter_context(drawn(numbers))
        stack.enter_context(mock.patch("semiseg.methods.crln.draw_changes", lambda _: changes))
        yield


def run(case: Case) -> dict[str, Any]:
    given, setting = Given(case), case["setting"]
    method = build(setting)
    for module in method.modules():
        if isinstance(module, StochasticDepth) and "drop_path_keep" in given.draws:
            module.p = DEPTH
    rule = {"rule": "poly", "per": "epoch", "power": setting["lr_power"]}
    rules = training(setting, {}, rule, "lr")
    stage = Run(method, rules, setting, {role: names(method, role) for role in given.start})
    stage.load({**given.start, "teacher": given.start["student"]})  # the case lists some of the teacher's weights only
    terms = {"unsup": "pseudo"} | ({"cps": "contrast"} if method.represents else {})
    terms |= {"mu": "correction"} if method.adversaries() else {}
    losses, rates = [], []
    prefixes = ("", "map_") if method.interaction else ("",)
    for step, batch in enumerate(batches(given)):
        seen: dict[str, list[Any]] = {"ce": [], "dice": []}
        with (
            random_numbers(given, step),
            watched(f"{LOSSES}.cross_entropy", seen["ce"].append),
            watched(f"{LOSSES}.dice_squared_fg", seen["dice"].append),
        ):
            found = stage.steps([batch], [{}], terms)[-1]
        halves = {f"{prefix}{name}": seen[name][at].item() for at, prefix in enumerate(prefixes) for name in HALVES}
        losses.append(found | halves)
        rates.append(stage.rate)
    return stage.result(losses, case, {"lr": rates})
