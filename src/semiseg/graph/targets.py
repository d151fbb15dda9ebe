"""Files that a user names: one that no rule makes is refused before anything else is looked for."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from semiseg.base.errors import UserError
from semiseg.base.names import guess
from semiseg.graph.figures import CHARTS, FORMATS
from semiseg.graph.graph import Graph
from semiseg.graph.plan import Plan
from semiseg.params.reading import read
from semiseg.paths import FIGURE, FORMS, TABLE, record_path

PARAMS = Path("params.yaml")


def check_target(target: Path) -> None:
    """Raise UserError for a file that is not here and that no rule makes, with the nearest ones that a rule makes.

    Works in the current folder. A file that is here, or whose lineage record is, may have any name.
    """
    if target.exists() or Path(record_path(target)).exists():
        return
    if not PARAMS.exists():
        raise UserError(f"{target} is not here, nor is {PARAMS}: run from the project's folder")
    graph = Graph(Plan(read(PARAMS)))
    path = target.relative_to(Path.cwd()) if target.is_relative_to(Path.cwd()) else target
    if graph.maker(path.as_posix()) is not None:
        return
    known = graph.plan.params.tables
    if target.name.removesuffix(".csv") in known:
        raise UserError(f"no rule makes {target}: name {TABLE.format(table=target.name.removesuffix('.csv'))}")
    near = guess(path.as_posix(), _files(known)) or guess(target.stem, known)
    raise UserError(f"no rule makes {target}: name a table such as results/demo.csv{near}")


def _files(tables: Iterable[str]) -> Iterator[str]:
    """The files of these tables that people open: the table in all its forms, and its charts."""
    for table in tables:
        csv = TABLE.format(table=table)
        yield from (csv, *(csv.removesuffix(".csv") + form for form in FORMS))
        yield from (FIGURE.format(table=table, figure=chart, format=kind[1:]) for chart in CHARTS for kind in FORMATS)
