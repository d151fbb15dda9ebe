"""``semiseg compare``: two rows of tables case by case, or two builds of a table with a verdict."""

import contextlib
from pathlib import Path

from rich.console import Console
from rich.text import Text

from semiseg.base.errors import UserError
from semiseg.base.terminal import Page, columns, facts, heading, terminal, title
from semiseg.proof.compare.builds import DIFFERENT, compare_builds
from semiseg.proof.compare.pictures import labels, missing, pictures
from semiseg.proof.compare.sides import Side, open_side
from semiseg.proof.compare.texts import (
    CASE_HEADS,
    CELL_HEADS,
    ROW_HEADS,
    about_rows,
    case_texts,
    cases_title,
    cell_texts,
    line_texts,
    notes,
)
from semiseg.scoring.conventions import scoring_rules
from semiseg.scoring.paired import pair
from semiseg.scoring.scoring_rules import get_rule

WIDTH = 80  # characters of a line, at most
MOST_CASES, MOST_CELLS = 10, 12
DRAWN = (".png", ".svg", ".pdf")


def compare(
    first: str,
    second: str,
    convention: str | None = None,
    page: Path | None = None,
    plot: Path | None = None,
    console: Console | None = None,
) -> bool:
    """Print the comparison of two sides, and write it as a page and a plot where these are given.

    first, second: as ``semiseg.proof.compare.sides.SYNTAX``. Returns whether two builds of a table are the same within
    rounding; True for two rows. Raises UserError for anything that cannot be compared.
    """
    console = console or terminal()
    console = Console(file=console.file, width=min(console.width, WIDTH), highlight=False)
    with contextlib.ExitStack() as stack:
        one, other = (open_side(name, stack) for name in (first, second))
        if (one.row is None) != (other.row is None):
            lacking, having = (one, other) if one.row is None else (other, one)
            raise UserError(
                f"{having.name} names a row and {lacking.name} does not: name a row on both sides or on neither"
            )
        if plot is not None and (plot.suffix not in DRAWN or one.row is None):
            raise UserError(f"--plot {plot}: it draws two rows, into a file that ends in {', '.join(DRAWN)}")
        if convention is not None and one.row is None:
            raise UserError(f"--convention {convention}: two builds are compared under both; leave it out")
        if one.row is None:
            return _builds(one, other, page, console)
        _rows(one, other, convention or "sound", page, plot, console)
        return True


def _builds(first: Side, second: Side, page: Path | None, console: Console) -> bool:
    verdict = compare_builds(first, second)
    differing = [cell for cell in verdict.cells if cell.size]
    shown: Page = [title("compare", "two builds"), facts({"A": first.name, "B": second.name}), ""]
    shown += [Text(line) for line in [*verdict.sentences, *verdict.lacking]]
    if differing:
        shown += [
            "",
            heading("Numbers that differ"),
            columns(CELL_HEADS, [cell_texts(one) for one in differing[:MOST_CELLS]]),
        ]
    if len(differing) > MOST_CELLS:
        shown.append(Text(f"  and {len(differing) - MOST_CELLS} more"))
    _print(console, shown)
    if page is not None:
        from semiseg.proof.compare.page import write_builds

        write_builds(page, first, second, verdict, differing)
        console.print(f"page: {page}", soft_wrap=True)
    return verdict.kind != DIFFERENT


def _rows(first: Side, second: Side, convention: str, page: Path | None, plot: Path | None, console: Console) -> None:
    one, other = first.scores(convention), second.scores(convention)
    if first.dataset != second.dataset or not set(one.cases) & set(other.cases):
        raise UserError(
            f"{first.name} and {second.name} have no test case in common: name rows of tables with one test list"
        )
    if not set(one.organs) & set(other.organs):
        raise UserError(f"{first.name} and {second.name} have no organ in common, so that there is nothing to compare")
    check_comparable(first, second, convention)
    pairs = pair(one, other)
    named = about_rows(first, second, convention, pairs)
    _print(console, [title("compare", " and ".join(labels(first, second))), facts(named), ""])
    _print(console, [columns(ROW_HEADS, [line_texts(line) for line in pairs.lines]), *map(Text, notes(pairs)), ""])
    cases = list(pairs.cases.index[:MOST_CASES])
    _print(console, [heading(cases_title(len(cases), len(pairs.cases)))])
    _print(console, [columns(CASE_HEADS, case_texts(pairs, cases))])
    _print(console, [Text(line) for line in _about_pictures(first, second, cases[0], page)])
    heads = f"{first.label} ({first.name}) and {second.label} ({second.name}), {convention} convention"
    if plot is not None:
        from semiseg.report.figures.paired import draw_pairs
        from semiseg.report.figures.saving import save

        save(draw_pairs(pairs, labels(first, second), heads), plot)
        console.print(f"plot: {plot}", soft_wrap=True)
    if page is not None:
        from semiseg.proof.compare.page import write_rows

        write_rows(page, named, pairs, cases, pictures(first, second, cases), labels(first, second))
        console.print(f"page: {page}", soft_wrap=True)


def check_comparable(first: Side, second: Side, convention: str) -> None:
    """Raise UserError where numbers of the two rows are not of one kind, or a table has no Dice."""
    for side in (first, second):
        if "dice" not in side.spec.metrics:
            raise UserError(f"{side.name} has no Dice, by which cases are compared: add dice to the table's metrics")
    rules = [scoring_rules(side.spec.published)[convention] for side in (first, second)]
    if rules[0] != rules[1]:
        raise UserError(
            f"{first.name} and {second.name} are scored by different rules under the {convention} convention"
            f" ({' and '.join(rules)}): compare them with --convention sound"
        )
    if get_rule(rules[0]).unit == "voxel" and first.spec.preparation != second.spec.preparation:
        raise UserError(
            f"{first.name} and {second.name} have other voxels, because their scans are prepared in different ways:"
            " compare them with --convention sound"
        )


def _about_pictures(first: Side, second: Side, case: str, page: Path | None) -> list[str]:
    """How to get pictures of these cases, or why there are none; nothing where a page with them is asked for."""
    if reason := missing(first, second, case):
        return [f"No pictures: {reason}."]
    return [] if page else ["`--page FILE.html` draws these cases with the truth and both predictions."]


def _print(console: Console, page: Page) -> None:
    for block in page:
        console.print(block)
