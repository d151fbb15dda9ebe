"""U2PL (Haochen-Wang409/U2PL)."""

from typing import Any

import torch
from steps.stage import Case, Draws, Given, Run, Tiny, make, of_modules, poly, training

from semiseg.blocks.losses import cross_entropy
from semiseg.methods.u2pl import U2PL

HYPER = (
    "weight",
    "contrast_weight",
    "supervised_epochs",
    "mix_probability",
    "drop_percent",
    "low_entropy",
    "low_rank",
    "high_rank",
    "anchor_probability",
    "key_probability",
    "anchors",
    "keys_per_anchor",
    "temperature",
    "dimension",
    "bank_size",
    "background_bank_size",
    "ema_decay",
    "negatives",
    "class_index",
    "one_hot",
)
MODULES = ("layer1", "layer2", "head")


def run(case: Case) -> dict[str, Any]:
    given, setting = Given(case), case["setting"]
    hyper = {name: setting[name] for name in HYPER}
    method = make(
        "u2pl", setting["classes"], lambda channels: Tiny(setting["filters"], channels), cross_entropy, **hyper
    )
    assert isinstance(method, U2PL)
    names = {}
    for role, projection in (("student", "projection"), ("teacher", "teacher_projection")):
        modules = {module: f"{role}.{module}" for module in MODULES}
        modules |= {f"proj{layer}": f"{projection}.layers.{layer}" for layer in (0, 2)}
        names[role] = of_modules(method, modules)
    stage = Run(method, training(setting, {}, poly(setting["schedule"])), setting, names)
    stage.load(given.start)
    method.averaged.fill_(max(setting["step"] - setting["supervised_epochs"] * setting["steps_per_epoch"], 0))
    for number, vectors in enumerate(given.inputs["memory"]):
        if vectors is not None:
            method.bank.push(number, vectors)
    terms = {name: name for name in ("supervised", "pseudo", "contrast")}
    losses = stage.steps(given.batches(), draws_of(given), terms)
    queues = [method.bank.queue(number) for number in range(setting["classes"])]
    state = {
        "memory_sizes": [len(queue) for queue in queues],
        "memory": torch.cat(queues),
        "learning_rate_of_last_step": stage.rate,
    }
    return stage.result(losses, case, state)


def draws_of(given: Given) -> list[Draws]:
    """Per step: whether to mix, then anchors and keys class by class; of each box our order is width, top, left."""
    names = ("mix_uniform", "box_uniform", "anchor_uniform", "negative_uniform")
    return [
        {
            "torch.rand": [mix, *(each for pair in zip(anchors, keys, strict=True) for each in pair)],
            "torch.randint": [box[place] for box in boxes for place in (0, 2, 1)],
        }
        for mix, boxes, anchors, keys in zip(*(given.draws[name] for name in names), strict=True)
    ]
