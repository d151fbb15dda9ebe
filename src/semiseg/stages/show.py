"""``semiseg show``: a finished table on the terminal."""

from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

from semiseg.errors import UserError
from semiseg.report.cells import COUNTS, DATA, METRICS, UNDEFINED, heading, is_control, number, ranks, with_spread

ORGAN_WIDTH = 8  # characters of an organ's column, its gap included
STYLES = {"best": "bold", "second": "underline", "": ""}


def show(path: Path, console: Console | None = None) -> None:
    """Print a table's means and, in as many blocks as the terminal's width asks for, its Dice per organ.

    Raises UserError, with the command that builds it, when the table is missing, or when the file is not a table.
    """
    frame, console = _read(path), console or Console()
    means = [name for name in METRICS.values() if name in frame]
    organs = list(frame.columns[frame.columns.get_loc("unlabelled") + 1 : frame.columns.get_loc(means[0])])  # type: ignore[misc]
    title = f"{path.name.removesuffix('.csv')} ({frame['convention'][0]} convention, rule {frame['rule'][0]})"
    console.print(_block(frame, title, [*means, *DATA, *COUNTS]))
    label_width = max(len(label) for label in frame["label"]) + len(" (control)") + 2
    fitting = max((console.width - label_width) // ORGAN_WIDTH, 1)
    for start in range(0, len(organs), fitting) if len(organs) > 1 else ():
        console.print(_block(frame, "Dice per organ (%)", organs[start : start + fitting]))
    page, sound = path.with_suffix(".html"), path.with_suffix(".sound.csv")
    for what, other in (("page", page), ("sound convention", sound)):
        if other.exists():
            console.print(f"{what}: {other}", soft_wrap=True, highlight=False)


def _block(frame: pd.DataFrame, title: str, columns: list[str]) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    table.add_column("", no_wrap=True)
    for column in columns:
        table.add_column(heading(column, frame["unit"][0]), justify="right")
    styles = {column: [STYLES[rank] for rank in ranks(frame, column)] for column in columns}
    for row, method in enumerate(frame["method"]):
        control = is_control(method)
        cells = [_styled(_text(frame, row, column), styles[column][row], column) for column in columns]
        label = frame["label"][row] + (" (control)" if control else "")
        table.add_row(label, *cells, style="dim" if control else None)
    return table


def _text(frame: pd.DataFrame, row: int, column: str) -> str:
    value = frame[column][row]
    if column in METRICS.values():
        return with_spread(frame, row, column)
    return str(value) if frame[column].dtype.kind == "i" else number(value)


def _styled(text: str, style: str, column: str) -> str:
    return f"[{style}]{text}[/]" if style and column not in {*DATA, *COUNTS} and text != UNDEFINED else text


def _read(path: Path) -> pd.DataFrame:
    if path.suffix != ".csv" or path.name.startswith("."):
        raise UserError(f"{path} is not a table: name its CSV, for example `semiseg show results/demo.csv`")
    if not path.exists():
        target = path.with_name(path.name.replace(".sound.csv", ".csv"))
        raise UserError(f"{path} does not exist: build it with `snakemake {target}`")
    try:
        frame = pd.read_csv(path)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not a table ({error}): delete it and build it again") from None
    lacking = {"method", "label", "convention", "rule", "unlabelled", "unit"} - set(frame.columns)
    if lacking or frame.empty:
        raise UserError(f"{path} is not a table (no column {', '.join(sorted(lacking)) or 'has rows'}): build it again")
    return frame
