"""A 3D array with its place in the patient's space."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class Volume:
    """A 3D image or label map in space.

    array: ``[x y z]`` in any dtype. affine: 4x4 float64, from voxel indices to RAS+ mm (voxel centres). notes: what a
    reader took for granted, one text for each default, because the file does not state it (docs/datasets.md).
    """

    array: Array
    affine: NDArray[np.float64]
    notes: tuple[str, ...] = ()

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Voxel size along each array axis, mm."""
        x, y, z = np.sqrt((self.affine[:3, :3] ** 2).sum(0))
        return float(x), float(y), float(z)
