"""Label maps: which stored values are label ids. Every reader of a label map follows this one rule."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from semiseg.base.errors import UserError
from semiseg.base.volume import Array, Volume

NOISE = 1e-3  # how far a stored value may lie from the whole number that it stands for
ROUNDED = f"label values lie up to {NOISE:g} from whole numbers, they are rounded"
SHOWN = 5


def whole(volume: Volume, path: Path) -> Volume:
    """The label map with whole numbers as values, in its dtype; a rounded one has a note.

    A value within 0.001 of a whole number stands for it: scale factors and float arithmetic leave such noise. Raises
    UserError for any other value, NaN included. path: named in the error.
    """
    if volume.array.dtype.kind != "f":
        return volume
    rounded, is_exact = np.rint(volume.array), True
    for stored, plane in zip(np.moveaxis(volume.array, -1, 0), np.moveaxis(rounded, -1, 0), strict=True):
        with np.errstate(invalid="ignore"):  # infinity
            off = abs(stored - plane)
        if not (off <= NOISE).all():
            raise UserError(
                f"{path} has labels that are no integers ({shown(np.unique(stored[~(off <= NOISE)]))}): export it again"
            )
        is_exact &= not off.any()
    return volume if is_exact else replace(volume, array=rounded, notes=(*volume.notes, ROUNDED))


def shown(values: Array) -> str:
    """The first five values, each with all the digits that tell it from another one."""
    return ", ".join(f"{value}" for value in values[:SHOWN]) + (", ..." if len(values) > SHOWN else "")
