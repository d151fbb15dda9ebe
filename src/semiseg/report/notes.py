"""Notes below the views of a table: sources in print, tests, intervals, rows that are missing."""

import numpy as np
import pandas as pd

from semiseg.base.controls import is_control
from semiseg.base.files import read_json
from semiseg.base.metric_names import METRICS
from semiseg.base.texts import counted, listed, some
from semiseg.params.table_spec import TableSpec
from semiseg.report.cells import lines_of, mean_columns, number, unbuilt, under, unit_of
from semiseg.report.groups import ZERO, is_ranked, zeros
from semiseg.report.sources import read_vanished, split_files
from semiseg.report.texts import (
    describe_checkpoints,
    describe_imported,
    describe_own_protocol,
    describe_same,
    describe_shared,
)
from semiseg.report.views import Views, is_printed, largest_rule_change, of_column
from semiseg.scoring import comparison, intervals, ties
from semiseg.scoring.coverage import NEAR_MISSES, simulated

BETTER, WORSE = "▲", "▼"
CONTROLS = {
    "control_perfect": (
        "{label} (control) is the truth itself, brought to the prepared grid and back: its {value} under the sound rule"
        " is the most that a label map on that grid can reach. A row can be above it: soft class scores of a network"
        " place a surface between voxels, labels do not."
    ),
    "control_empty": "{label} (control) finds nothing: its {value} under the sound rule is the floor.",
}
OPTIMISM = "Optimism: best on the test list minus last"
MARKS = {1: BETTER, -1: WORSE, 0: ""}
SPREADS = {
    "cases": "over cases",
    "runs": "over runs",
    "bootstrap": "of bootstrap means",
    "unstated": "unstated over what",
}
FLAGS = {"reconstructed": "r", "doubtful": "?", "cited": "c"}
FLAG_WORDS = {
    "reconstructed": "reconstructed where the text of the paper is damaged",
    "doubtful": "of doubtful reading",
    "cited": "cited by the paper from elsewhere",
}


def about_splits(spec: TableSpec) -> list[str]:
    """A sentence per serious leak of the splits that the rows train on: the table's own first."""
    sentences = []
    for path in split_files(spec):
        content = read_json(path)
        sentences += [f"Split {content['split']} misleads: {leak}." for leak in content.get("serious", ())]
    return list(dict.fromkeys(sentences))


def about_training(spec: TableSpec) -> list[str]:
    """A sentence per row that is trained by another protocol than the table's, that shows another row's runs, that is
    not trained, that has the weights of another row's training, or that shows another checkpoint."""
    own = [describe_own_protocol(spec.label(row), one, spec.protocol) for row, one in spec.own_protocols.items()]
    same = [describe_same(spec.label(row), spec.label(other)) for row, other in spec.same_as.items()]
    imported = [describe_imported(spec.label(row), spec.brought[row]) for row in spec.imported]
    built = (row for row in spec.rows if row in spec.runs and row not in spec.same_as)
    shared = describe_shared({spec.label(row): spec.trainings(row) for row in built})
    shown = describe_checkpoints({spec.label(row): one for row, one in spec.checkpoints.items()})
    return [*own, *same, *imported, *shared, *shown]


def why_unbuilt(spec: TableSpec) -> list[str]:
    """A sentence per row that the table should have and has not."""
    return [f"{spec.label(method)} was not rebuilt: {reason}." for method, reason in unbuilt(spec).items()]


def views_title(views: Views) -> str:
    """Heading of the means side by side: in print, published and sound; without print two views."""
    return "Three views" if is_printed(views) else "Two views"


def rule_change(views: Views) -> str:
    """The number that the choice of rule changes most, in one sentence."""
    line = largest_rule_change(views)
    if line is None:
        return "The choice of rule changes no percentage of this table."
    return (
        f"The choice of rule changes {_named(line)} most: {number(line['published'])} under the published rule,"
        f" {number(line['sound'])} under the sound one."
    )


def about_views(spec: TableSpec, views: Views) -> list[str]:
    """How to read the views: where the printed numbers stand, what intervals and tests are, which organs were lost."""
    brackets, groups = about_marks(spec, views)
    ranks = f" {_ranks(views)}" if is_ranked(views) else ""
    return [*about_print(spec, views), brackets, f"{groups}{ranks}", about_tests(spec, views), *about_vanished(spec)]


def about_marks(spec: TableSpec, views: Views) -> list[str]:
    """What stands beside a number: its interval, and the marks of the best row and of those not told from it."""
    return [_intervals(views), about_groups(spec, views)]


