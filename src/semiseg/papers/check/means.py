"""The printed mean Dice against the mean of the printed organs."""

from collections.abc import Sequence
from decimal import ROUND_HALF_EVEN, Decimal

from semiseg.dataset import get_dataset
from semiseg.papers.check.numbers import signed, step
from semiseg.papers.check.prints import Print, rows
from semiseg.papers.check.section import Section, largest_first

RULE = (
    "Rows that print every organ of the dataset and a mean Dice. Both agree when rounding can explain the difference: "
    "half a unit of the mean's last digit plus half a unit of the organs'. A difference need not be an error: a paper "
    "may average otherwise than over organs, for instance leave out organs that a case lacks."
)
HEADS = ("paper", "where", "row", "printed mean", "mean of organs", "difference")
DIGITS = Decimal("0.001")


def check(numbers: Sequence[Print]) -> Section:
    """Every row whose two means differ by more than rounding explains, the largest difference first."""
    found, compared = [], 0
    for first, texts in rows(numbers):
        organs = [texts.get(organ.abbreviation, "") for organ in get_dataset(first.dataset).organs]
        if "Dice" not in texts or not all(organs):
            continue
        compared += 1
        mean, stated = sum(map(Decimal, organs), Decimal(0)) / len(organs), Decimal(texts["Dice"])
        if abs(mean - stated) <= (step(texts["Dice"]) + max(map(step, organs))) / 2:
            continue
        shown = mean.quantize(DIGITS, ROUND_HALF_EVEN)
        line = (first.paper, first.where, first.row, texts["Dice"], str(shown), signed(shown - stated))
        found.append((abs(mean - stated), line))
    summary = f"{compared} rows: {compared - len(found)} agree, {len(found)} differ."
    return Section("Printed means and means of the printed organs", RULE, summary, HEADS, largest_first(found))
