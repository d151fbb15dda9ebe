"""Debiased Pseudo-Labeling."""

from typing import Any

from stage import cast, co_training_step
from torch import Tensor

from semiseg.methods.depl import updated_prior

Inputs = dict[str, Any]
CODE = "code/train_depl.py"


def method(logits: Tensor, **hyper: Any) -> Any:
    _, classes, z, y, x = logits.shape
    return cast("depl", "ce_dice_organs", classes, {}, patch=(z, y, x), **hyper)


def prior(logits: Tensor, momentum: float) -> Tensor:
    return updated_prior(method(logits).prior_a, logits, momentum)


def debiased(i: Inputs, p: Inputs) -> dict[str, Tensor]:
    ours = method(i["logits"], tau=p["tau"], threshold=0.9)  # the threshold stands in the name of what is expected
    ours.prior_a = prior(i["qhat_logits"], p.get("momentum", 0.5))  # 0.5 stands in the note
    scores = ours.scores("a", i["logits"])
    return {"prob": scores.softmax(1), "kept_at_0.9": ours.certain(scores).sum()}


def steps(i: Inputs, p: Inputs) -> list[dict[str, Tensor]]:
    hyper = {"weight": p["cps_w"], **{name: p[name] for name in ("tau", "threshold", "momentum")}}
    ours, found = method(i["logits_A"][0], **hyper), []
    for a, b in zip(i["logits_A"], i["logits_B"], strict=True):
        kept = {f"kept_{name.upper()}": ours.certain(ours.scores(name, o)).sum() for name, o in (("a", a), ("b", b))}
        found.append(kept | co_training_step(ours, {"logits_A": a, "logits_B": b, "label": i["label"]}, p))
    return found


ADAPTERS = {
    f"{CODE}:update_qhat": lambda i, p: prior(i["logits"], p["momentum"]),
    f"{CODE}:causal_inference": debiased,
    f"{CODE}:training loop": steps,
}
