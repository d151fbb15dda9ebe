"""The findings about claims, as sections of a page for the terminal and for docs/claims.md."""

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import numpy as np

from semiseg.base.texts import counted, listed
from semiseg.papers.check.prints import read
from semiseg.papers.check.section import Line, Section, largest_first
from semiseg.papers.outperformance.between_runs import same_computation, small_margins
from semiseg.papers.outperformance.claims import ASSUMED, Claim, claims
from semiseg.papers.outperformance.measured import Measured, correlation, measure

DOUBTFUL = 0.05  # claims above it are counted
CLAIMS_RULE = (
    "Each block and column of means in which the paper's own row is the best, against the second: rows of other "
    "methods, or of the paper's own ablations; CRLN's last and best checkpoints are compared within their own part of"
    " the table, and a row X + PLBOpt is compared with X. The largest probability (at r = 0.5) first."
)
CLAIMS_LEGEND = (
    "from print: how many of the two deviations are printed, not approximated.",
    "r 0.5, r 0.9: probability that the claim is false at this correlation.",
    "measured r: a correlation in a table of this project, the probability by it.",
    "runs: probability that other trainings turn the order round.",
)
SUMMARY_RULE = (
    "A claim stays below 5 % where the probability that it is false does; r is the correlation of the two methods' "
    "values over the cases."
)
SUMMARY_HEADS = ("paper", "table", "claims", *(f"below 5 % at r = {r}" for r in ASSUMED))
CLAIMS_HEADS = ("where", "column", "own row", "second", "n", "from print", "r 0.5", "r 0.9", "measured r", "runs")
OTHERS_RULE = (
    "Own rows that are not the best of their block in a column: there is no claim. A negative margin is a worse number."
)
OTHERS_HEADS = ("where", "column", "own row", "best of the others", "margin")
MEASURED_RULE = (
    "Tables of real scans in this project, with the correlation of each pair of trained rows: the middle one and the "
    "range between the quartiles. Rows that are the same in all cases have no correlation."
)
MEASURED_HEADS = ("table", "dataset", "cases", "column", "pairs", "median r", "quartiles")


def sections(papers: Sequence[str], folder: Path) -> list[Section]:
    """The findings in these papers. folder: of the project whose tables measure correlations."""
    numbers = [one for paper in sorted(set(papers)) for one in read(paper)]
    found, others = claims(numbers)
    tables = measure(folder)
    return [
        _summary(found),
        _claims(found, tables),
        same_computation(numbers),
        small_margins(numbers, found),
        _others(others),
        _tables(tables),
    ]


def _summary(found: Sequence[Claim]) -> Section:
    """How many claims each table makes, and how many of them are probably true."""
    tables: dict[tuple[str, str], list[Claim]] = {}
    for claim in found:
        tables.setdefault((claim.first.paper, claim.first.table), []).append(claim)
    lines = [(*table, str(len(own)), *map(str, _below(own))) for table, own in tables.items()]
    lines.append(("all", "", str(len(found)), *map(str, _below(found))))
    summary = f"{counted(len(found), 'claim')}, each looked at by itself: nothing is corrected for their number."
    return Section("Claims by table", SUMMARY_RULE, summary, SUMMARY_HEADS, tuple(lines))


def _below(found: Sequence[Claim]) -> list[int]:
    """How many claims are false with a probability of at most 5 %, at each correlation."""
    chances = [[claim.over_cases(r) for claim in found] for r in ASSUMED]
    return [sum(chance is not None and chance <= DOUBTFUL for chance in ones) for ones in chances]


def _claims(found: Sequence[Claim], tables: Sequence[Measured]) -> Section:
    lines: list[tuple[Decimal, Line]] = []
    for claim in found:
        framed = [claim.over_cases(r) for r in ASSUMED]
        known = correlation(claim.pair, claim.first.column, tables)
        measured = "" if known is None else f"{known[0]:.2f} ({known[1]}): {_chance(claim.over_cases(known[0]))}"
        texts = (str(claim.cases or ""), str(2 - claim.approximated), *map(_chance, framed), measured)
        size = Decimal(str(framed[0] or 0.0))
        lines.append((size, (*_head(claim), *texts, _chance(claim.over_runs()))))
    ordered = largest_first(lines)
    return Section("Claims", CLAIMS_RULE, _counts(found), CLAIMS_HEADS, ordered, CLAIMS_LEGEND, "measured r")


def _counts(found: Sequence[Claim]) -> str:
    """How many claims are doubtful under either correlation, and by the spread over runs."""
    known = [chances for claim in found if None not in (chances := [claim.over_cases(r) for r in ASSUMED])]
    above = [
        sum(chance is not None and chance > DOUBTFUL for chance in chances) for chances in zip(*known, strict=True)
    ]
    runs = [chance for claim in found if (chance := claim.over_runs()) is not None]
    parts = [f"{number} at r = {r}" for number, r in zip(above, ASSUMED, strict=False)]
    text = f"{counted(len(found), 'claim')}. Probability of being false above {DOUBTFUL:.0%}"
    text += f": {listed(parts)} of {len(known)}" if parts else f": none of {len(known)}"
    return f"{text}; by the spread over runs {sum(chance > DOUBTFUL for chance in runs)} of {len(runs)}."


def _others(others: Sequence[Claim]) -> Section:
    lines = tuple((*_head(claim), str(claim.margin)) for claim in others)
    return Section("Own rows that are not the best", OTHERS_RULE, f"Such rows: {len(lines)}.", OTHERS_HEADS, lines)


def _tables(tables: Sequence[Measured]) -> Section:
    """What our own tables measure."""
    lines = []
    for table in tables:
        for column in dict.fromkeys(column for column, _ in table.pairs):
            values = [r for (name, _), r in table.pairs.items() if name == column]
            low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
            numbers = (str(len(values)), f"{middle:.2f}", f"{low:.2f} to {high:.2f}")
            lines.append((table.table, table.dataset, str(table.cases), column, *numbers))
    summary = f"Such tables: {len(tables)}."
    return Section("Measured correlations", MEASURED_RULE, summary, MEASURED_HEADS, tuple(lines))


def _head(claim: Claim) -> tuple[str, str, str, str]:
    own, other = claim.first, claim.second
    return f"{own.paper}, {own.where}", own.column, f"{own.row} {own.value}", f"{other.row} {other.value}"


def _chance(value: float | None) -> str:
    if value is None:
        return ""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
