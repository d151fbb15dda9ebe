"""``semiseg show``: a finished table on the terminal."""

import os
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from semiseg.base.controls import is_control
from semiseg.base.errors import UserError
from semiseg.base.metric_names import LOWER_IS_BETTER, METRICS
from semiseg.base.terminal import GAP
from semiseg.report.cells import COUNTS, DATA, UNDEFINED, heading, number, with_spread

STYLES = {"best": "bold", "tied": "underline"}
LEGEND = "bold: best; underlined: cannot be told from the best"
MARKS = {"best": "*", "tied": "+"}  # where the text goes to a file or a pipe, which have no styles
MARKS_LEGEND = "*: best; +: cannot be told from the best"
WHOLE = {**DATA, **COUNTS}

Cells = Mapping[tuple[int, str], Text]  # row and column


def show(path: Path, console: Console | None = None) -> None:
    """Print a table in as many blocks as the terminal's width needs, where its other forms lie, and what to try next.

    Raises UserError, with the command that builds it, when the table is missing, or when the file is not a table.
    """
    frame, console = _read(path), console or Console()
    columns = list(frame.columns)
    means = [name for name in METRICS.values() if name in columns]
    organs = columns[columns.index("unlabelled") + 1 : columns.index(means[0])]
    name = path.name.removesuffix(".csv").removesuffix(".sound")
    title = f"{name} ({frame['convention'][0]} convention, rule {frame['rule'][0]})"
    views = _read_views(path.with_name(f"{name}.views.csv"))
    groups = _groups(views, str(frame["convention"][0]))
    marks = {} if console.is_terminal else dict.fromkeys((name for (_, name), group in groups.items() if group), MARKS)
    printed = [*means, *WHOLE, *organs]
    cells = {
        (row, name): _cell(frame, row, name, groups, marks.get(name)) for row in range(len(frame)) for name in printed
    }
    whole = [*means, *WHOLE]
    together = len(list(_fitting(frame, whole, cells, console.width))) == 1
    blocks = {title: whole} if together else {title: means, "Cases and counts of organs": [*WHOLE]}
    if len(organs) > 1:
        blocks["Dice per organ (%)"] = list(organs)
    for head, names in blocks.items():
        console.print(Text(head, "italic"), soft_wrap=True, highlight=False)  # not as narrow as the table below
        for part in _fitting(frame, names, cells, console.width):
            console.print(_block(frame, part, cells))
    if any(groups.values()):
        console.print(LEGEND if console.is_terminal else MARKS_LEGEND, highlight=False)
    for line in _unbuilt(views):
        console.print(line, soft_wrap=True, highlight=False, markup=False)
    forms = {"page": ".html", "published convention": ".csv", "sound convention": ".sound.csv", "views": ".views.csv"}
    for what, suffix in forms.items():
        other = path.with_name(name + suffix)
        if other != path and other.exists():
            console.print(f"{what}: {other}", soft_wrap=True, highlight=False, markup=False)
    console.print("try next:", highlight=False)
    for command in _next_commands(path, frame, organs):
        console.print(f"  {command}", soft_wrap=True, highlight=False, markup=False)


def _next_commands(path: Path, frame: pd.DataFrame, organs: Sequence[str]) -> list[str]:
    """Three commands that show more about this table. Their cell is the first organ of the best row except controls."""
    competing = frame[~frame["method"].map(is_control)]
    rows = competing if len(competing) else frame
    means = [name for name in METRICS.values() if name in frame.columns]
    best = rows.sort_values(means[0], ascending=means[0] in LOWER_IS_BETTER, kind="stable")["method"].iloc[0]
    column = organs[0] if organs else means[0]
    name = path.name.removesuffix(".csv").removesuffix(".sound")
    semiseg = _executable()
    return [
        f"{semiseg} lineage {path} --row {best} --column {shlex.quote(column)}",
        f"{semiseg} audit {path}",
        f"{semiseg} describe {name}",
    ]


