"""Organs that several collections share: ids as in the files of FLARE22, abbreviations as in the tables."""

from semiseg.dataset import Organ

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
