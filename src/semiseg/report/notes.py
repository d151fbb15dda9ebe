"""Notes below the views of a table: sources in print, tests, intervals, rows that are missing."""

import pandas as pd

from semiseg.base.files import read_json
from semiseg.base.texts import some
from semiseg.params.table_spec import TableSpec
from semiseg.report.cells import lines_of, number, unbuilt
from semiseg.report.sources import read_vanished, split_files
from semiseg.report.texts import (
    describe_checkpoints,
    describe_imported,
    describe_own_protocol,
    describe_same,
    describe_shared,
)
from semiseg.report.views import Views, is_printed, largest_rule_change
from semiseg.scoring import comparison, intervals

BETTER, WORSE = "▲", "▼"
OPTIMISM = "Optimism: best on the test list minus last"
MARKS = {1: BETTER, -1: WORSE, 0: ""}
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
    return [*about_print(spec, views), _intervals(views), _tests(spec, views), *about_vanished(spec)]


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
    sentences = [f"Printed: {blocks}{first}. Difference: published minus printed."]
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


def about_optimism(views: Views) -> str:
    """What the optimism of a checkpoint is and how its intervals are drawn."""
    return (
        "Each row's checkpoint was CHOSEN ON THE TEST LIST; here stands what that choice added, its numbers minus those"
        f" of the last checkpoint of the same training. {_intervals(views)} A draw serves both rows."
    )


def _intervals(views: Views) -> str:
    drawn = "test cases and, independently, runs" if views["seeds"].max() > 1 else "test cases"
    return (
        f"Brackets: {100 * intervals.LEVEL:.0f} % bootstrap interval, percentiles of {intervals.DRAWS} draws of {drawn}"
        " with replacement."
    )


def _tests(spec: TableSpec, views: Views) -> str:
    reference = spec.label(spec.reference)
    if spec.reference not in spec.runs:
        return f"No tests: the reference {reference} was not rebuilt."
    return (
        f"Tests: Wilcoxon's signed-rank test against {reference} over test cases (mean over runs, sound rule, pairs"
        f" without a difference dropped), p corrected by Holm over the methods of a column, undefined where fewer than"
        f" {comparison.FEWEST_PAIRS} cases differ; {BETTER} better, {WORSE} worse at {comparison.LEVEL}. Effect:"
        " matched-pairs rank-biserial correlation, positive where better."
    )


def _named(line: pd.Series) -> str:
    return f"{line['column']} of {line['label']}"
