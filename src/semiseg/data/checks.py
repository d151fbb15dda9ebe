"""Caveats of a raw case: what looks wrong and may be right. A caveat is a warning and never an error."""

from collections.abc import Sequence

from semiseg.dataset import Organ

AIR_HU = -200  # a CT with nothing below this holds neither air nor lung nor bowel gas
FINEST_MM, COARSEST_MM = 0.02, 20.0  # no scanner of patients makes finer or coarser voxels
DARKEST_MR = -500  # magnitude images start at 0, and normalised ones stay far above this


def suspicious_darkest(modality: str, darkest: float) -> bool:
    """Whether the darkest intensity of a scan contradicts its modality ("CT" in HU, "MRI" in grey values)."""
    return (modality == "CT" and darkest > AIR_HU) or (modality.startswith("MR") and darkest < DARKEST_MR)


def intensity_caveat(modality: str, low: float, high: float) -> str | None:
    """Warning about the intensity range of a scan of this modality, None where the range is usual."""
    if not suspicious_darkest(modality, low):
        return None
    if modality == "CT":
        return f"intensities of {low:g} to {high:g} have no air (-1000 HU) as CT has: check that it is CT in HU"
    return f"intensities of {low:g} to {high:g} look like CT in HU: check that it is MR"


def spacing_caveat(spacing_mm: Sequence[float]) -> str | None:
    """Warning about a spacing that no scanner of patients has, as of a wrong unit; None where it is usual."""
    if all(FINEST_MM <= length <= COARSEST_MM for length in spacing_mm):
        return None
    shown = " x ".join(f"{length:g}" for length in spacing_mm)
    return f"spacing of {shown} mm is unusual: check the unit of length in its header"


def organ_caveat(organs: Sequence[Organ], voxels: Sequence[int]) -> str | None:
    """Warning that label ids may mean other organs, because an organ is larger than the liver; None otherwise.

    The liver is the largest organ of the abdomen. voxels: count per label id, background first.
    """
    liver = next((organ for organ in organs if organ.name == "liver"), None)
    if liver is None or not voxels[liver.id]:
        return None
    largest = max(organs, key=lambda organ: voxels[organ.id])
    if largest.id == liver.id:
        return None
    return (
        f"{largest.name} ({voxels[largest.id]} voxels) is larger than liver ({voxels[liver.id]}): "
        "check that the label ids are this dataset's"
    )
