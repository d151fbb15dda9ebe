"""Checks of a single line or row: ranges, distances in the wrong order, counts, flags."""

from collections.abc import Sequence
from decimal import Decimal

from semiseg.base.metric_names import LOWER_IS_BETTER
from semiseg.papers.check.prints import Print, data, grouped, of_tables, rows
from semiseg.papers.check.section import Section, largest_first

LISTED_FLAGS = ("reconstructed", "lost", "doubtful", "blank")


def distances(numbers: Sequence[Print]) -> Section:
    """Rows whose mean surface distance is above their 95 % Hausdorff distance, and values outside their range."""
    found, both = [], 0
    for first, texts in rows(numbers):
        names = (first.paper, first.where, first.row)
        if texts.keys() >= LOWER_IS_BETTER:
            both += 1
            beyond = Decimal(texts["ASD"]) - Decimal(texts["95HD"])
            if beyond > 0:
                shown = f"ASD {texts['ASD']}, 95HD {texts['95HD']}"
                found.append((beyond, (*names, shown, "ASD is above 95HD")))
        for column, text in texts.items():
            share = column[0].isupper() and column not in LOWER_IS_BETTER
            if Decimal(text) < 0 or (share and Decimal(text) > 100):
                found.append((abs(Decimal(text)), (*names, f"{column} {text}", "outside its range")))
    return Section(
        "Distances in the wrong order, values outside their range",
        "A mean surface distance above the 95 % Hausdorff distance is possible only where a few distances are very "
        "large; with ordinary predictions the two columns are likely to be swapped. Dice and Jaccard lie in 0..100, "
        "distances are not negative.",
        f"{both} rows print both distances; findings: {len(found)}.",
        ("paper", "where", "row", "printed", "finding"),
        largest_first(found),
    )


def sizes(numbers: Sequence[Print]) -> Section:
    """Printed counts that do not add up to a training set that the paper describes."""
    described = {(line["paper"], line["dataset"]): line for line in data("counts")}
    found, blocks = [], 0
    for first, *_ in grouped(of_tables(numbers), ("paper", "table", "dataset", "labelled", "unlabelled")).values():
        known = described.get((first.paper, first.dataset))
        if known is None or first.labelled is None or not first.unlabelled:
            continue
        blocks += 1
        cases = str(first.labelled + first.unlabelled)
        if cases not in known["training"].split():
            expected = known["training"].replace(" ", " or ")
            found.append((first.paper, first.where, cases, expected, known["source"]))
    return Section(
        "Printed counts and the size of the training set",
        "Labelled and unlabelled cases of a block add up to the training cases that the paper's text describes.",
        f"{blocks} blocks: {blocks - len(found)} add up, {len(found)} do not.",
        ("paper", "where", "cases printed", "cases described", "how"),
        tuple(found),
    )


def flags(numbers: Sequence[Print]) -> Section:
    """Numbers that were not simply read, with how they were recovered."""
    lines = tuple(
        (one.paper, one.where, one.row, one.column, one.value, one.flag, one.note)
        for one in numbers
        if one.flag in LISTED_FLAGS
    )
    cited = sum(one.flag == "cited" for one in numbers)
    return Section(
        "What was reconstructed, lost or is doubtful in our copy",
        "The tables were read from scanned text, which lost or merged cells in places. 'Reconstructed': recovered as "
        "the last column describes; 'doubtful': the reading, or the print, is uncertain.",
        f"Flagged numbers: {len(lines)}; {cited} more are marked by their paper as cited from another one.",
        ("paper", "where", "row", "column", "value", "flag", "how"),
        lines,
    )


def contents(numbers: Sequence[Print]) -> Section:
    """How many numbers there are of each table."""
    lines = [
        (str(paper), str(table), str(len({one.row for one in own})), *_totals(own), "; ".join(_blocks(own)))
        for (paper, table), own in grouped(numbers, ("paper", "table")).items()
    ]
    totals = [(paper, *_totals(own)) for (paper,), own in grouped(numbers, ("paper",)).items()]
    return Section(
        "What is transcribed",
        "Every number of every result table, and the numbers that the running text names (table 'text').",
        "; ".join(f"{paper}: {values} values and {spreads} spreads" for paper, values, spreads in totals) + ".",
        ("paper", "table", "rows", "values", "spreads", "blocks"),
        tuple(lines),
    )


def _totals(own: Sequence[Print]) -> tuple[str, str]:
    return str(sum(bool(one.value) for one in own)), str(sum(bool(one.spread) for one in own))


def _blocks(own: Sequence[Print]) -> list[str]:
    return list(dict.fromkeys(one.block for one in own))