def about_vanished(spec: TableSpec) -> list[str]:
    """How many organs of test cases the preparation has lost, in one sentence; nothing where it has lost none."""
    lost = read_vanished(spec)
    if lost.empty:
        return []
    return [
        f"Organs of test cases that have no voxel left on the prepared grid, so that rules on that grid count them as"
        f" absent ({len(lost)}): {some([f'{line.organ} of {line.case}' for line in lines_of(lost)])}."
    ]


def about_print(spec: TableSpec, views: Views) -> list[str]:
    """Where the printed numbers stand, and which of them are not plainly readable there."""
    if not is_printed(views):
        return ["No number of this table is known in print."]
    blocks = "; ".join(
        f"{block.paper}, table {block.table}"
        + (f" ({block.labelled} labelled, {block.unlabelled} unlabelled)" if block.labelled else "")
        for block in spec.printed
    )
    first = " (the first that has the row)" if len(spec.printed) > 1 else ""
    over = f" ± in print: {printed_over(views)}." if printed_over(views) else ""
    sentences = [f"Printed: {blocks}{first}. Difference: published minus printed.{over}"]
    for flag, words in FLAG_WORDS.items():
        rows = views[(views["printed_flag"] == flag) & views["printed"].notna()]
        if len(rows):
            sentences.append(f"Printed numbers {words} ({FLAGS[flag]}): {_cells(rows, views)}.")
    return sentences


def _cells(rows: Views, views: Views) -> str:
    """Labels with the columns in question; the label alone where all that is printed of it is."""
    texts = []
    for label in rows["label"].unique():
        flagged = [line.column for line in lines_of(rows) if line.label == label]
        every = [line.column for line in lines_of(views) if line.label == label and not pd.isna(line.printed)]
        texts.append(label if flagged == every else f"{label} ({', '.join(flagged)})")
    return ", ".join(texts)


def printed_over(views: Views) -> str:
    """What the ± of the printed numbers is over; nothing where none is printed."""
    over = views.loc[views["printed_spread"].notna(), "printed_spread_over"].unique()
    return " or ".join(SPREADS[name] for name in SPREADS if name in over)


def about_groups(spec: TableSpec, views: Views) -> str:
    """Which rows are marked as best and which as not to be told from the best, and what decides it."""
    if not is_ranked(views):
        return (
            "No row is called the best: that needs the scores per case of every row on this machine, of the same cases,"
            " and at least two of them."
        )
    rows = {*views.loc[views["sound_rank_low"].notna(), "method"]} - {*spec.same_as}
    few = not ties.are_enough(np.array(_fewest_cases(views)), len(rows))
    return (
        "Bold: the best number of a column; underlined: rows that cannot be told from it, because no other row is"
        f" better than they are. Rows are compared in pairs, over {_units(views)}, and corrected for all pairs of a"
        f" column at {comparison.LEVEL}."
        + (f" {_fewest_cases(views)} cases are too few to tell any two of these rows apart." if few else "")
    )


def _ranks(views: Views) -> str:
    """What the columns first and ranks of the views are."""
    n = _fewest_cases(views)
    rough = f" {n} test cases estimate that covariance roughly: a share near 100 % proves nothing."
    return (
        f"First: the share of {ties.DRAWS:,} draws in which the row has the best number; a draw moves the numbers of"
        f" all rows at once, by their covariance as estimated over {_units(views)} (Student's t)."
        + (rough if n < intervals.FEW_CASES else "")
        + " Ranks: those that the row may have, by the pairs that differ. Both are under the sound rule."
        + (" Print gives no scores per case, so that its numbers are not ranked." if is_printed(views) else "")
    )


def about_controls(spec: TableSpec, table: pd.DataFrame) -> list[str]:
    """What the numbers of the controls mean; nothing in a table without any."""
    sentences = []
    column = mean_columns(spec)[0]
    sound = under(table, "sound").set_index("method")
    for method in (name for name in sound.index if is_control(name)):
        value, label = (
            f"{sound.loc[method, column]:.2f} {unit_of(column, sound.loc[method, 'unit'])}",
            spec.label(method),
        )
        sentences.append(CONTROLS[method].format(label=label, value=f"{value} {column}"))
    return sentences


def about_optimism(views: Views) -> str:
    """What the optimism of a checkpoint is and how its intervals are drawn."""
    return (
        "Each row's checkpoint was CHOSEN ON THE TEST LIST; here stands what that choice added, its numbers minus those"
        f" of the last checkpoint of the same training. {_intervals(views)} They are of the difference case by case."
    )


