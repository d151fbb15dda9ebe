"""CCL (qinyideng/ccl); a sample is a voxel, and all voxels take part in the contrast."""

from typing import Any

from steps.stage import Case, Given, Run, Tiny, make, of_modules, poly, training, watched

from semiseg.blocks.losses import cross_entropy

MODEL = {"fc": "head", "layer1": "layer1", "layer2": "layer2"}


def run(case: Case) -> dict[str, Any]:
    given, setting = Given(case), case["setting"]
    voxels = given.inputs["label"][0][0].numel() * max(setting["labelled_per_batch"], setting["unlabelled_per_batch"])
    method = make(
        "ccl",
        setting["classes"],
        lambda channels: Tiny(setting["filters"], channels),
        cross_entropy,
        weight=setting["weight"],
        cutoff=setting["cutoff"],
        complementary_fraction=setting["complementary_share"],
        temperature=setting["temperature"],
        dimension=setting["dimension"],
        labelled_samples=voxels,
        unlabelled_samples=voxels,
        ema_decay=setting["ema_decay"],
    )
    model = {official: f"network.{ours}" for official, ours in MODEL.items()}
    model |= {"fc1": "projection.0", "fc2": "projection.2"}
    ema = {official: f"teacher.{ours}" for official, ours in MODEL.items()}
    names = {"model": of_modules(method, model), "ema": of_modules(method, ema)}
    stage = Run(method, training(setting, {}, poly(setting["schedule"])), setting, names)
    stage.load(given.start)
    draws = [{"semiseg.methods.ccl.strong": [strong]} for strong in given.inputs["image_strong"]]
    seen: list[Any] = []
    with watched("semiseg.methods.ccl.confident_labels", seen.append):
        terms = {name: name for name in ("supervised", "fixmatch", "contrast")}
        losses = stage.steps(given.batches(), draws, terms)
    return stage.result(losses, case, {"confident_of_last_step": int(seen[-1][1].sum())})
