"""Synthetic abdominal CT with the thirteen organs of FLARE22: the embedded default, drawn where it is needed.

Every case has its own anatomy: body size, organ positions, sizes and turns, a smooth deformation, contrast phase, noise,
spacing, slice thickness and orientation; some have no gallbladder. Files look like FLARE22's.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semiseg.dataset import Dataset, Organ, RawCase
from semiseg.datasets import _layout

if TYPE_CHECKING:
    from semiseg.volume import Volume

ORGANS = (
    Organ(1, "liver", "Liv"),
    Organ(2, "right kidney", "R.kid"),
    Organ(3, "spleen", "Spl"),
    Organ(4, "pancreas", "Pan"),
    Organ(5, "aorta", "Aor"),
    Organ(6, "inferior vena cava", "IVC"),
    Organ(7, "right adrenal gland", "RAG"),
    Organ(8, "left adrenal gland", "LAG"),
    Organ(9, "gallbladder", "Gal"),
    Organ(10, "oesophagus", "Eso"),
    Organ(11, "stomach", "Sto"),
    Organ(12, "duodenum", "Duo"),
    Organ(13, "left kidney", "L.kid"),
)
