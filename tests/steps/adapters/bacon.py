"""BaCon (fqhank/AAAI24-BaCon-CISSL); a sample is a voxel, and all voxels take part in the contrast."""

from typing import Any

from steps.stage import Case, Given, Run, Tiny, make, of_modules, poly, training, watched

from semiseg.blocks.losses import cross_entropy
from semiseg.methods.bacon import BaCon
from semiseg.methods.parts.bacon_contrast import Samples

MODEL = {"aux_classifier": "head", "backbone.layer1": "layer1", "backbone.layer2": "layer2"}


def run(case: Case) -> dict[str, Any]:
    given, setting = Given(case), case["setting"]
    voxels = given.inputs["label"][0][0].numel() * max(setting["labelled_per_batch"], setting["unlabelled_per_batch"])
    method = make(
        "bacon",
        setting["classes"],
        lambda channels: Tiny(setting["filters"], channels),
        cross_entropy,
        setting["labelled_voxels"],
        balanced_weight=setting["balanced_weight"],
        contrast_weight=setting["contrast_weight"],
        contrast_from=setting["contrast_after"] / setting["iterations"],
        cutoff=setting["cutoff"],
        contrast_cutoff=setting["contrast_cutoff"],
        count_by="logit",
        dimension=setting["dimension"],
        samples=voxels,
        momentum=0.0,
        ema_decay=setting["ema_decay"],
    )
    assert isinstance(method, BaCon)
    model = {official: f"network.{ours}" for official, ours in MODEL.items()}
    model |= {"backbone.fc": "classifier", "projection.0": "projection"}
    ema = {official: f"teacher.{ours}" for official, ours in MODEL.items()}
    names = {"model": of_modules(method, model), "ema": of_modules(method, ema)}
    stage = Run(method, training(setting, {}, poly(setting["schedule"])), setting, names)
    stage.load(given.start)
    if given.inputs["centre"] is not None:
        method.centres.vectors[:, 0] = given.inputs["centre"]
        method.centres.written.fill_(1)
    uniform = zip(given.draws["bernoulli_labelled"], given.draws["bernoulli_unlabelled"], strict=True)
    draws = [
        {"torch.rand_like": numbers, "semiseg.methods.bacon.strong": [strong]}
        for numbers, strong in zip(uniform, given.inputs["image_strong"], strict=True)
    ]
    seen: list[Samples] = []
    with watched("semiseg.methods.parts.bacon_contrast.as_samples", seen.append):
        terms = {name: name for name in ("supervised", "fixmatch", "balanced", "contrast")}
        losses = stage.steps(given.batches(), draws, terms)
    state = {"sure_of_last_step": int((seen[-1].confident & seen[-1].valid).sum())}
    if setting["frequency"]:
        state["class_frequency"] = method.frequency
    return stage.result(losses, case, state)
