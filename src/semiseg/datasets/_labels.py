"""Mapping of stored label values to organ ids; an unknown value is refused."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from semiseg.base.errors import UserError

if TYPE_CHECKING:
    from semiseg.base.volume import Volume


def remapped(volume: "Volume", path: Path, ids: Mapping[int, int], hint: str = "fetch it again") -> "Volume":
    """The label map (uint8) with each stored value replaced by ``ids[value]``.

    Raises UserError for values that are not whole numbers (``semiseg.data.labels``), and for those that are not in
    ``ids``, because after the mapping they could be organ ids.
    """
    from dataclasses import replace

    import numpy as np

    from semiseg.data.labels import shown, whole

    volume = whole(volume, path)
    array = np.zeros(volume.array.shape, np.uint8)
    known = np.zeros(volume.array.shape, bool)
    for stored, organ in ids.items():
        here = volume.array == stored
        known |= here
        if organ:
            array[here] = organ
    if not known.all():
        unknown = shown(np.unique(volume.array[~known]))
        raise UserError(f"{path} has label values {unknown}, expected {', '.join(map(str, ids))}: {hint}")
    return replace(volume, array=array)
