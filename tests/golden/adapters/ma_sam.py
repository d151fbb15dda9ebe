"""MA-SAM."""

from typing import Any

import torch
from adapters.autosam import WIDTHS
from adapters.backbones import Inputs, count
from stage import at
from steps.stage import make
from torch import Tensor, nn

from semiseg.learning.schedule import TrainingSchedule
from semiseg.method import Method, total
from semiseg.methods.ma_sam import terms
from semiseg.methods.parts.ma_sam_network import AdaptedSam, FactoredProjection
from semiseg.networks.sam import Sam
from semiseg.params.config import Optimiser, Schedule, Training


def loss(i: Inputs, p: Inputs) -> dict[str, Tensor]:
    """Each slice as a stack of its own."""
    found = terms(i["logits"].unsqueeze(2), i["label"].unsqueeze(1))
    weights = method(dice_weight=p["dice_param"]).weights(at(0))
    return {"total": total(found, weights), "ce": found["cross_entropy"], "dice": found["dice"]}


def method(**hyper: Any) -> Method:
    """The method on a SAM of ours, which these cases do not reach."""
    return make("ma_sam", 2, lambda _: Sam(3, 2, 2), "half_ce_dice_all", **hyper)


def linear(weight: Tensor, bias: Tensor | None = None) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    layer.load_state_dict({"weight": weight} | ({} if bias is None else {"bias": bias}))
    return layer


def factored(i: Inputs, p: Inputs) -> Tensor:
    outer = linear(i["u"]), linear(i["v"])
    ours = FactoredProjection(linear(i["qkv_weight"], i["qkv_bias"]), outer, p["scale"], dropout=0.0)
    ours.query, ours.value = linear(i["q"]), linear(i["vv"])
    found: Tensor = ours(i["x"])
    return found


def rates(i: Inputs, p: Inputs) -> list[float]:
    """Rates that the script sets after these steps."""
    rule = Schedule(rule="poly", power=p["lr_exp"], warmup=p["warmup"], length=p["max_iterations"])
    optimiser = Optimiser(rule="adamw", lr=p["base_lr"], momentum=0.9, weight_decay=0.1)
    training = Training.model_construct(iterations=1, epochs=None, schedule=rule, optimiser=optimiser)
    schedule = TrainingSchedule(training, 1, method().rate_lag)
    return [schedule.learning_rate(step + 1) for step in p["iterations"]]


def sizes(i: Inputs, p: Inputs) -> dict[str, dict[str, int]]:
    """Parameters of the networks, without content."""
    ours: Any = method()
    rest = ours.adapter_channels, ours.factor_scale, ours.dropout
    found: dict[str, Any] = {}
    for name in ("vit_b", "vit_h"):
        with torch.device("meta"):
            sam = Sam(3, 2, WIDTHS[name])
            sam.resize(p["image_size"])
            network = AdaptedSam(sam, p["num_classes"] + 1, p["rank"], *rest)
        all_of_them = sum(each.numel() for each in network.parameters())
        found[name] = {"total": all_of_them, "trainable": count(network)}
    return found


ADAPTERS = {
    "MA-SAM/trainer.py:calc_loss; MA-SAM/utils.py:DiceLoss": loss,
    "MA-SAM/sam_fact_tt_image_encoder.py:_Fact_tt_qkv.forward": factored,
    "MA-SAM/trainer.py:trainer_run (lr_)": rates,
    "MA-SAM/sam_fact_tt_image_encoder.py:Fact_tt_Sam": sizes,
}
