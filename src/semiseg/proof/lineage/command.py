"""``semiseg lineage``: a tree of all that a cell of a table, or any file, was made from, down to the raw scans."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from semiseg.base.errors import UserError
from semiseg.base.metric_names import LOWER_IS_BETTER, METRICS
from semiseg.base.names import guess
from semiseg.base.texts import some
from semiseg.jobs.record import kind_of
from semiseg.params.table_spec import TableSpec, read_spec
from semiseg.paths import LINEAGE
from semiseg.proof.audit.chain import in_project, rows_of
from semiseg.proof.audit.check_cells import cells_of, form
from semiseg.proof.audit.verdicts import short
from semiseg.proof.lineage.here import as_lines, other_files
from semiseg.proof.lineage.tree import Node, TreeBuilder, code_and_parameters, entry_data, job_node
from semiseg.proof.provenance import Link, recorded_chain
from semiseg.scoring.averages import gather, per_case
from semiseg.scoring.cases import read_cases
from semiseg.scoring.conventions import scoring_rules
from semiseg.scoring.scoring_rules import get_rule

JOBS_SHOWN = 6
WIDTH = 140  # characters per line in a file or pipe, which have no width of their own


def cell_tree(target: Path, row: str, column: str) -> Node:
    """The tree behind one cell. row: its method or label. column: an organ or a mean.

    Raises UserError for a target that is no table, and for an unknown row or column, with the known ones.
    """
    table = _chain(target)[-1]
    if table.record is None or table.record["rule"] != "table":
        raise UserError(f"{target} is no table: name one such as results/demo.csv, or leave out --row and --column")
    spec = read_spec(TableSpec, table.record["params"], f"the record of {target}")
    method = _method(table, spec, row)
    columns = [*spec.abbreviations, *(METRICS[name] for name in spec.metrics)]
    if column not in columns:
        raise UserError(
            f"table {spec.table} has no column {column!r}; it has: {', '.join(columns)}{guess(column, columns)}"
        )
    own = next(path for path in rows_of(table) if Path(path).stem == method)
    links = recorded_chain(own)
    leaves = {
        link.main: _per_case(link, spec, column) for link in links if link.record and link.record["rule"] == "evaluate"
    }
    values = {
        cell.convention: cell.value for cell in cells_of(table.main) if (cell.row, cell.column) == (method, column)
    }
    facts = {
        "table": table.main,
        "row": method,
        "column": column,
        "values": values,
        "record": table.record["id"],
        "outputs": [entry_data(entry) for entry in table.outputs],
        "inputs": [entry_data(entry) for entry in table.inputs if entry.path == own],
    }
    place = f"{table.main}  sha256 {short(table.outputs[0].sha256)}  record {short(table.record['id'])}"
    below = (TreeBuilder(links, leaves).build(own), code_and_parameters([*links, table]))
    return Node(_cell_text(spec, method, column, values, table.main), place, facts, below)


def file_tree(target: Path) -> Node:
    """The tree behind a file. The jobs behind a table are grouped by rule."""
    links = _chain(target)
    last = links[-1]
    if last.record is None or last.record["rule"] != "table":
        return TreeBuilder(links).build(last.main)
    groups: dict[str, list[Link]] = {}
    for link in links[:-1]:
        groups.setdefault(str(link.record["rule"]) if link.record else "no usable record", []).append(link)
    below = [_group(rule, jobs) for rule, jobs in reversed(groups.items())]
    alone = job_node(last)
    text = f"table {last.record['params']['table']}; --row and --column show the chain of one cell"
    return Node(text, alone.place, alone.facts, (*below, code_and_parameters(links)), name="groups")


def show(root: Node, target: Path, as_json: bool) -> bool:
    """Print a tree as lines, or as JSON. Returns whether all its files that are here are those of the records.

    Files that are not are named before the tree; in the JSON in ``other_files``.
    """
    others = other_files(root, as_json)
    if as_json:
        data = root.as_data()
        print(json.dumps({"other_files": others, **data} if others else data, indent=1, ensure_ascii=False))
    else:
        for line in as_lines(others, target):
            print(line)
        tree = Tree(_text(root))
        _add_children(tree, root)
        Console(width=None if sys.stdout.isatty() else WIDTH).print(tree)
    return not others


def _add_children(tree: Tree, node: Node) -> None:
    """Add the nodes below a node to its tree for the terminal."""
    for below in node.below[: node.shown]:
        _add_children(tree.add(_text(below)), below)
    if node.shown is not None and len(node.below) > node.shown:
        tree.add(Text(f"and {len(node.below) - node.shown} more"))


def _text(node: Node) -> Text:
    text = Text(node.text)
    if node.place:
        text.append(f"\n{node.place}", style="dim")
    return text


def _chain(target: Path) -> list[Link]:
    """The chain behind a file in the working folder. Raises UserError for a file without a usable record."""
    inside = Path(in_project(target).as_posix().removesuffix(LINEAGE))
    links = recorded_chain(inside)
    if links[-1].record is None and not inside.exists():
        raise UserError(f"{target} is not here: build it with `snakemake {inside.as_posix()}`, or correct its name")
    if links[-1].record is None:
        raise UserError(f"{links[-1].fault}, so nothing tells what it was made from")
    return links


def _method(table: Link, spec: TableSpec, row: str) -> str:
    """The method of a row, which is given by its method or its label."""
    built = [Path(path).stem for path in rows_of(table)]
    labels = {spec.label(method): method for method in built}
    method = row if row in built else labels.get(row)
    if method is None:
        near = guess(row, [*built, *labels])
        raise UserError(f"table {spec.table} has no row {row!r}; it has: {', '.join(built)}{near}")
    return method


def _per_case(link: Link, spec: TableSpec, column: str) -> list[Node]:
    """One node per case with its values under both conventions: the cell is their mean. Without scores, the reason."""
    path = Path(link.main)
    if path.exists() and not path.is_file():
        return [Node(f"{path} is {kind_of(path)}")]
    metric = next((key for key, name in METRICS.items() if name == column), "dice")
    organs = [column] if column in spec.abbreviations else spec.abbreviations
    values: dict[str, dict[str, float]] = {}
    try:
        run = read_cases(path)
        for convention, rule in scoring_rules(spec.published).items():
            for case, value in per_case(gather(rule, [run], organs))[metric].dropna().items():
                values.setdefault(str(case), {})[convention] = float(value)
    except UserError as error:
        return [Node(str(error))]
    return [
        Node(
            f"{case}: {', '.join(f'{value:.2f} {name}' for name, value in both.items())}",
            facts={"list": "per_case", "case": case, **both},
        )
        for case, both in values.items()
    ]


def _cell_text(spec: TableSpec, method: str, column: str, values: Mapping[str, str], table: str) -> str:
    """The line of a cell: its value, unit and scoring rule under each convention, its runs, and where these differ."""
    printed = [
        f"{values.get(name) or 'undefined'} {get_rule(rule).unit if column in LOWER_IS_BETTER else '%'}"
        f" {name} (rule {rule})"
        if Path(form(table, name)).is_file()
        else f"{name} not known ({form(table, name)} is not here)"
        for name, rule in scoring_rules(spec.published).items()
    ]
    seeds = [str(seed) for seed in spec.seeds]
    runs = f"one run, seed {seeds[0]}" if len(seeds) == 1 else f"mean over the runs of seeds {some(seeds)}"
    if method in spec.own_protocols:
        runs += f", trained by protocol {spec.own_protocols[method].name} in place of the table's {spec.protocol}"
    if method in spec.imported:
        runs += f", not trained here but with the weights {spec.brought[method]}, which the user brought"
    if method in spec.same_as:
        runs += f", which are those of row {spec.same_as[method]}, the same computation"
    return f"{method}, {column}: {', '.join(printed)}; {runs}"


def _group(rule: str, jobs: Sequence[Link]) -> Node:
    """A node for the jobs of one rule. The first jobs are printed, the data has all of them."""
    nodes = [
        job_node(job) if job.record else Node(job.fault or "", job.main, {"path": job.main, "fault": job.fault})
        for job in jobs
    ]
    return Node(f"{rule}: {len(jobs)}", "", {"rule": rule}, nodes, JOBS_SHOWN, name="jobs")
