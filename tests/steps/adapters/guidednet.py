"""GuidedNet (kimjisoo12/GuidedNet)."""

from typing import Any

from steps.stage import Case, Given, Run, backbone, by_iteration, make, of_network


def run(case: Case) -> dict[str, Any]:
    given, setting = Given(case), case["setting"]
    method = make(
        "guidednet",
        setting["classes"],
        backbone("unet3d", setting["filters"]),
        "half_ce_dice_all",
        given.inputs["labelled_voxels"],
        weight=setting["weight"],
        lambda_g=setting["lambda_g"],
        momentum=setting["class_weight_momentum"],
        rectify=setting["rectify"],
    )
    stage = Run(method, by_iteration(setting), setting, {role: of_network(method, role) for role in given.start})
    stage.load(given.start)
    batches = given.batches()
    names = ("supervised_a", "supervised_b", "gt", "self", "max", "rectify", "cons", "cross")
    losses = stage.steps(batches, [{}] * len(batches), {name: name for name in names})
    state = {
        "ramp_weight_of_last_step": stage.weight("cross"),
        "learning_rate_of_last_step": stage.rate,
        "class_weights": method.get_buffer("class_weights"),
    }
    return stage.result(losses, case, state)
