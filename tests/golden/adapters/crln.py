"""Cooperative rectification learning."""

from typing import Any
from unittest import mock

import torch
from adapters.backbones import count, shape
from stage import Holder, at, batch, cast
from torch import Tensor, nn

from semiseg.blocks import ema
from semiseg.blocks.box_mix import limits
from semiseg.blocks.losses import dice_squared_fg
from semiseg.learning.schedule import TrainingSchedule
from semiseg.method import total
from semiseg.methods.crln import CRLN, share_weighted
from semiseg.methods.parts.crln_contrast import contrast, voxel_sets
from semiseg.methods.parts.crln_interaction import Interaction, PairAttention
from semiseg.methods.parts.crln_network import InteractingNetwork, Outputs
from semiseg.methods.parts.crln_strong_view import zoom
from semiseg.network import Backbone, build
from semiseg.params.config import Optimiser, Schedule, Training
from semiseg.scoring.bootstrap import resampled

Inputs = dict[str, Any]
LOOP = "VnetLA/train_semisup.py:training loop"
MODEL, MODULES = "VnetLA/Model/Vnet.py", "VnetLA/module_list.py"
BINARY = 2
AFTER = at(99)  # S
UNUSED = {"la": 50304, "pancreas": 50304}  # parameters of a projector that is never used, and that ours do not have
NETWORKS = {"la": ("vnet", (112, 112, 80)), "pancreas": ("vnet", (96, 96, 96)), "brats": ("unet3d_crln", (96, 96, 96))}


class Given(nn.Module):
    """A network that has one output for every image."""

    interaction = None

    def __init__(self, found: Outputs) -> None:
        super().__init__()
        self.found = found

    def forward(self, images: Tensor, represent: bool, interact: bool) -> Outputs:
        return self.found if interact else self.found._replace(map=None)


def method(filters: int = 1, **hyper: Any) -> CRLN:
    built = cast("crln", "half_ce_dice_fg", BINARY, {}, filters=filters, **hyper)
    assert isinstance(built, CRLN)
    return built


def of_outputs(i: Inputs, **hyper: Any) -> CRLN:
    """The method whose networks give the logits and the map of a case."""
    ours = method(prototypes=1, positive="none", brightness=False, **hyper)
    found = Outputs(i["logits"], None, i["mm"])
    ours.student, ours.predictor.teacher = Given(found), Given(found)  # type: ignore[assignment]
    return ours


def supervised(i: Inputs, p: Inputs) -> Tensor:
    ours = of_outputs(i)
    terms = ours.losses(batch(i["label"], 2 * len(i["label"])), at(0))
    return total(terms, {**ours.weights(at(0)), "pseudo": 0.0})


@torch.no_grad()
def corrected(i: Inputs, p: Inputs) -> dict[str, Tensor]:
    ours = of_outputs(i)
    ours.predictor.correct.mu.fill_(p["mu"])  # type: ignore[operator, union-attr]
    confidence = ours.pseudo_labels(torch.zeros(1), AFTER).confidence
    return {"rectified": ours.predictor(torch.zeros(1)), "confidence": confidence}


def of_mu(i: Inputs, p: Inputs) -> dict[str, Any]:
    ours = of_outputs(i)
    mu: Any = ours.predictor.correct.mu
    nn.init.constant_(mu, p["mu"])
    ours.seen = batch(i["label"], len(i["label"]))
    loss = ours.adversary_losses(ours.seen, at(0))["correction"]
    return {"loss": loss, "grad_mu": torch.autograd.grad(loss, mu)[0].item()}


def ids_of(i: Inputs) -> Tensor:
    return torch.where(i["mask"].squeeze(1) > 0, i["label_onehot"].argmax(1), i["label_onehot"].shape[1])


def collaborative(i: Inputs, p: Inputs, ours: CRLN, epoch: int) -> Tensor:
    with mock.patch("torch.rand", side_effect=[i["anchor_u"], i["negative_u"]]):
        return contrast(
            i["rep"],
            ids_of(i),
            i["prob"],
            lambda means: ours.positives(means, at(epoch)),
            threshold=p["strong_threshold"],
            temperature=p["temp"],
            anchors=p["num_queries"],
            negatives=p["num_negatives"],
        )


