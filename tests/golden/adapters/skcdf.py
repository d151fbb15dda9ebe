"""Semantic knowledge complementarity based decoupling framework."""

from math import prod
from typing import Any

import torch
from adapters.backbones import count, shape
from stage import Holder
from support.facts import facts
from torch import Tensor

from semiseg.blocks.class_counts import class_counts
from semiseg.blocks.losses import cross_entropy, dice_linear_per_organ
from semiseg.learning.build import Facts, build_method
from semiseg.learning.inference import slide
from semiseg.learning.schedule import TrainingSchedule
from semiseg.methods.parts.skcdf_attention import LOCAL, AttentionBlock, ChannelAttention, to_volume
from semiseg.methods.parts.skcdf_balance import dice_ce, keep_chance, keep_ratio, masked_dice_ce
from semiseg.methods.parts.skcdf_decoders import Branch, transfer
from semiseg.methods.skcdf import SKCDF
from semiseg.params.config import Network, Optimiser, Ramp, Schedule, Training

Inputs = dict[str, Any]
ROOT = "SKCDF/code"
TRAIN, MODEL = f"{ROOT}/train_skcdf.py", f"{ROOT}/models/SKCDF.py"
OFFICIAL = (4, 8, 8)  # positions of the bottleneck for which the code's local attention is written
ORDERS = {"D": "D", "H->D": "H_l D", "D->H->H": "D H_l H_u", "H->H->D": "H_l H_u D", "H->D->H": "H_l D H_u"}


def method(run: Facts, filters: int = 1, **hyper: Any) -> SKCDF:
    built = build_method("skcdf", hyper, Network(name="vnet", filters=filters), None, run)
    assert isinstance(built, SKCDF)
    return built


def losses(i: Inputs, p: Inputs) -> dict[str, Tensor]:
    logits, labels = i["logits"], i["target"].squeeze(1)
    total, entropy = dice_ce(logits, labels), cross_entropy(logits, labels)
    return {"total": total, "dice_term": total - entropy, "ce_term": entropy}


def masked(i: Inputs, p: Inputs) -> dict[str, Tensor]:
    logits, mask = i["logits"].requires_grad_(), i["mask"].squeeze(1).bool()
    loss = masked_dice_ce(logits, i["target"].squeeze(1), mask, "logits")
    (gradient,) = torch.autograd.grad(loss, logits)
    outside = gradient * ~mask.unsqueeze(1)
    return {"loss": loss, "grad_l2": gradient.norm(), "grad_l2_on_masked_voxels": outside.norm()}


def ratio(i: Inputs, p: Inputs) -> dict[str, Tensor]:
    classes, cases = int(i["labels"].max()) + 1, p["num_sample"]
    voxels = class_counts(i["labels"], classes)
    run = Facts(voxels.tolist(), 1, (32, 32, 32), (32, 32, 32))
    return {"class_size": voxels[:cases].sum(0).long(), "ir2": method(run, counted_cases=cases).ratio}


def absent(i: Inputs, p: Inputs) -> dict[str, Tensor]:
    voxels = class_counts(i["labels"], p["num_cls"]).sum(0)
    return {"class_size": voxels.long(), "ir2_of_present_classes": keep_ratio(voxels)[voxels > 0]}


def chance(i: Inputs, p: Inputs) -> dict[str, Tensor]:
    chances = keep_chance(i["ir2"], p["epoch"] / p["max_epoch"])
    return {"ir22": chances, "prob_map": chances[i["pseudo_label"]]}


def schedules(i: Inputs, p: Inputs) -> dict[str, list[float]]:
    training = Training.model_construct(
        iterations=None,
        epochs=p["max_epoch"],
        extra_epochs=1,
        optimiser=Optimiser(lr=p["base_lr"], momentum=0.9, weight_decay=0.0),
        schedule=Schedule(rule="poly", per="epoch", lag=1, power=p["exponent"]),
        ramp=Ramp(per="epoch", lag=1),
    )
    schedule = TrainingSchedule(training, 1)
    ours = method(facts([1.0, 1.0], (32, 32, 32)), weight=p["cps_w"])
    return {
        "cps_w": [ours.weights(schedule.time(epoch))["pseudo"] for epoch in p["epochs"]],
        "lr": [schedule.learning_rate(epoch) for epoch in p["epochs"]],
    }


def branches(i: Inputs) -> dict[str, Branch]:
    """Branches whose modules are one parameter each: body, main head, auxiliary head; the body has statistics too."""
    found = {}
    for name, ours in (("labeled_decoder", "decoder_l"), ("unlabeled_decoder", "decoder_u")):
        found[ours] = Branch(*(Holder(value) for value in i[name]))
        found[ours].decoder.register_buffer("running_mean", i[name][0].clone())
    return found


def transferred(i: Inputs, order: str, decay: float) -> dict[str, Branch]:
    found = branches(i)
    transfer(order, found["decoder_l"], found["decoder_u"], decay)
    return found


def values(branch: Branch) -> list[Any]:
    return [holder.value for holder in branch if isinstance(holder, Holder)]


def one_transfer(i: Inputs, p: Inputs) -> dict[str, dict[str, Any]]:
    return {
        role: {
            **dict(zip(("body", "main_head", "aux_head"), values(branch), strict=True)),
            "running_mean": branch.decoder.running_mean,
        }
        for role, branch in transferred(i, SKCDF.transfer_order.default, p["ema_w"]).items()
    }


def five_orders(i: Inputs, p: Inputs) -> dict[str, dict[str, Tensor]]:
    return {
        name: {role: torch.stack(values(branch)) for role, branch in transferred(i, order, p["ema_w"]).items()}
        for name, order in ORDERS.items()
    }


