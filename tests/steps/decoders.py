"""What adapters of one encoder with several decoders share: official names of each part, and batches of one array."""

from collections.abc import Mapping

from steps.stage import Case, Given, of_modules, training

from semiseg.method import Batch, Method
from semiseg.network import Backbone
from semiseg.params.config import Training


def of_decoders(method: Method, heads: Mapping[str, tuple[str, str]], network: str = "network") -> dict[str, str]:
    """Official name -> our name of the encoder and of decoders.

    heads: official prefix of a decoder -> our decoder and our head.
    """
    backbone = method.get_submodule(network)
    assert isinstance(backbone, Backbone)
    official = backbone.official_modules()
    found = {
        f"encoder.{theirs}": f"{network}.{ours}"
        for ours, theirs in official.items()
        if not ours.startswith(("decoder.", "head"))
    }
    for prefix, (decoder, head) in heads.items():
        modules = method.get_submodule(decoder).official_modules()  # type: ignore[operator]
        found |= {f"{prefix}.{theirs}": f"{decoder}.{ours}" for ours, theirs in modules.items()}
        found[f"{prefix}.{official['head']}"] = head
    return of_modules(method, found)


def first_rows(given: Given, count: int) -> list[Batch]:
    """Batches whose first ``count`` rows are labelled; labels of the others are not handed on."""
    steps = zip(given.inputs["images"], given.inputs["labels"], strict=True)
    return [Batch(images[:count], labels[:count].long(), images[count:]) for images, labels in steps]


def half_batches(given: Given) -> list[Batch]:
    """Batches whose first half of rows is labelled."""
    return first_rows(given, len(given.inputs["images"][0]) // 2)


def counted_before(setting: Case, lr: str) -> Training:
    """A constant rate, and a ramp that the script reads after it has counted the step."""
    ramp = {"every": setting["iterations_per_ramp_unit"], "length": setting["rampup"], "lag": -1}
    return training(setting, ramp, {"rule": "constant"}, lr)