def after(i: Inputs, p: Inputs) -> dict[str, Tensor]:
    _, _, number, width = i["prototypes"].shape
    ours = method(width // 4, prototypes=number, xi=p["xi"])
    interaction = ours.predictor.teacher.interaction
    assert interaction is not None
    interaction.prototypes.copy_(i["prototypes"])
    i["rep"].requires_grad_()
    loss = collaborative(i, p, ours, ours.start + 1)
    return {"loss": loss, "grad_rep": torch.autograd.grad(loss, i["rep"])[0]}


def sizes(i: Inputs, p: Inputs) -> dict[str, Tensor]:
    valid, hard = voxel_sets(ids_of(i), i["prob"], p["strong_threshold"])
    return {"hard": hard.sizes, "valid": valid.sizes}


@torch.no_grad()
def attention(i: Inputs, p: Inputs) -> dict[str, Tensor]:
    ours = PairAttention(p["F"])
    names = {"fc_q": "query", "fc_kv": "key_value", "proj": "projection"}
    ours.load_state_dict(
        {f"{own}.{each}": i[f"{official}.{each}"] for official, own in names.items() for each in ("weight", "bias")}
    )
    found, scores = ours(i["query"], i["tokens"])
    return {"query_out": found, "scores": scores}


def named(ours: Interaction) -> dict[str, str]:
    """Official name -> our name of every weight, in the official order: list by list of modules, level by level."""
    modules = ours.official_modules()
    lists = list(dict.fromkeys(official.split(".")[0] for official in modules.values()))
    found = {"class_prototype": "prototypes"}
    for module, official in sorted(
        modules.items(), key=lambda pair: (lists.index(pair[1].split(".")[0]), pair[1].split(".")[1])
    ):
        found |= {f"{official}.{name}": f"{module}.{name}" for name, _ in ours.get_submodule(module).named_parameters()}
    return found


@torch.no_grad()
def interaction(i: Inputs, p: Inputs) -> Tensor:
    ours = Interaction(p["channels"], p["resolutions"], p["classes"], p["R"])
    own = ours.state_dict()
    for official, name in named(ours).items():
        own[name].copy_(i[f"param:{official}"])
    maps: Tensor = ours.eval()([i["feat2"], i["feat3"]])
    return maps


def untrained(i: Inputs, p: Inputs) -> list[str]:
    ours = Interaction([8, 4], [[2, 2, 2], [4, 4, 4]], BINARY, 3)
    nn.init.normal_(ours.prototypes)
    ours([torch.randn(2, 8, 2, 2, 2), torch.randn(2, 4, 4, 4, 4)]).sum().backward()
    weights = dict(ours.named_parameters())
    return [official for official, name in named(ours).items() if weights[name].grad is None]


def rates(i: Inputs, p: Inputs) -> list[float]:
    training = Training.model_construct(
        iterations=None,
        epochs=p["epochs"],
        optimiser=Optimiser(lr=p["base_lr"], momentum=0.9, weight_decay=0.0),
        schedule=Schedule(rule="poly", per="epoch", power=p["power"]),
    )
    schedule = TrainingSchedule(training, 200)
    return [schedule.learning_rate(epoch * schedule.steps_per_epoch) for epoch in p["epochs_listed"]]


def averaged(i: Inputs, p: Inputs) -> list[float]:
    teacher, found = Holder(torch.zeros(())), []
    for step in range(5):
        ema.update(teacher, Holder(torch.tensor(step + 1.0)), ema.warm_alpha(step, p["alpha"]))
        found.append(teacher.value.item())
    return found


def zoomed(i: Inputs, p: Inputs) -> dict[str, Tensor]:
    view = zoom(i["image"][None], i["label"], i["conf"], p["scale"])
    return {"image": view.images[0], "label": view.labels, "confidence": view.confidence}


def boxes(i: Inputs, p: Inputs) -> list[list[int]]:
    _, _, height, width, _ = p["size"]
    ends = [[limits(at, side, p["lam"]) for at in i[name].tolist()] for name, side in (("cx", height), ("cy", width))]
    return [[box[end] for box in axis] for end in (0, 1) for axis in ends]


def spread(i: Inputs, p: Inputs) -> dict[str, Any]:
    means = resampled(i["per_case_metrics"].numpy(), p["resamples"], p["seed"])
    return {"mean": means.mean(0), "std": means.std(0)}


def network(backbone: Backbone, patch: tuple[int, int, int], prototypes: int, classes: int) -> InteractingNetwork:
    return InteractingNetwork(backbone, classes, prototypes, patch, "sa_ci_cr", represents=True, interacts=True)


def counts(i: Inputs, p: Inputs) -> dict[str, list[int]]:
    found, classes = {}, p["n_classes"]
    for name, (kind, patch) in NETWORKS.items():
        backbone = build(kind, 1, classes, "default", filters=16)
        sizes = [count(network(backbone, patch, number, classes)) for number in p["R"]]
        found[name] = [size + UNUSED.get(name, 0) for size in sizes]
    return found


def shapes(i: Inputs, p: Inputs) -> Any:
    with torch.device("meta"):  # sizes without numbers
        backbone = build("vnet", 1, BINARY, "default", filters=16)
        ours = network(backbone, tuple(p["input"][2:]), p["R"], BINARY)
        found = ours(torch.zeros(p["input"]), represent=True, interact=True)
    assert ours.interaction is not None
    return shape([*found, ours.interaction.prototypes])


ADAPTERS = {
    f"{MODULES}:compute_unsupervised_loss": lambda i, p: share_weighted(
        i["logits"], i["target"], i["confidence"], p["strong_threshold"]
    ),
    "VnetPancreas/utilsm/loss.py:dice_loss": lambda i, p: dice_squared_fg(
        i["logits"].softmax(1), i["label"], p["smooth"]
    ),
    f"{LOOP} (sup_loss)": supervised,
    f"{MODEL}:opmoudle.forward": corrected,
    f"{LOOP} (op_loss)": of_mu,
    f"{MODULES}:compute_cps_loss#cps_loss_before_S": lambda i, p: collaborative(i, p, method(), 0),
    f"{MODULES}:compute_cps_loss#cps_loss_after_S": after,
    f"{MODULES}:compute_cps_loss#cps_sets_sizes": sizes,
    f"{MODEL}:Pair_Attention.forward": attention,
    f"{MODEL}:Dynamicinteraction.forward#forward": interaction,
    f"{MODEL}:Dynamicinteraction.forward#no_gradient": untrained,
    f"{MODULES}:PolyLR": rates,
    f"{MODULES}:EMA.update": averaged,
    f"VnetLA/build_data.py:transform_u after {MODULES}:tensor_to_pil": zoomed,
    f"{MODULES}:rand_bbox": boxes,
    "VnetLA/boot_tsne2.py:bootstrap_evaluation": spread,
    f"{MODEL}:VNet; VnetPancreas/Model/Vnet.py:VNet; UnetBRATS/Model/Unet.py:UNet"
    " (BRATS at commit 709bb0f3a0e8906453258bf53d16cef26bb2c919)": counts,
    f"{MODEL}:VNet.forward": shapes,
}
