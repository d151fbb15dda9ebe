"""Synthetic abdominal CT with three large organs: the phantom's scans with a task that is learned in a minute."""

from typing import TYPE_CHECKING

from semiseg.dataset import Organ
from semiseg.datasets import phantom
from semiseg.datasets._synthetic import synthetic

if TYPE_CHECKING:
    from semiseg.base.volume import Volume
    from semiseg.params.config import GenerateOptions

ORGANS = (Organ(1, "liver", "Liv"), Organ(2, "kidneys", "Kid"), Organ(3, "stomach", "Sto"))
PARTS = {1: ("Liv",), 2: ("R.kid", "L.kid"), 3: ("Sto",)}  # label id here: the phantom's organs


def draw_case(options: "GenerateOptions", index: int) -> tuple["Volume", "Volume"]:
    """Image and label map of the phantom's case, the label map with three organs; all others are background."""
    import numpy as np

    from semiseg.base.volume import Volume

    image, label = phantom.draw_case(options, index)
    ids = np.zeros(len(phantom.DATASET.organs) + 1, label.array.dtype)
    for number, names in PARTS.items():
        ids[[phantom.DATASET.organ(name).id for name in names]] = number
    return image, Volume(ids[label.array], label.affine)


DATASET = synthetic("phantom_three", "Phantom: synthetic abdominal CT with three large organs", "CT", ORGANS, draw_case)