def halves(rows: int, p: Inputs) -> int | None:
    """Number of labelled crops where crops attend to those of the other half, else None."""
    return rows // 2 if p["pred_type"] == "labeled" else None


def attention(i: Inputs, p: Inputs, *, local: bool) -> dict[str, Tensor]:
    ours = ChannelAttention(p["channels"], p["num_heads"], 0.0, local=local)
    ours.load_state_dict({name: weight for name, weight in i.items() if name != "emb"})
    grid = [side // of_patch for side, of_patch in zip(OFFICIAL, LOCAL, strict=True)] if local else [1]
    tokens = i["emb"].view(-1, prod(grid), *i["emb"].shape[1:]).requires_grad_()
    out = ours(tokens, halves(len(tokens), p))
    spatial = to_volume(out, grid, LOCAL).flatten(2).transpose(1, 2) if local else out.squeeze(1)
    found, half = {"out": spatial}, len(tokens) // 2
    parts = {"first": slice(half), "second": slice(half, None)}
    for of, of_rows in parts.items():
        (gradient,) = torch.autograd.grad(out[of_rows].square().sum(), tokens, retain_graph=True)
        for to, to_rows in parts.items():
            found[f"grad_of_{of}_half_out_wrt_{to}_half_in_l2"] = gradient[to_rows].norm()
    return found


def block(i: Inputs, p: Inputs, *, local: bool) -> Tensor:
    ours = AttentionBlock(p["channels"], i["token.weight"].shape[2:], p["num_heads"], 0.0, local=local)
    names = {"token": "embed", "attn_norm": "before", "ffn_norm": "after", "map_out": "mix"}
    names |= {name: f"attention.{name}" for name in ("q", "k", "v", "out")}
    parts = {name: name.rpartition(".") for name in i if name != "x"}
    ours.load_state_dict({f"{names[module]}.{weight}": i[name] for name, (module, _, weight) in parts.items()})
    output: Tensor = ours(i["x"], halves(len(i["x"]), p))
    return output


def sizes(i: Inputs, p: Inputs) -> dict[str, Any]:
    """The official token embedder has a second convolution of the same size, which it never uses; ours has none."""
    z, y, x = p["input"][2:]
    ours = method(facts([1.0] * p["n_classes"], (z, y, x)), p["n_filters"], heads=p["num_heads"])
    local, whole = ours.predictor.attention.local, ours.predictor.attention.whole  # type: ignore[union-attr]
    unused = [count(local.embed), count(whole.embed)]
    decoders = [sum(count(module) for module in branch if module) for branch in (ours.labelled, ours.unlabelled)]
    found = {
        "decoder_l": decoders[0],
        "decoder_u": decoders[1],
        "cross_attention_local": count(local) + unused[0],
        "cross_attention_global": count(whole) + unused[1],
    }
    narrow = method(facts([1.0] * p["n_classes"], (z, y, x))).eval()  # logits have the same shape
    with torch.no_grad():
        logits = narrow.unlabelled.logits(narrow.predictor.maps(torch.zeros(p["input"])))
    return {
        **found,
        "total": count(ours) + sum(unused),
        "unused_map_in": sum(unused),
        "encoder": count(ours) + sum(unused) - sum(found.values()),
        "out_shapes": shape(logits),
    }


def sliding(i: Inputs, p: Inputs) -> dict[str, Any]:
    calls = 0

    def network(windows: Tensor) -> Tensor:
        nonlocal calls
        calls += len(windows)
        planes = torch.arange(windows.shape[2]).view(-1, 1, 1).expand_as(windows)
        return torch.cat([windows, -windows, 0.1 + 0.05 * planes], 1).softmax(1)

    strides = (p["stride_z"], p["stride_xy"], p["stride_xy"])
    scores = slide(network, i["image"].unsqueeze(0), p["num_classes"], p["patch_size"], strides)
    counts = class_counts(scores.argmax(0, keepdim=True), p["num_classes"]).squeeze(0)
    return {"calls": calls, "label_counts": counts, "score": scores}


ADAPTERS = {
    f"{ROOT}/utils/loss.py:DC_and_CE_loss.forward": losses,
    f"{TRAIN}:main (L_sup, second term)": masked,
    f"{TRAIN}:main (class_size, ir2)": ratio,
    f"{TRAIN}:main (ir2)": absent,
    f"{TRAIN}:main (ir22, pseudo_label_abc_prob)": chance,
    f"{TRAIN}:get_current_consistency_weight + {ROOT}/utils/__init__.py:poly_lr": schedules,
    f"{TRAIN}:main (first three loops of an iteration)": one_transfer,
    f"{TRAIN}:main": five_orders,
    f"{MODEL}:Cross_Attention_Local.forward": lambda i, p: attention(i, p, local=True),
    f"{MODEL}:Cross_Attention_Global.forward": lambda i, p: attention(i, p, local=False),
    f"{MODEL}:Cross_Attention_Local_Block.forward": lambda i, p: block(i, p, local=True),
    f"{MODEL}:Cross_Attention_Global_Block.forward": lambda i, p: block(i, p, local=False),
    f"{MODEL}:VNet_Decouple_Attention_ABC": sizes,
    f"{ROOT}/utils/__init__.py:test_single_case": sliding,
    f"{ROOT}/utils/loss.py:SoftDiceLoss.forward (is_training=False)": lambda i, p: dice_linear_per_organ(
        i["pred_onehot"], i["label_onehot"].argmax(1), p["smooth"]
    ),
}
