"""How a table was made, in sentences: rules of scoring, checkpoint, inference."""

from collections.abc import Mapping, Sequence
from typing import Any


def making(spec: Mapping[str, Any], split: Mapping[str, Any]) -> str:
    """One paragraph: data, split, protocol, training, checkpoint rule, inference."""
    collection, training = spec["collection"], spec["training"]
    counts = ", ".join(
        f"{len(split[part])} {name}"
        for part, name in (
            ("labelled", "labelled"),
            ("unlabelled", "unlabelled"),
            ("val", "validation"),
            ("test", "test"),
        )
    )
    organs = f"{len(spec['organs'])} organs" if len(spec["organs"]) > 1 else f"one organ ({spec['organs'][0]['name']})"
    axes = " ".join(spec["preparation"]["axes"])
    return (
        f"{collection['title']} ({collection['modality']}, {organs}), split {split['split']}: {counts} cases; a row"
        f" trained on another split prints its own counts. Protocol {spec['protocol']}: network"
        f" {spec['network']['name']} with {spec['network']['filters']} filters, crops of {_times(training['patch'])}"
        f" voxels ({axes}), {training['batch']['labelled']} labelled and {training['batch']['unlabelled']} unlabelled"
        f" per step, {_budget(training)}. {_seeds(spec['seeds'])} {_checkpoint(training)} {_inference(spec)}"
    )


def _times(sides: Sequence[int]) -> str:
    return " × ".join(str(side) for side in sides)


def _budget(training: Mapping[str, Any]) -> str:
    return f"{training['iterations']} iterations" if training["iterations"] else f"{training['epochs']} epochs"


def _seeds(seeds: Sequence[int]) -> str:
    if len(seeds) == 1:
        return f"One run per row (seed {seeds[0]}), so a spread over runs is not defined."
    return f"{len(seeds)} runs per row (seeds {', '.join(map(str, seeds))})."


def _checkpoint(training: Mapping[str, Any]) -> str:
    rule = training["validation"]
    if rule is None:
        return "The last checkpoint is used; no case was looked at to choose it."
    start = f" from {100 * rule['start']:.0f} % of the training on" if rule["start"] else ""
    where = "whole volumes" if rule["region"] == "volume" else "centre crops"
    unit = {"iteration": "iterations", "epoch": "epochs"}[rule["per"]]
    return (
        f"The checkpoint is the one with the best mean Dice on {where} of the validation cases, judged every"
        f" {rule['every']} {unit}{start}; test cases play no part in it."
    )


def _inference(spec: Mapping[str, Any]) -> str:
    rule = spec["inference"]
    which = "the better one on validation is" if spec["training"]["validation"] else "without validation the first is"
    several = {
        "one": f"where a method trains several networks, each speaks alone and {which} kept",
        "mean_logits": "where a method trains several networks, the mean of their logits speaks",
    }[rule["networks"]]
    return (
        f"At inference a window of {_times(rule['window'])} voxels slides with stride {_times(rule['stride'])}, softmax"
        f" scores are averaged where windows overlap; {several}."
    )
