"""The front page of a protocol: preparation, network, training, inference, scoring, caveats."""

import ast

from semiseg.base import sources
from semiseg.base.terminal import Page, facts, heading, items, title
from semiseg.base.texts import counted, times
from semiseg.blocks.ramps import sigmoid_rampup
from semiseg.describe.preparation import steps
from semiseg.params.augmentation import Blur, Brightness, Contrast, Gamma, Rotate, Strong, Zoom
from semiseg.params.augmentation import Step as StrongStep
from semiseg.params.config import Hypers, Optimiser, Params, Protocol, Schedule, Training
from semiseg.report.texts import ORDERS, PRECISIONS, initial_weights
from semiseg.scoring.scoring_rule_texts import rule_text

SUPERVISED = {
    "half_ce_dice_fg": "half of cross-entropy plus Dice loss of the foreground",
    "half_ce_dice_all": "half of cross-entropy plus Dice loss over all classes, background included",
    "ce_dice_organs": "cross-entropy plus Dice loss over the organs",
    "half_ce_dice_organs": "half of cross-entropy plus Dice loss over the organs",
}
ENDED = 0.99  # a ramp that comes so far counts as ended
ABSENT = {"zero": "counts as Dice 0", "half": "counts as Dice 0.5"}


def page(params: Params, name: str) -> Page:
    """The page of everything that the papers of one family share."""
    protocol = params.protocols[name]
    preparation = params.preparations[protocol.preparation]
    used = [
        table for table, one in params.tables.items() if name in {one.protocol, *(row.protocol for row in one.rows)}
    ]
    return [
        title("protocol", name),
        facts({"used by": ", ".join(used)}),
        *items(f"preparation {protocol.preparation}", steps(preparation), numbered=True),
        heading("training"),
        facts(training(protocol, " ".join(preparation.axes))),
        heading("inference and scoring"),
        facts(measuring(protocol)),
        *items(
            "methods that differ here", (f"{method}: {_given(given)}" for method, given in protocol.methods.items())
        ),
        *items("caveats", protocol.notes),
    ]


def training(protocol: Protocol, axes: str) -> dict[str, str]:
    """Network and training as named facts; axes: order of the stored axes."""
    one = protocol.training
    scaling = {} if protocol.intensities == "stored" else {"intensities": "each stored scan scaled to 0..1 first"}
    start = {} if protocol.initial is None else {"start": initial_weights(protocol.initial)}
    return {
        **scaling,
        "network": f"{protocol.network.name}, {protocol.network.filters} filters: {_network(protocol.network.name)}",
        **start,
        "patch": f"{times(one.patch)} voxels ({axes})",
        "batch": f"{one.batch.labelled} labelled and {one.batch.unlabelled} unlabelled crops a step",
        "budget": f"{_budget(one)}; an epoch is {_epoch(one)}",
        "order": ORDERS[one.order],
        "supervised": SUPERVISED[one.supervised],
        "optimiser": _optimiser(one.optimiser, one.accumulate),
        "schedule": _schedule(one.schedule),
        "ramp": _ramp(one),
        "augmentation": _augmentation(one),
        "precision": PRECISIONS[one.precision, one.amp],
        "checkpoint": _checkpoint(one),
    }


def measuring(protocol: Protocol, spread: str | None = None) -> dict[str, str]:
    """Window and scoring rule as named facts. spread: what those of a table are over; default: as the rule says."""
    inference = protocol.inference
    networks = "" if inference.networks == "one" else ", the mean of the networks' logits"
    ends = f", first and last slices repeated {times(inference.border)} times" if any(inference.border) else ""
    kept = "; the largest component of each organ is kept" if inference.largest_component else ""
    return {
        "window": f"{times(inference.window)} voxels, stride {times(inference.stride)}{ends}{networks}{kept}",
        "scoring rule": f"{protocol.scoring}: {rule_text(protocol.scoring, spread)}",
    }


def _network(name: str) -> str:
    """First line of the network's file: importing it would import torch."""
    tree = sources.syntax_tree(sources.PACKAGE / "networks" / f"{name}.py")
    return (ast.get_docstring(tree) or "").splitlines()[0].rstrip(".")


def _budget(one: Training) -> str:
    if one.iterations is not None:
        return f"{one.iterations:,} iterations"
    return counted(one.epochs or 0, "epoch") + (" and one more" if one.extra_epochs else "")


def _epoch(one: Training) -> str:
    return counted(one.epoch, "step") if isinstance(one.epoch, int) else f"one pass over the {one.epoch} cases"


