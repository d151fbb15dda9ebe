"""What looks wrong in a raw case yet may be right: told, never refused."""

from collections.abc import Sequence

from semiseg.dataset import Organ

AIR_HU = -200  # a CT with nothing below this holds neither air nor lung nor bowel gas
DARKEST_MR = -500  # magnitude images start at 0, and normalised ones stay far above this


def odd_intensities(modality: str, low: float, high: float) -> str | None:
    """What is odd about the range of a scan of this modality ("CT" in HU, "MRI" in grey values), else None."""
    if modality == "CT" and low > AIR_HU:
        return f"intensities of {low:g} to {high:g} have no air (-1000 HU) as CT has: check that it is CT in HU"
    if modality.startswith("MR") and low < DARKEST_MR:
        return f"intensities of {low:g} to {high:g} look like CT in HU: check that it is MR"
    return None


def odd_organs(organs: Sequence[Organ], voxels: Sequence[int]) -> str | None:
    """Whether label ids seem to mean other organs: the liver is the largest organ of the abdomen, else None.

    voxels: count per label id, background first.
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
