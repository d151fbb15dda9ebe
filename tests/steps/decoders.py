"""What adapters of one encoder with several decoders share: official names of each part, and batches of one array."""

from collections.abc import Mapping

from steps.stage import Case, Given, of_modules, training

from semiseg.method import Batch, Method
from semiseg.network import Backbone
from semiseg.params.config import Training


def of_decoders(method: Method, heads: Mapping[str, tuple[str, str]], network: str = "network") -> dict[str, str]:
    """Official name -> our name of the encoder and of decoders.

    heads: official prefix of a decoder -> our decoder and our head. A decoder that enlarges maps without weights has
    the convolution and the norm of such a step one place later in the official list of layers.
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
        transposed = hasattr(method.get_submodule(f"{decoder}.up.0.0"), "weight")
        for ours, theirs in official.items():
            if ours.startswith("decoder."):
                place, name = decoder + ours.removeprefix("decoder"), theirs
                if ".up." in ours and not transposed:
                    stem, _, layer = theirs.rpartition(".")
                    name, place = f"{stem}.{int(layer) + 1}", f"{place}.1" if layer == "0" else place
                found[f"{prefix}.{name}"] = place
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