def _executable() -> str:
    """How this terminal can call semiseg: by its name where it is on the PATH, else by the path of the program."""
    if shutil.which("semiseg"):
        return "semiseg"
    return os.path.relpath(Path(sys.executable).with_name("semiseg"))


def _read_views(path: Path) -> pd.DataFrame:
    """The table's views as texts; without lines where they are not here."""
    if not path.exists():
        return pd.DataFrame(columns=["label", "reason"])
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def _unbuilt(views: pd.DataFrame) -> list[str]:
    """A sentence per row that was not built."""
    missing = views.loc[views["reason"] != "", ["label", "reason"]].drop_duplicates()
    return [f"{line.label} was not rebuilt: {line.reason}" for line in missing.itertuples()]


def _groups(views: pd.DataFrame, convention: str) -> dict[tuple[str, str], str]:
    """Method and column -> the group of the cell; nothing from views of an earlier version, which have none."""
    if f"{convention}_group" not in views:
        return {}
    return {(line["method"], line["column"]): line[f"{convention}_group"] for line in views.to_dict("records")}


def _fitting(frame: pd.DataFrame, columns: Sequence[str], cells: Cells, width: int) -> Iterator[list[str]]:
    """Groups of columns that fit beside the row labels."""
    labels = max(len(_label(frame, row)) for row in range(len(frame)))
    group: list[str] = []
    used = labels
    for column in columns:
        texts = [_heading(frame, column), *(cells[row, column].plain for row in range(len(frame)))]
        needed = GAP + max(map(len, texts))
        if group and used + needed > width:
            yield group
            group, used = [], labels
        group.append(column)
        used += needed
    yield group


def _block(frame: pd.DataFrame, columns: Sequence[str], cells: Cells) -> Table:
    table = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False)
    table.add_column("", no_wrap=True)
    for column in columns:
        table.add_column(Text(_heading(frame, column)), justify="right", no_wrap=True)
    for row, method in enumerate(frame["method"]):
        line = (cells[row, name] for name in columns)
        table.add_row(Text(_label(frame, row)), *line, style="dim" if is_control(method) else None)
    return table


def _heading(frame: pd.DataFrame, column: str) -> str:
    return WHOLE.get(column) or heading(column, frame["unit"][0])


def _label(frame: pd.DataFrame, row: int) -> str:
    return str(frame["label"][row]) + (" (control)" if is_control(frame["method"][row]) else "")


def _cell(
    frame: pd.DataFrame, row: int, column: str, groups: Mapping[tuple[str, str], str], marks: Mapping[str, str] | None
) -> Text:
    """A cell in the style of its group. marks: behind a number by its group, else a blank; None in a column without."""
    group = groups.get((frame["method"][row], column), "")
    mark = "" if marks is None else marks.get(group, " ")
    return Text(_text(frame, row, column) + mark, STYLES.get(group, ""))


def _text(frame: pd.DataFrame, row: int, column: str) -> str:
    if column in DATA and is_control(frame["method"][row]):
        return UNDEFINED
    if column in WHOLE:
        return str(frame[column][row])
    return with_spread(frame, row, column) if column in METRICS.values() else number(frame[column][row])


def _read(path: Path) -> pd.DataFrame:
    if path.suffix != ".csv" or path.name.startswith("."):
        raise UserError(f"{path} is not a table: name its CSV, for example `semiseg show results/demo.csv`")
    if not path.exists():
        target = path.with_name(path.name.replace(".sound.csv", ".csv"))
        raise UserError(f"{path} does not exist: build it with `snakemake {target}`")
    try:
        frame = pd.read_csv(path, dtype={"label": str}, keep_default_na=False, na_values=[""])
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not a table ({error}): delete it and build it again") from None
    lacking = {"method", "label", "convention", "rule", "unit", *WHOLE} - set(frame.columns)
    if lacking or frame.empty:
        reason = f"it lacks {', '.join(sorted(lacking))}" if lacking else "it has no rows"
        raise UserError(f"{path} is not a table ({reason}): name a table such as results/demo.csv, or build it again")
    return frame
