"""FLARE22: abdominal CT, 13 organs, 50 labelled scans and 2,000 unlabelled ones.

Ids are those of the label files; the challenge's text lists the organs in another order. GuidedNet's case names
(train_000 ..) are not official ones and no mapping is published, so its lists cannot be formed from the official files
without the authors' renaming.
"""

from pathlib import Path

from semiseg.dataset import Dataset, Organ, RawCase
from semiseg.errors import UserError
from semiseg.volume import read_nifti

IMAGE_ENDING = "_0000.nii.gz"
GET = (
    "join the challenge at https://flare22.grand-challenge.org and bring its folders images and labels "
    "(FLARE22_Tr_*_0000.nii.gz with FLARE22_Tr_*.nii.gz) and the unlabelled Case_*_0000.nii.gz"
)
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


def find(raw: Path) -> list[RawCase]:
    """Cases of the raw folder, wherever the archives were unpacked in it; UserError when there are none."""
    labels = {path.name: path for path in raw.rglob("*.nii.gz") if not path.name.endswith(IMAGE_ENDING)}
    cases = []
    for image in sorted(raw.rglob(f"*{IMAGE_ENDING}")):
        case = image.name.removesuffix(IMAGE_ENDING)
        label = labels.get(f"{case}.nii.gz")
        name = None if label is None else label.relative_to(raw).as_posix()
        cases.append(RawCase(case, image.relative_to(raw).as_posix(), name))
    if not cases:
        raise UserError(f"{raw} holds no *{IMAGE_ENDING}: {GET}")
    return cases


DATASET = Dataset(
    name="flare22",
    title="FLARE22: fast and low-resource abdominal organ segmentation",
    modality="CT",
    organs=ORGANS,
    licence="none stated with the archive; the challenge asks for research use",
    citation="Ma et al., The Lancet Digital Health 2024, Unleashing the strengths of unlabelled data (FLARE22)",
    source="https://flare22.grand-challenge.org",
    how_to_get=GET,
    find=find,
    read_image=read_nifti,
    read_label=read_nifti,
)
