"""BCP (DeepMed-Lab-ECNU/BCP)."""

from typing import Any

from steps.stage import Case, Given, Run, backbone, make, of_modules, training, watched
from torch import Tensor, nn

from semiseg.method import Batch, Method
from semiseg.network import build
from semiseg.params.config import Optimiser, Training

NETWORKS = {"LA": "vnet", "pancreas": "vnet_magic"}
NAMED = {"LA": "vnet_magic", "pancreas": "vnet"}  # networks of ours whose map has the names of the script
INSIDE = {"LA": "first", "pancreas": "second"}
HYPER = {"ema_decay": "ema", "threshold": "threshold", "neighbours": "connectivity"}
STAGES = ({"ce": "cross_entropy", "dice": "dice"}, {"labelled": "labelled", "unlabelled": "unlabelled"})
LAST = "branchs.0.1.weight"
LA_FALL = {"rule": "step", "every": 2500, "factor": 0.1}  # of the rate in the second stage


def run(case: Case) -> dict[str, Any]:
    given, setting = Given(case), case["setting"]
    line, first = setting["dataset"], setting["pretrain_steps"]
    shapes = dict(case["networks"]["student"]["parameters"])
    method = make(
        "bcp",
        2,
        backbone(NETWORKS[line], next(iter(shapes.values()))[0]),
        "half_ce_dice_fg",
        patch=tuple(setting["crop"]),
        pretrain_steps=setting["step"] + first if first else 0,
        unlabelled_weight=setting["u_weight"],
        inside=INSIDE[line],
        **{ours: setting[theirs] for ours, theirs in HYPER.items() if theirs in setting},
    )
    names = {role: official(method, role, line) for role in given.start}
    stage = Run(method, rules(setting), setting, names)
    silence_biases(method)
    stage.load(given.start)
    losses: list[dict[str, float]] = []
    state: dict[str, Any] = {"learning_rates": [], "pseudo_voxels_before": [], "pseudo_voxels": []}
    for number, (batch, box) in enumerate(zip(batches(given), given.draws["box"], strict=True)):
        raw: list[Tensor] = []
        clean: list[Tensor] = []
        part = "semiseg.methods.parts.bcp_mix"
        with watched(f"{part}.confident", raw.append), watched(f"{part}.largest_components", clean.append):
            losses += stage.steps([batch], [{"torch.randint": list(box)}], STAGES[number >= first])[-1:]
        state["learning_rates"].append(stage.rate)
        if raw:
            state["pseudo_voxels_before"].append(voxels(raw))
            state["pseudo_voxels"].append(voxels(clean))
    if setting["optimiser"] == "Adam":
        weight = method.get_parameter(names["student"][LAST])
        kept = stage.trainer.state.optimiser.state[weight]
        state["adam_steps"] = int(kept["step"])
        state["adam_moments"] = [kept[name].norm().item() for name in ("exp_avg", "exp_avg_sq")]
    return stage.result(losses, case, state)


def voxels(labels: list[Tensor]) -> list[float]:
    """Voxels of the organ in each crop of both halves."""
    return [float(crop.count_nonzero()) for half in labels for crop in half]


def official(method: Method, role: str, line: str) -> dict[str, str]:
    """Official name -> our name; the networks of both scripts are our V-Net, and name its parts differently."""
    names = build(NAMED[line], 1, 2, "default", filters=1).official_modules()
    found = {theirs: f"{role}.{ours}" for ours, theirs in names.items()}
    if line == "pancreas":
        last = {"block_nine.conv.0": "branchs.0.0.conv.0", "out_conv": "branchs.0.1"}
        found = {last.get(name, name): ours for name, ours in found.items()}
    return of_modules(method, found)


def silence_biases(method: Method) -> None:
    """Set the biases of convolutions to zero; a case lists those that have an effect."""
    for module in method.modules():
        if isinstance(module, nn.Conv3d | nn.ConvTranspose3d) and module.bias is not None:
            nn.init.zeros_(module.bias)


def batches(given: Given) -> list[Batch]:
    """The batches of the case, whose first stage has no unlabelled crops."""
    inputs = given.inputs
    others = inputs.get("unlabelled", [None] * len(inputs["images"]))
    steps = zip(inputs["images"], inputs["labels"], others, strict=True)
    return [Batch(images, labels.long(), images[:0] if other is None else other) for images, labels, other in steps]


def rules(setting: Case) -> Training:
    """A constant rate but in the second stage of LA."""
    falls = setting["dataset"] == "LA" and not setting["pretrain_steps"]
    given = training({"momentum": 0.9, **setting}, {"length": 1}, LA_FALL if falls else {"rule": "constant"}, "lr")
    if setting["optimiser"] == "SGD":
        return given
    adam = Optimiser(rule="adam", lr=setting["lr"], momentum=0.9, weight_decay=setting["weight_decay"])
    return given.model_copy(update={"optimiser": adam})
