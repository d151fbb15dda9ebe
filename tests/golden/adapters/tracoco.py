"""Translation consistent segmentation."""

from typing import Any

from adapters.backbones import count
from stage import cast, clock

from semiseg.blocks.losses import dice_squared_fg
from semiseg.learning.schedule import TrainingSchedule
from semiseg.methods.parts.tracoco_crops import overlap
from semiseg.methods.parts.tracoco_losses import confident_regions, negative_entropy, translation
from semiseg.network import build
from semiseg.params.config import Optimiser, Ramp, Schedule, Training

Inputs = dict[str, Any]
FOLDER = "Code/VnetLA"
LOSSES = f"{FOLDER}/Utils/losses.py"
SPACE = 1


def weights(i: Inputs, p: Inputs) -> list[float]:
    ours = cast("tracoco", "half_ce_dice_fg", 2, {}, weight=p["unsup_weight"])
    ramp = Ramp(length=p["rampup_length"] * p["iter_per_epoch"])
    return [ours.weights(clock(step, 10000, ramp))["cross_a"] for step in p["iterations"]]


def rates(i: Inputs, p: Inputs) -> list[float]:
    training = Training.model_construct(
        iterations=p["total"],
        epochs=None,
        optimiser=Optimiser(lr=p["start_lr"], momentum=0.9, weight_decay=0.0),
        schedule=Schedule(rule="poly", lag=-1, power=p["power"]),
    )
    return [TrainingSchedule(training, 1).learning_rate(step - 1) for step in p["iterations"]]  # they count from 1


def ranges(i: Inputs, p: Inputs) -> dict[str, list[list[int]]]:
    boxes = overlap((i["start_first"] - i["start_second"]).tolist(), p["patch"])
    return {
        crop: [[side.start, side.stop] for side in box] for crop, box in zip(("first", "second"), boxes, strict=True)
    }


def counts(i: Inputs, p: Inputs) -> dict[str, int]:
    kinds = {"vnet": "vnet", "unet": "unet3d"}
    return {name: count(build(kind, 1, p["n_classes"], "default", filters=16)) for name, kind in kinds.items()}


ADAPTERS = {
    f"{LOSSES}:semi_crc_loss": lambda i, p: confident_regions(
        i["inputs"], i["targets"], p["threshold"], p["neg_threshold"]
    ),
    f"{FOLDER}/train.py:Trainer.train_epoch (spatial_loss)": lambda i, p: translation([i["a"]], [i["b"]], SPACE),
    f"{FOLDER}/train.py:NegEntropy.__call__": lambda i, p: negative_entropy([i["a"], i["b"]]),
    f"{LOSSES}:dice_loss": lambda i, p: dice_squared_fg(i["logits"].softmax(1), i["label"]),
    f"{LOSSES}:ConsistencyWeight": weights,
    f"{FOLDER}/Utils/lr_scheduler.py:PolyLR": rates,
    f"{FOLDER}/Dataloader/augmentation.py:RandomCrop.__call__": ranges,
    f"{FOLDER}/Model/Vnet.py:VNet; Code/UnetBRATS/Model/Unet/Unet.py:UNet": counts,
}
