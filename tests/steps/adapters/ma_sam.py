"""MA-SAM (cchen-cc/MA-SAM)."""

import re
from typing import Any

from steps.sam_sizes import FREQUENCIES, moments, sam
from steps.stage import Case, Given, Run, learning_rates, make, training

from semiseg.method import Batch

TERMS = {"cross_entropy": "cross_entropy", "dice": "dice"}
RENAMED = {
    r"^FacTu\.": "down.",
    r"^FacTv\.": "up.",
    r"ImageEncoderViT\.": "",
    r"\.Block\.": ".",
    r"\.Attention\.": ".",
    r"qkv\.qkv\.": "qkv.frozen.",
    r"q_FacTs\.": "query.",
    r"v_FacTs\.": "value.",
}
ADAPTER = r"sam\.image_encoder\.blocks\.(\d+)\.adapter_(conv|norm|linear_down|linear_up)(_2)?\."


def run(case: Case) -> dict[str, Any]:
    given, setting = Given(case), case["setting"]
    network = sam(case)
    method: Any = make(
        "ma_sam",
        setting["num_classes"] + 1,
        lambda _: network,
        "half_ce_dice_all",
        scale=1.0,
        rank=setting["rank"],
        factor_scale=setting["fact_scale"],
        adapter_channels=setting["adapter_channels"],
        dice_weight=setting["dice_weight"],
    )
    first, second = setting["betas"]
    numbers = {**setting, "momentum": first}
    schedule = {
        "rule": "poly",
        "power": setting["lr_exponent"],
        "warmup": setting["warmup_period"],
        "length": setting["max_iterations"],
    }
    adam = {"rule": "adamw", "beta2": second, "eps": setting["adam_eps"]}
    given_names = [name for name, _ in case["networks"]["network"]["parameters"]]
    names = {"network": {name: ours(name) for name in (*given_names, f"sam.{FREQUENCIES}")}}
    stage = Run(method, training(numbers, {}, schedule, "lr", **adam), setting, names)
    frequencies = "sam.prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"
    drawn = {frequencies: given.draws["position_frequencies"].numpy()}
    stage.load({"network": {**given.start["network"], **drawn}})
    losses = stage.steps(batches(given), [{}] * len(given.inputs["images"]), TERMS)
    optimiser = stage.trainer.state.optimiser
    kept = {name: method.get_parameter(names["network"][name]) for name in case["state"]["first_moment"]}
    state = {
        "learning_rates": learning_rates(stage),
        "updated_parameters": len(optimiser.state),
        "trainable_parameters": sum(each.requires_grad for each in method.parameters()),
        "first_moment": moments(optimiser, kept),
    }
    return stage.result(losses, case, state)


def ours(official: str) -> str:
    """Our name of a parameter; the official one has the names of classes in it, and two adapters in each block."""
    for pattern, replacement in RENAMED.items():
        official = re.sub(pattern, replacement, official)
    if found := re.match(ADAPTER, official):
        block, part, second = found.groups()
        layer = part.removeprefix("linear_")
        official = f"adapters.{2 * int(block) + bool(second)}.{layer}.{official[found.end() :]}"
    return f"network.{official}"


def batches(given: Given) -> list[Batch]:
    """Stacks of slices, which lie across the last axis."""
    pairs = zip(given.inputs["images"], given.inputs["labels"], strict=True)
    return [
        Batch(images.movedim(1, -1).unsqueeze(1), labels.movedim(1, -1).long(), images[:0]) for images, labels in pairs
    ]
