"""Synthetic abdominal CT with three large organs: the phantom's scans with a task that is learned in a minute.

Contrast agent fills the kidneys and the stomach, so that both are brighter than bone, each in its own way.
"""

from typing import TYPE_CHECKING

from semiseg.dataset import Organ
from semiseg.datasets import phantom
from semiseg.datasets._synthetic import synthetic

if TYPE_CHECKING:
    from semiseg.base.volume import Volume
    from semiseg.params.data import GenerateOptions

ORGANS = (Organ(1, "liver", "Liv"), Organ(2, "kidneys", "Kid"), Organ(3, "stomach", "Sto"))
PARTS = {1: ("Liv",), 2: ("R.kid", "L.kid"), 3: ("Sto",)}  # label id here: the phantom's organs
KIDNEYS, STOMACH = 2, 3
KIDNEYS_HU = 300  # added: the kidneys of late scans, when they excrete the agent
STOMACH_HU = 750  # about this much everywhere: a stomach after barium


def draw_case(options: "GenerateOptions", index: int) -> tuple["Volume", "Volume"]:
    """Image and label map of the phantom's case, brighter in two organs; organs other than the three are background."""
    import numpy as np

    from semiseg.base.volume import Volume

    image, label = phantom.draw_case(options, index)
    ids = np.zeros(len(phantom.DATASET.organs) + 1, label.array.dtype)
    for number, names in PARTS.items():
        ids[[phantom.DATASET.organ(name).id for name in names]] = number
    organs, hu = ids[label.array], image.array.copy()
    hu[organs == KIDNEYS] += KIDNEYS_HU
    hu[organs == STOMACH] = STOMACH_HU + hu[organs == STOMACH] // 10
    return Volume(hu, image.affine), Volume(organs, label.affine)


DATASET = synthetic("phantom_three", "Phantom: synthetic abdominal CT with three large organs", "CT", ORGANS, draw_case)
