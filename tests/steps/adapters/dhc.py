"""DHC (xmed-lab/DHC)."""

from typing import Any

from steps.stage import Case, Given, Run, backbone, by_epoch, make, of_network

from semiseg.methods.dhc import DHC


def run(case: Case) -> dict[str, Any]:
    given, setting = Given(case), case["setting"]
    network, voxels = backbone("vnet", setting["filters"]), given.inputs["labelled_voxels"]
    method = make("dhc", setting["classes"], network, "ce_dice_organs", voxels, weight=setting["w"])
    assert isinstance(method, DHC)
    stage = Run(method, by_epoch(setting, "lr"), setting, {role: of_network(method, role) for role in given.start})
    stage.load(given.start)
    batches = given.batches()
    terms = {name: name for name in ("supervised_a", "supervised_b", "cross_a", "cross_b")}
    losses = stage.steps(batches, [{}] * len(batches), terms)
    state = {
        "learning_rate": stage.rate,
        "cross_weight": stage.weight("cross_a"),
        "class_weights_a": method.difficulty_weights(),
        "class_weights_b": method.distribution_weights,
        "last_dice": method.difficulty.dice,
        "learn": method.difficulty.learn,
        "unlearn": method.difficulty.unlearn,
        "lack": method.difficulty.lack,
    }
    return stage.result(losses, case, {name: state[name] for name in case["state"]})
