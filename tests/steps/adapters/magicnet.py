"""MagicNet (DeepMed-Lab-ECNU/MagicNet)."""

from typing import Any

from steps.stage import Case, Given, Run, backbone, by_iteration, make, of_network

from semiseg.methods.magicnet import MagicNet

HYPER = (
    "weight",
    "location_weight",
    "ema_decay",
    "cube_size",
    "positions",
    "cube_order",
    "blend_after",
    "refresh",
    "temperature",
)


def run(case: Case) -> dict[str, Any]:
    given, setting = Given(case), case["setting"]
    network, hyper = backbone("vnet_magic", setting["filters"]), {name: setting[name] for name in HYPER}
    method = make("magicnet", setting["classes"], network, "half_ce_dice_all", **hyper)
    assert isinstance(method, MagicNet)
    student = of_network(method, "student") | of_network(method, "location_head")
    names = {"student": student, "teacher": of_network(method, "teacher")}
    stage = Run(method, by_iteration(setting), setting, names)
    stage.load(given.start)
    method.counts.copy_(given.inputs["counts"])
    method.stored.copy_(given.inputs["stored"])
    draws = given.by_step(rand="exchange_noise", randn_like="teacher_noise")
    terms = {name: name for name in ("supervised", "location", "consistency")}
    losses = stage.steps(given.batches(), draws, terms)
    state = {
        "consistency_weight_of_last_step": stage.weight("consistency"),
        "learning_rate_of_last_step": stage.rate,
        "counts": method.counts,
        "stored": method.stored,
    }
    return stage.result(losses, case, state)
