"""What the columns of the site mean: shown when a header is pointed at or focused, and read out by screen readers."""

from semiseg.report.site.data import WORDS
from semiseg.scoring.scoring_rule_texts import RULE_TEXTS

DEFINITIONS = {
    "method": "The row: a method, or a variant of one. A click opens its cases, hyperparameters and origin.",
    "table": "A table as params.yaml defines it. A click opens it.",
    "dataset": "The collection of scans.",
    "family": "The scoring rule that the papers of one family share: "
    + "; ".join(f"{name}: {text.split('. ')[0]}" for name, text in RULE_TEXTS.items() if name != "sound")
    + ".",
    "paper": "Paper and table that are rebuilt; own table: a table of this project.",
    "rows": "Rows that are built; of a table that is not built yet, the rows that it will have.",
    "case": "One test scan. A click shows it with truth and prediction.",
    "labelled": "Training cases with a label map.",
    "unlabelled": "Training cases of which the method sees the image alone.",
    "Dice": "Dice overlap in percent: twice the common voxels by the voxels of both masks. 100 is perfect. Brackets:"
    " the interval of the table's page; ±: what the rule says below the title.",
    "Jaccard": "Jaccard overlap in percent: the common voxels by the voxels of either mask. 100 is perfect.",
    "ASD": "Average surface distance; lower is better. The title names its unit and the empty masks.",
    "95HD": "95th percentile of the surface distances; lower is better.",
    "organ": "Mean Dice of this organ in percent.",
    "printed": "The number in the paper, as printed; a dash where none is.",
    "published": "Mean under the paper's own scoring rule, with its peculiarities.",
    "sound": "Mean in mm on the raw image's grid: absent organs are left out, a missed organ counts as 0.",
    "n": "Test cases.",
    "missed": "Pairs of a case and an organ that the case contains and of which nothing was predicted.",
    "p": "Of the test of the first mean against the reference row, corrected for the number of rows.",
    "effect": "How far the cases agree that the row is better (1) or worse (−1) than the reference row.",
    "checkpoint": "Which weights were tested: the last, the best on validation cases, or the best on the test list,"
    " which is optimistic.",
    "group": "Where the row's Dice, or the first mean of a table without Dice, stands. best: the best number of the"
    " table; tied: it cannot be told from the best, and is underlined; apart: another row is better. Paired over cases"
    " and corrected for the number of rows; of every table, the list shows the sound rule.",
    "proof": ". ".join(f"{word.capitalize()}: {text}" for word, text in WORDS.items()) + ".",
}