def about_few_cases(views: Views) -> list[str]:
    """A warning where the test cases are few; nothing where there are ten or more."""
    n = _fewest_cases(views)
    if not 0 < n < intervals.FEW_CASES:
        return []
    tested = views["effect"].notna().any()
    effect = "; an effect of ±1.00 means no more than that all of them moved one way" if tested else ""
    return [f"{only_cases(n, _has_intervals(views))}{effect}."]


def only_cases(n: int, intervals: bool) -> str:
    """That there are few test cases, without a full stop. intervals: whether there are intervals to doubt."""
    short = ", so that intervals may be too short" if intervals else ""
    return f"Only {counted(n, 'test case')}: a rare failure may be in none of them{short}"


def about_zeros(spec: TableSpec, views: Views) -> list[str]:
    """Which distances count missed cases as 0, and how many each; nothing where none does."""
    counted_as_zero: dict[str, int] = {}
    for column in mean_columns(spec):
        lines = of_column(views, column)
        found = zip(lines["label"], zeros(spec, lines, "published"), strict=True)
        counted_as_zero |= {label: number for label, number in found if number}
    if not counted_as_zero:
        return []
    pairs = "missed cases" if len(spec.organs) == 1 else "missed pairs of case and organ"
    rows = ", ".join(f"{label} {number}" for label, number in counted_as_zero.items())
    return [
        f"{ZERO}: under the published rule this distance counts {pairs} as 0, and the row is left out when the rows of"
        f" the column are compared. So many are counted as 0: {rows}."
    ]


def about_never_found(spec: TableSpec, views: Views) -> list[str]:
    """The organs whose Dice is 0 in every row but the controls, in one sentence; nothing where there are none."""
    columns = spec.abbreviations if len(spec.organs) > 1 else [METRICS["dice"]]
    rows = views[~views["method"].map(is_control)]
    lost = [
        organ.name
        for organ, column in zip(spec.organs, columns, strict=True)
        if (values := rows.loc[rows["column"] == column, "sound"].dropna()).size and (values == 0).all()
    ]
    return [f"No row found {listed(lost)}."] if lost else []


def _has_intervals(views: Views) -> bool:
    return bool(views[["published_low", "sound_low"]].notna().any(axis=None))


def _intervals(views: Views) -> str:
    """What the brackets are, and how often such intervals hold the true number."""
    if not _has_intervals(views):
        least = f"they need the scores per case of at least {intervals.FEWEST_CASES} test cases on this machine"
        return f"Intervals are undefined: {least}."
    runs = int(views["seeds"].max())
    cases, of_runs, plain, near = simulated(max(_fewest_cases(views), intervals.FEWEST_CASES), runs)
    at = f"n = {cases}" + (f" and {of_runs} runs" if runs > 1 else "")
    return (
        f"Brackets: {100 * intervals.LEVEL:.0f} % interval over {_units(views)} (jackknife, Student's t, longer on the"
        f" side of the skew). Simulated coverage {plain:.2f} at {at}; {near:.2f} if {100 * NEAR_MISSES:.0f} % of the"
        " cases are nearly missed."
        + ("" if runs > 1 else " One run per row: what another seed would give is not covered.")
    )


def _fewest_cases(views: Views) -> int:
    counts = views["n"].dropna()
    return 0 if counts.empty else int(counts.min())


def _units(views: Views) -> str:
    return "test cases and runs" if views["seeds"].max() > 1 else "test cases"


def about_tests(spec: TableSpec, views: Views) -> str:
    """Which test gives p and effect."""
    reference = spec.label(spec.reference)
    if spec.reference not in spec.runs:
        return f"No tests: the reference {reference} was not rebuilt."
    one_run = " With one run per row they cannot tell a better method from a lucky seed."
    return (
        f"Tests: Wilcoxon's signed-rank test against {reference} over test cases (mean over runs, sound rule, pairs"
        f" without a difference dropped), p corrected by Holm over the methods of a column, undefined where fewer than"
        f" {comparison.FEWEST_PAIRS} cases differ; {BETTER} better, {WORSE} worse at {comparison.LEVEL}. Effect:"
        f" matched-pairs rank-biserial correlation, positive where better.{'' if views['seeds'].max() > 1 else one_run}"
    )


def _named(line: pd.Series) -> str:
    return f"{line['column']} of {line['label']}"
