"""CAC4SSL (SmileJET/CAC4SSL)."""

from typing import Any

from steps.decoders import counted_before, of_decoders
from steps.stage import Case, Given, Run, backbone, make, of_modules

from semiseg.method import Method

HEADS = {"decoder": ("network.decoder", "network.head"), "decoder_contour": ("contour.decoder", "contour.head")}
SCALE_HEADS = {"decoder": "heads", "decoder_contour": "contour.heads"}


def run(case: Case) -> dict[str, Any]:
    given, setting = Given(case), case["setting"]
    shapes = dict(case["networks"]["model"]["parameters"])
    method = make(
        "cac4ssl",
        shapes["decoder.out_conv.weight"][0],
        backbone("vnet", shapes["encoder.block_one.conv.0.weight"][0]),
        "half_ce_dice_fg",
        weight=setting["consistency"],
        supervised_weight=setting["seg_weight"],
        samples=setting["samples_per_image"],
        dimension=setting["embedding_channels"],
        temperature=setting["temperature"],
    )
    done = {**setting, "step": setting["step"] - 1}  # the script has counted the step
    stage = Run(method, counted_before(setting, "learning_rate"), done, {"model": names(method)})
    stage.load(given.start)
    terms = {"seg": "supervised", "consist": "consistency", "contrast": "contrast"}
    losses = stage.steps(given.batches(), given.by_step(rand="anchor_scores"), terms)
    return stage.result(losses, case, {"consistency_weight_of_last_step": stage.weight("consistency")})


def names(method: Method) -> dict[str, str]:
    """Official name -> our name of the encoder, and of the decoders with their heads."""
    found = of_decoders(method, HEADS)
    for official, ours in SCALE_HEADS.items():
        modules = method.get_submodule(ours).official_modules()  # type: ignore[operator]
        found |= of_modules(method, {f"{official}.{name}": f"{ours}.{module}" for module, name in modules.items()})
    return found
