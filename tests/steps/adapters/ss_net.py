"""SS-Net (xmed-lab/DHC, ycwu1997/SS-Net)."""

from typing import Any

from steps.stage import Case, Given, Run, at_epoch, backbone, by_epoch, make, of_checkpoint, training

from semiseg.methods.ss_net import SSNet
from semiseg.params.config import Training

FORMS = {
    "dhc": {"distance": "per_class", "supervised_dice": "all_classes"},
    "la": {"distance": "pooled", "supervised_dice": "foreground"},
}


def run(case: Case) -> dict[str, Any]:
    given, setting = Given(case), case["setting"]
    method = make(
        "ss_net",
        setting["classes"],
        backbone("vnet", setting["filters"]),
        "ce_dice_organs",
        weight=float(setting["w"]),
        memory=setting["memory_per_class"],
        magnitude=setting["magnitude"],
        probe=setting["xi"],
        **FORMS[setting["line"]],
    )
    assert isinstance(method, SSNet)
    stage = Run(method, rules(setting), at_epoch(setting), {"network": of_checkpoint(method)})
    stage.load(given.start)
    draws = given.by_step(rand_like="direction")
    terms = {"dice": "supervised", **{name: name for name in ("vat", "contrast_labelled", "contrast_unlabelled")}}
    losses = stage.steps(given.batches(), draws, terms)
    stored = method.separation.stored.tolist()
    memory = method.separation.memory
    state = {
        "learning_rate": stage.rate,
        "weight": stage.weight("vat"),
        "memory_sizes": stored,
        "memory": {str(number): memory[number, :count].numpy() for number, count in enumerate(stored) if count},
        "prediction": stage.logits("network", given.batches()[-1].unlabelled),
    }
    return stage.result(losses, case, state)


def rules(setting: Case) -> Training:
    """The schedule of the line; that of the official script counts the step before it reads the ramp."""
    if setting["line"] == "dhc":
        return by_epoch(setting, "base_lr")
    fall = {"rule": "step", "every": setting["rate_falls_every"], "factor": setting["rate_factor"]}
    ramp = {"every": setting["iterations_per_ramp_unit"], "length": setting["rampup"], "lag": -1}
    return training(setting, ramp, fall, "base_lr")
