"""The texts of a comparison, the same on the terminal and on the page."""

import math
from collections.abc import Iterator, Sequence

from semiseg.base.metric_names import LOWER_IS_BETTER, METRICS
from semiseg.base.texts import counted, listed, some
from semiseg.proof.compare.builds import Cell
from semiseg.proof.compare.sides import Side
from semiseg.report.cells import MINUS, interval, number, probability, signed
from semiseg.report.notes import only_cases
from semiseg.scoring.comparison import FEWEST_PAIRS, LEVEL
from semiseg.scoring.conventions import scoring_rules
from semiseg.scoring.intervals import FEW_CASES
from semiseg.scoring.paired import Line, Pairs
from semiseg.scoring.scoring_rules import get_rule

ROW_HEADS = ("column", "A", "B", "A − B", "95 % interval", "p")
CASE_HEADS = ("case", "A", "B", "A − B", "largest in")
CELL_HEADS = ("row", "column", "convention", "A", "B")


def about_rows(first: Side, second: Side, convention: str, pairs: Pairs) -> dict[str, str]:
    """What is compared: both rows, their cases, organs, convention and runs, in words."""
    rules = {scoring_rules(side.spec.published)[convention] for side in (first, second)}
    organs = [name for name in pairs.cases.columns if name != "mean"]
    seeds = [len(side.spec.seeds) for side in (first, second)]
    each = f"{counted(seeds[0], 'run')} of each" if seeds[0] == seeds[1] else f"{seeds[0]} runs of A, {seeds[1]} of B"
    return {
        "A": f"{first.label}: {first.name}",
        "B": f"{second.label}: {second.name}",
        "cases": f"{counted(len(pairs.cases), 'test case')} in both, {each}",
        "organs": some(organs, 15),
        "convention": f"{convention} (rule {', '.join(sorted(rules))}); {_units(rules, pairs)}",
    }


def _units(rules: set[str], pairs: Pairs) -> str:
    """Units of the columns that the two rows have."""
    means = [line.column for line in pairs.lines if line.column in METRICS.values()]
    texts = [f"{listed([name for name in means if name not in LOWER_IS_BETTER])} in percent"]
    if LOWER_IS_BETTER & set(means):
        texts.append(f"distances in {' or '.join(sorted({get_rule(rule).unit for rule in rules}))}")
    return ", ".join(texts)


def line_texts(line: Line) -> tuple[str, ...]:
    """The texts of a line under ``ROW_HEADS``."""
    bounds = interval(line.low, line.high).strip().replace("-", MINUS) or "undefined"
    p = line.why_undefined or probability(line.p)
    return line.column, number(line.first), number(line.second), signed(line.difference), bounds, p


def notes(pairs: Pairs) -> Iterator[str]:
    """Sentences below the table of columns."""
    over = (
        "cases and runs" if pairs.runs else "cases; runs are averaged, because the rows have different numbers of them"
    )
    over = "cases, since there is one run of each" if pairs.runs == 1 else over
    test = "Wilcoxon's signed-rank test over the cases, each line by itself and not corrected for their number"
    yield f"Interval: of the difference, over {over}; undefined with fewer than three cases. p: {test}."
    if split := [line.column for line in pairs.lines if _disagrees(line)]:
        yield (
            f"Interval and p disagree on {listed(split)}: the interval is of the mean difference, which a few cases can"
            " move far, and p of signs and ranks alone."
        )
    yield from _about_few_cases(max(line.pairs for line in pairs.lines))
    yield "A table corrects for all pairs of its rows, so its marks may not part two rows that have a small p here."
    mean = next(line for line in pairs.lines if line.column == METRICS["dice"])
    equal = mean.pairs - mean.better - mean.worse
    yield f"Mean Dice is higher in A in {counted(mean.better, 'case')}, in B in {mean.worse}, equal in {equal}."


def _disagrees(line: Line) -> bool:
    """Whether the rows differ by one of interval and p and not by the other; False where one of them is undefined."""
    if math.isnan(line.p) or math.isnan(line.low):
        return False
    return (line.p <= LEVEL) == (line.low <= 0 <= line.high)


def _about_few_cases(cases: int) -> Iterator[str]:
    """A warning where the cases are few, as the page of a table has it; the least p is that of equal signs."""
    if cases < FEW_CASES:
        least = f"; with {cases} cases no p below {probability(2.0 ** (1 - cases))} is possible"
        yield f"{only_cases(cases, intervals=True)}{least if cases >= FEWEST_PAIRS else ''}."


def cases_title(shown: int, cases: int) -> str:
    """Heading of the list of cases, of which the first are shown."""
    if shown < cases:
        return f"The {shown} cases that differ most (Dice, percentage points)"
    which = {1: "The only case", 2: "Both cases"}.get(cases, f"All {cases} cases")
    return f"{which} (Dice, percentage points{', the largest difference first' if cases > 1 else ''})"


def case_texts(pairs: Pairs, cases: Sequence[str]) -> list[tuple[str, ...]]:
    """The texts of some cases under ``CASE_HEADS``."""
    lines: list[tuple[str, ...]] = []
    means = [table["mean"].to_dict() for table in (pairs.first, pairs.second, pairs.cases)]
    by_organ = pairs.cases.drop(columns="mean").T.to_dict()
    for case in cases:
        one, other, size = (own[case] for own in means)
        organs = {organ: value for organ, value in by_organ[case].items() if value == value}  # NaN differs from itself
        largest = max(organs, key=lambda organ: abs(organs[organ]), default="")
        where = f"{largest} {signed(organs[largest])}" if len(organs) > 1 else ""
        lines.append((case, number(one), number(other), signed(size), where))
    return lines


def cell_texts(cell: Cell) -> tuple[str, ...]:
    """The texts of a number of two builds under ``CELL_HEADS``."""
    return cell.row, cell.column, cell.convention, cell.first or "undefined", cell.second or "undefined"
