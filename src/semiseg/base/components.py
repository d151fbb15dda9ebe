"""Connected components of label maps."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Whole = TypeVar("Whole", bound=np.integer)
REACH = {6: 1, 18: 2, 26: 3}  # number of neighbours -> axes along which two of them differ at most


def largest_components(labels: NDArray[Whole], neighbours: int = 26) -> NDArray[Whole]:
    """The label map ``[z y x]`` with the largest component of each class alone; other voxels become background (0).

    neighbours: voxels that touch one, 6, 18 or 26. Of equal components the one with the first voxel in the array's
    order is kept. Sources of the rule for one class: HiLab-git/DTC: code/test_util.py and DeepMed-Lab-ECNU/BCP:
    code/test_LA.py (26, which is the default of skimage.measure.label), BCP: code/pancreas/pancreas_utils.py (18).
    """
    structure = ndimage.generate_binary_structure(3, REACH[neighbours])
    kept = np.zeros_like(labels)
    for organ in np.unique(labels[labels > 0]):
        components, _ = ndimage.label(labels == organ, structure)
        kept[components == 1 + np.bincount(components.ravel())[1:].argmax()] = organ
    return kept
