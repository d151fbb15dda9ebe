"""Pairs of mean Dice and mean Jaccard that no set of cases can give."""

from collections.abc import Sequence
from decimal import Decimal

from semiseg.papers.check.numbers import step
from semiseg.papers.check.prints import Print, rows
from semiseg.papers.check.section import Section, largest_first

RULE = (
    "Of one case and organ, J = D / (2 - D). This function is convex and never above D, so means over the same cases "
    "and organs obey D / (2 - D) <= J <= D, each bound widened by half a unit of the last printed digits. The rule is "
    "exact only where both are averaged alike: GuidedNet's published script averages Jaccard per case over the organs "
    "that occur and Dice per organ, and DVCL, of the same group, may do the same."
)
HEADS = ("paper", "where", "row", "Dice", "Jaccard", "lower bound", "upper bound")
DIGITS = Decimal("0.01")


def bounds(dice: Decimal, unit: Decimal) -> tuple[Decimal, Decimal]:
    """Least and largest mean Jaccard (%) that a mean Dice (%) printed to ``unit`` allows."""
    low, high = max(dice - unit / 2, Decimal(0)), min(dice + unit / 2, Decimal(100))
    return 100 * low / (200 - low), high


def check(numbers: Sequence[Print]) -> Section:
    """Every row whose mean Jaccard lies outside the bounds, the farthest first."""
    found, excess = [], []
    for first, texts in rows(numbers):
        if "Dice" not in texts or "Jaccard" not in texts:
            continue
        dice, jaccard = Decimal(texts["Dice"]), Decimal(texts["Jaccard"])
        low, high = bounds(dice, step(texts["Dice"]))
        excess.append(jaccard - 100 * dice / (200 - dice))
        beyond = max(low - jaccard, jaccard - high)
        if beyond > step(texts["Jaccard"]) / 2:
            limits = (str(low.quantize(DIGITS)), str(high.quantize(DIGITS)))
            found.append((beyond, (first.paper, first.where, first.row, texts["Dice"], texts["Jaccard"], *limits)))
    summary = f"{len(excess)} rows print both: {len(excess) - len(found)} lie within the bounds, {len(found)} outside."
    if excess:
        summary += f" Jaccard minus D / (2 - D) runs from {min(excess):.2f} to {max(excess):.2f}."
    return Section("Mean Jaccard and mean Dice", RULE, summary, HEADS, largest_first(found))
