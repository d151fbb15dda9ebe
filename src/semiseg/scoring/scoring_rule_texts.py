"""What each scoring rule does, in sentences, beside the rules themselves (``rules.py``)."""

RULE_TEXTS = {
    "la": (
        "Measured on the prepared grid, distances in voxels; ASD is directed, from the prediction's surface to the"
        " truth's, and 95HD pools both directions. An empty prediction or an empty truth counts as 0 in every metric, a"
        " distance of 0 included. Means over cases; ± is the population SD over cases."
    ),
    "guidednet": (
        "Measured on the prepared grid; the rule has no distances. An organ's Dice is the mean over the cases that"
        " contain it, and a missed organ counts as 0; mean Dice is the mean over organs. Jaccard is averaged per case"
        " over the organs that are present or predicted, then over cases. ± is the population SD over runs."
    ),
    "dhc": (
        "Measured on the prepared grid, distances in voxels, ASD directed from prediction to truth. An organ that is"
        " neither present nor predicted counts as a Dice of 1 % (the official code puts a 1 on a scale to 100) and"
        " an ASD of 0; one that is only present or only predicted as a Dice of 0 and an ASD of 128. Means over cases,"
        " then over organs; the rule has no Jaccard and no 95HD. ± is the population SD over runs."
    ),
    "sound": (
        "Measured on the raw image's grid, distances in mm and symmetric. An organ that a case does not contain is left"
        " out and counted as absent; one that is present but not predicted is counted as missed, with a Dice of 0 and"
        " the image's diagonal as distance. Means over cases, then over organs; ± is the population SD over"
        " cases."
    ),
}


def rule_text(rule: str) -> str:
    """Grid, empty organs, unit of distances, order of averaging and meaning of the spread of a scoring rule."""
    return RULE_TEXTS[rule]