def _optimiser(one: Optimiser, steps: int) -> str:
    """The optimiser; steps: whose gradients are summed for it to move once."""
    name = {"sgd": "SGD", "adam": "Adam", "adamw": "AdamW"}[one.rule]
    start, decay = f"{name}, learning rate {one.lr:g}", f"weight decay {one.weight_decay:g}"
    if steps > 1:
        decay += f"; it moves by the sum of the gradients of {steps} steps"
    if one.rule == "sgd":
        return f"{start}, momentum {one.momentum:g}{' (Nesterov)' if one.nesterov else ''}, {decay}"
    return f"{start}, beta 1 {one.momentum:g}, beta 2 {one.beta2:g}, eps {one.eps:g}, {decay}"


def _schedule(one: Schedule) -> str:
    more = f", counted from {one.per} t {'-' if one.lag > 0 else '+'} 1" if one.lag else ""
    more += ", one iteration late" if one.late else ""
    start = "" if one.warmup_from is None else f" from {one.warmup_from:g} of it"
    more += f", after a rise{start} over {counted(one.warmup, one.per)}" if one.warmup else ""
    more += f", never below {one.floor:g}" if one.floor else ""
    more += f", T = {one.length:,}" if one.length else ""
    match one.rule:
        case "constant":
            return f"constant learning rate{more}"
        case "step":
            return f"times {one.factor:g} every {counted(one.every, one.per)}{more}"
        case "poly":
            return f"falls as (1 - t / T)^{one.power:g}, per {one.per}{more}"


def _ramp(training: Training) -> str:
    one = training.ramp
    length = "the whole training" if one.length is None else f"{one.length} steps"
    lag = f", counted from t {'-' if one.lag > 0 else '+'} 1" if one.lag else ""
    text = f"exp(-5 (1 - s)^2), s from 0 to 1 over {length}, a step every {counted(one.every, one.per)}{lag}"
    whole = training.iterations if one.per == "iteration" else training.epochs
    if one.length is None or whole is None:
        return text
    end = max(whole - 1 - one.lag, 0) // one.every / one.length
    return f"{text}; the training ends at s = {end:.2f}, weight {sigmoid_rampup(end, 1):.2f}" if end < ENDED else text


def _augmentation(one: Training) -> str:
    changes = [
        *(["quarter turns in the plane of axes 0 and 1"] if one.augmentation.rot90 else []),
        *([f"one flip along axis {_either(one.augmentation.flip_one_of)}"] if one.augmentation.flip_one_of else []),
        *([f"flips along axes {_either(one.augmentation.flip_each, 'and')}, each with probability 0.5"]
          if one.augmentation.flip_each else []),
    ]  # fmt: skip
    steps = ["random crop", *changes] if one.augmentation.crop == "first" else [*changes, "random crop"]
    second = ["and a second one before it, of the same scan"] if one.augmentation.second else []
    return ", ".join([*steps, *second, *([_strong(one.augmentation.strong)] if one.augmentation.strong else [])])


def _strong(strong: Strong) -> str:
    """What is done to a crop."""
    return f"then {strong.choose} of: " + ", ".join(map(_strong_step, strong.steps))


def _strong_step(step: StrongStep) -> str:
    match step:
        case Rotate():
            what, (low, high) = f"rotation about axis {step.axis} by degrees", step.degrees
        case Zoom():
            what, (low, high) = "zoom to a part of the sides", step.factor
        case Blur():
            what, (low, high) = "blur with sigma in voxels", step.sigma
        case Gamma():
            what, (low, high) = "gamma with exponent", step.exponent
        case Brightness() | Contrast():
            what, (low, high) = f"{step.step} times", step.factor
    return f"{what} {low:g} to {high:g} (probability {step.probability:g})"


def _either(axes: tuple[int, ...], word: str = "or") -> str:
    return f" {word} ".join(map(str, axes))


def _checkpoint(one: Training) -> str:
    rule = one.validation
    if rule is None:
        return "the last one; no case is looked at to choose it"
    start = f", first after {counted(rule.first, rule.per)}" if rule.first else ""
    stop = f", stopped after {counted(rule.patience, rule.per)} without gain" if rule.patience else ""
    region = "whole volumes" if rule.region == "volume" else "centre crops"
    return (
        f"best mean Dice on {region} of the validation cases, every {counted(rule.every, rule.per)}{start}{stop}; an "
        f"organ neither present nor predicted {ABSENT[rule.absent]}"
    )


def _given(given: Hypers) -> str:
    return ", ".join(f"{name} {value}" for name, value in given.items())
