"""AutoSAM (talshaharabany/AutoSAM)."""

from typing import Any
from unittest import mock

from steps.sam_sizes import FREQUENCIES, moments, sam
from steps.stage import Case, Given, Run, make, training
from torch import Tensor

from semiseg.method import Batch
from semiseg.methods.parts.autosam_prompt import HarDNetSizes, PromptedSam, PromptNetwork

TERMS = {"bce": "bce", "tversky": "tversky"}
BINARY = 2


def run(case: Case) -> dict[str, Any]:
    given, setting = Given(case), case["setting"]
    network = sam(case)
    method: Any = make("autosam", BINARY, lambda _: network, "half_ce_dice_all")
    prompt = PromptNetwork(hardnet(setting["hardnet"]), setting["embedding"], network.sizes.tokens)
    method.network = PromptedSam(network, prompt, setting["prompt_side"])
    for module in prompt.backbone.base:
        if hasattr(module, "p"):
            module.p = 0.0
    first, second = setting["betas"]
    numbers = {**setting, "momentum": first, "iterations": len(given.inputs["images"])}
    adam = {"rule": "adam", "beta2": second, "eps": setting["adam_eps"]}
    rules = training(numbers, {}, {"rule": "constant"}, "lr", **adam)
    rules = rules.model_copy(update={"accumulate": setting["accumulation"]})
    names = {
        role: {name: f"network.{ours}.{name}" for name in method.network.get_submodule(ours).state_dict()}
        for role, ours in {"prompt_network": "prompt", "sam": "sam"}.items()
    }
    stage = Run(method, rules, {**setting, "steps_per_epoch": setting["batches_per_epoch"]}, names)
    drawn = {FREQUENCIES: given.draws["position_frequencies"].numpy()}
    stage.load({**given.start, "sam": {**given.start["sam"], **drawn}})
    with as_loaded():
        losses = stage.steps(batches(given), [{}] * len(given.inputs["images"]), TERMS)
    optimiser = stage.trainer.state.optimiser
    kept = {name: method.network.prompt.get_parameter(name) for name in case["state"]["first_moment"]}
    state = {
        "updated_parameters": len(optimiser.state),
        "optimiser_steps": int(next(iter(optimiser.state.values()))["step"]),
        "first_moment": moments(optimiser, kept),
    }
    return stage.result(losses, case, state)


def hardnet(setting: Case) -> HarDNetSizes:
    """The case's HarDNet."""
    first, second = setting["first"]
    lists = (tuple(setting[name]) for name in ("channels", "growth", "layers", "downsample_after"))
    return HarDNetSizes((first, second), *lists, setting["growth_factor"])


def batches(given: Given) -> list[Batch]:
    """Images as the official loader gives them, with a side of one voxel to stand for slices."""
    pairs = zip(given.inputs["images"], given.inputs["masks"], strict=True)
    return [Batch(images.unsqueeze(-1), masks.unsqueeze(-1).long(), images[:0]) for images, masks in pairs]


def as_loaded() -> Any:
    """Let images pass as they are inside the block: those of a case are normalised and padded already."""

    def images(_: Any, crops: Tensor) -> Tensor:
        return crops.squeeze(-1)

    return mock.patch("semiseg.methods.autosam.AutoSAM.prepared", images)
