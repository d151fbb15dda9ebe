"""CAML."""

from dataclasses import replace
from typing import Any

import torch
from adapters.backbones import count, shape
from stage import Speaker, at, batch, cast, clock
from torch import Tensor, nn

from semiseg.method import TrainingTime, total
from semiseg.methods.caml import CAML
from semiseg.methods.parts.caml_memory import (
    EMPTY,
    FeatureMemory,
    correlation_loss,
    correlations,
    most_probable,
)
from semiseg.network import build
from semiseg.networks.vnet_attention import Among, SampleAttention
from semiseg.params.config import Ramp

Inputs = dict[str, Any]
LOOP = "code/train_caml.py"
MATRIX = "code/utils/correlation.py:cal_correlation_matrix"
NETWORK = "code/networks/VNet.py"
BINARY = 2
LENGTHS = (15.0, 20.0, 40.0)  # of the ramps of the published runs


class Twice(nn.Module):
    """A projection that doubles."""

    def forward(self, rows: Tensor) -> Tensor:
        return 2 * rows


def method(networks: dict[str, nn.Module], filters: int = 1, classes: int = BINARY, **hyper: Any) -> Any:
    return cast("caml", "half_ce_dice_fg", classes, networks, filters=filters, **hyper)


def speaking(i: Inputs, feature_v: Tensor, feature_a: Tensor, **hyper: Any) -> Any:
    """The method whose networks give these logits and last maps, without prediction heads."""
    networks: dict[str, nn.Module] = {
        "vanilla": Speaker(i["logits_v"], features=feature_v),
        "auxiliary": Speaker(i["logits_a"], features=feature_a),
        "projection_vanilla": nn.Identity(),
        "projection_auxiliary": Twice(),
        "prediction_vanilla": nn.Identity(),
        "prediction_auxiliary": nn.Identity(),
    }
    return method(networks, classes=i["logits_v"].shape[1], **hyper)


def rows(i: Inputs, features: Tensor, p: Inputs) -> tuple[Tensor, Tensor | None]:
    """The places that are correlated, and the correlations of the features with the memory."""
    size, temperature = p.get("num_filtered", CAML.filtered.default), p.get("temperature", CAML.temperature.default)
    places = most_probable(i["prob"], i["label"], len(i["memory"]), size)
    return places, correlations(features[places], i["memory"], temperature)


def omni(i: Inputs, p: Inputs) -> dict[str, Any]:
    v, a = i["features_v"].requires_grad_(), i["features_a"].requires_grad_()
    _, of_v = rows(i, v, p)
    _, of_a = rows(i, a, p)
    loss = correlation_loss(of_v, of_a)
    loss.backward()
    assert of_v is not None
    found = {"corr_v": of_v, "corr_a_shape": shape(of_a), "loss_o": loss}
    return {**found, "grad_v_l2": v.grad.norm(), "grad_a_l2": a.grad.norm()}


def segmentation(i: Inputs, p: Inputs) -> dict[str, Any]:
    v, a = i["logits_v"].requires_grad_(), i["logits_a"].requires_grad_()
    feature = torch.zeros_like(v[:, :1])
    ours = speaking(i, feature, feature, temperature=p["temperature"])
    terms = ours.losses(batch(i["label"][: p["labeled_bs"]], len(v)), at(0))
    total(terms, ours.weights(at(0))).backward()
    return {
        "loss_s": terms["supervised"],
        "loss_c": terms["consistency"],
        "grad_v_l2": v.grad.norm(),
        "grad_a_l2": a.grad.norm(),
    }


def selection(i: Inputs, p: Inputs) -> dict[str, Any]:
    labelled, voxels = p["labeled_bs"], i["label"][0].numel()
    ours = speaking(i, i["embedding_v"], i["embedding_a"])
    ours.memory = FeatureMemory(labelled, voxels, i["embedding_v"].shape[1], voxels)
    slots = torch.arange(labelled)[:, None].expand(-1, 4)
    ours.losses(replace(batch(i["label"][:labelled], len(i["label"])), labelled_origin=slots), at(0))
    kept = ours.memory.classes != EMPTY
    return {
        "voxels": kept.sum(1),
        "foreground": (ours.memory.classes == 1).sum(1),
        **{f"features_{slot}": ours.memory.features[slot, kept[slot]] for slot in range(labelled)},
    }


def attention(i: Inputs, p: Inputs, among: Among) -> dict[str, Any]:
    weights = {name: value for name, value in i.items() if name != "feature"}
    ours = SampleAttention(among, p["dim"], p["heads"], p["ff"])
    ours.layer.load_state_dict(weights)
    for module in ours.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    ours.layer.self_attn.dropout = 0.0
    found = ours(i["feature"])
    return {"out": found, "identity_in_eval": torch.equal(ours.eval()(i["feature"]), i["feature"])}


def sizes(i: Inputs, p: Inputs) -> dict[str, Any]:
    ours = method({}, filters=16)
    ours.vanilla, ours.auxiliary = (
        build(name, 1, BINARY, "default", filters=16) for name in ("vnet", "vnet_attention")
    )
    v, a = ours.vanilla, ours.auxiliary
    image = torch.zeros(1, 1, 32, 32, 16)
    features = [network.features(image)[-1] for network in (v, a)]
    attention = {f"cma_{name}": count(a.get_submodule(name)) for name in ("intra", "inter")}
    return {
        "total": count(ours),
        "encoder_v": count(v.encoder) + count(v.down),
        "encoder_a": count(a.encoder) + count(a.down) + sum(attention.values()),
        "decoder_v": count(v.decoder) + count(v.head),
        "decoder_a": count(a.decoder) + count(a.head),
        **attention,
        "each_projection_head": count(ours.projection_vanilla),
        "each_prediction_head": count(ours.prediction_auxiliary),
        "out_shapes": shape([v.head(features[0]), a.head(features[1]), *features]),
    }


def after(steps: int, length: float) -> TrainingTime:
    """The clock of the script in its step number ``steps``, counted from 1."""
    return clock(steps - 1, steps, Ramp(every=150, length=int(length), lag=-1))


def ramp(i: Inputs, p: Inputs) -> dict[str, list[float]]:
    ours = method({})
    return {
        f"R{length}": [ours.weights(after(steps, length))["consistency"] for steps in p["iters"]] for length in LENGTHS
    }


ADAPTERS = {
    f"{MATRIX} + {LOOP}:training loop (loss_o)": omni,
    f"{MATRIX}#omni_unavailable": lambda i, p: rows(i, i["features"], p)[1] is not None,
    f"{MATRIX}#omni_single_row_class": lambda i, p: rows(i, i["features"], p)[1],
    f"{LOOP}:training loop (loss_s, loss_c)": segmentation,
    f"{LOOP}:training loop (labels_correct_list)": selection,
    f"{NETWORK}:InterSampleAttention.forward": lambda i, p: attention(i, p, "volumes"),
    f"{NETWORK}:IntraSampleAttention.forward": lambda i, p: attention(i, p, "positions"),
    f"{NETWORK}:CAML3d_v1": sizes,
    f"{LOOP}:get_lambda_c": ramp,
}
