"""Files that a user names: one that no rule makes is refused before anything else is looked for."""

from pathlib import Path

from semiseg.base.errors import UserError
from semiseg.base.names import guess
from semiseg.graph.graph import Graph
from semiseg.graph.plan import Plan
from semiseg.params.reading import read
from semiseg.paths import TABLE, record_path

PARAMS = Path("params.yaml")


def check_target(target: Path) -> None:
    """Raise UserError for a file that is not here and that no rule makes, with the nearest table.

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
    raise UserError(f"no rule makes {target}: name a table such as results/demo.csv{guess(target.stem, known)}")
