"""What each scoring rule does, in sentences, beside the rules themselves (``rules.py``)."""

OVER_RUNS = "± is the population SD over runs."
OVER_CASES = "± is the population SD over cases."
BOOTSTRAP = (
    "± is the population SD of 100 means of as many test cases, drawn with replacement by numpy's legacy generator,"
    " seed 0 (CRLN); the means here are of all cases, those of CRLN's print are the means of its 100."
)
RULE_TEXTS = {
    "la": (
        "Measured on the prepared grid, distances in voxels; ASD is directed, from the prediction's surface to the"
        " truth's, and 95HD pools both directions. An empty prediction or an empty truth counts as 0 in every metric, a"
        f" distance of 0 included. Means over cases; {OVER_CASES}"
    ),
    "guidednet": (
        "Measured on the prepared grid; the rule has no distances. An organ's Dice is the mean over the cases that"
        " contain it, and a missed organ counts as 0; mean Dice is the mean over organs. Jaccard is averaged per case"
        f" over the organs that are present or predicted, then over cases. {OVER_RUNS}"
    ),
    "dhc": (
        "Measured on the prepared grid, distances in voxels, ASD directed from prediction to truth. An organ that is"
        " neither present nor predicted counts as a Dice of 1 % (the official code puts a 1 on a scale to 100) and"
        " an ASD of 0; one that is only present or only predicted as a Dice of 0 and an ASD of 128. Means over cases,"
        f" then over organs; the rule has no Jaccard and no 95HD. {OVER_RUNS}"
    ),
    "sound": (
        "Measured on the raw image's grid, distances in mm and symmetric. An organ that a case does not contain is left"
        " out and counted as absent; one that is present but not predicted is counted as missed, with a Dice of 0 and"
        f" the image's diagonal as distance. Means over cases, then over organs; {OVER_CASES}"
    ),
}
# Rules under which a missed organ has distance 0, the best one; a test holds them to what the rules compute.
MISSED_IS_ZERO = frozenset({"la"})


def rule_text(rule: str, spread_over: str | None = None) -> str:
    """Grid, empty organs, unit of distances, order of averaging and meaning of the spread of a scoring rule.

    spread_over: what the spreads of a table are over; default: what the rule says.
    """
    text = RULE_TEXTS[rule]
    if spread_over == "bootstrap":
        return text.replace(OVER_CASES, BOOTSTRAP).replace(OVER_RUNS, BOOTSTRAP)
    return text
