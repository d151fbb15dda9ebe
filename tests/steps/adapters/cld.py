"""CLD (xmed-lab/DHC, and the cases named knee of xmed-lab/CLD-Semi)."""

from typing import Any

from steps.stage import Case, Given, Run, backbone, by_epoch, make, of_network, training

from semiseg.methods.cld import CLD
from semiseg.params.config import Training


def run(case: Case) -> dict[str, Any]:
    given, setting = Given(case), case["setting"]
    method = make(
        "cld",
        setting["classes"],
        backbone("vnet", setting["filters"]),
        "ce_dice_organs",
        given.inputs["labelled_voxels"],
        weight=setting["w"],
        update_iter=setting["update_iter"],
        momentum=setting["bank_momentum"],
        gamma=setting["gamma"],
        min_sr=setting["min_sr"],
    )
    assert isinstance(method, CLD)
    stage = Run(method, rules(setting), setting, {role: of_network(method, role) for role in given.start})
    stage.load(given.start)
    method.bank_a.confidence.copy_(given.inputs["confidence_a"])
    method.bank_b.confidence.copy_(given.inputs["confidence_b"])
    pairs = zip(given.draws["uniform_a"], given.draws["uniform_b"], strict=True)
    terms = {name: name for name in ("supervised_a", "supervised_b", "cross_a", "cross_b")}
    losses = stage.steps(given.batches(), [{"torch.rand": pair} for pair in pairs], terms)
    state = {
        "learning_rate": stage.rate,
        "cross_weight": stage.weight("cross_a"),
        "class_weights": method.class_weights,
        "confidence_a": method.bank_a.confidence,
        "confidence_b": method.bank_b.confidence,
    }
    return stage.result(losses, case, state)


def rules(setting: Case) -> Training:
    """The schedule of DHC; without a power that of the authors' own script, a thousandth over the training."""
    if "poly_power" in setting:
        return by_epoch(setting, "lr")
    fall = {"rule": "step", "per": "epoch", "every": 1, "factor": 0.001 ** (1 / setting["max_epoch"])}
    return training(setting, {"per": "epoch", "lag": 1}, fall, "lr")
