"""``semiseg lineage``: what a cell of a table, or any file, was made from: a tree from the number to the raw scans."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from semiseg.base.errors import UserError
from semiseg.base.metric_names import LOWER_IS_BETTER, METRICS
from semiseg.base.progress import some
from semiseg.jobs.record import kind_of
from semiseg.params.table_spec import TableSpec, read_spec
from semiseg.paths import LINEAGE
from semiseg.proof.audit.cells import FORMS, cells_of
from semiseg.proof.audit.chain import in_project, rows_of
from semiseg.proof.audit.findings import short
from semiseg.proof.lineage.tree import Node, Teller, circumstances, told_alone, vars_of
from semiseg.proof.provenance import Link, recorded_chain
from semiseg.scoring.cases import read_cases
from semiseg.scoring.conventions import rules_of
from semiseg.scoring.rules import get_rule

JOBS_SHOWN = 6
WIDTH = 140  # of a file or pipe; a terminal has its own


def cell_story(target: Path, row: str, column: str) -> Node:
    """What one cell was made from. row: its method or label; column: an organ or a mean.

    Raises UserError for what is no table, and for an unknown row or column, with the known ones.
    """
    table = _chain(target)[-1]
    if table.record is None or table.record["rule"] != "table":
        raise UserError(f"{target} is no table: name one such as results/demo.csv, or leave out --row and --column")
    spec = read_spec(TableSpec, table.record["params"], f"the record of {target}")
    method = _method(table, spec, row)
    columns = [*spec.abbreviations, *(METRICS[name] for name in spec.metrics)]
    if column not in columns:
        raise UserError(f"table {spec.table} has no column {column!r}; it has: {', '.join(columns)}")
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
        "outputs": [vars_of(entry) for entry in table.outputs],
    }
    place = f"{table.main}  sha256 {short(table.outputs[0].sha256)}  record {short(table.record['id'])}"
    below = (Teller(links, leaves).tell(own), circumstances([*links, table]))
    return Node(_cell_words(spec, method, column, values), place, facts, below)


def file_story(target: Path) -> Node:
    """What a file was made from; of a table its chain, grouped by rule."""
    links = _chain(target)
    last = links[-1]
    if last.record is None or last.record["rule"] != "table":
        return Teller(links).tell(last.main)
    groups: dict[str, list[Link]] = {}
    for link in links[:-1]:
        groups.setdefault(str(link.record["rule"]) if link.record else "no usable record", []).append(link)
    below = [_group(rule, jobs) for rule, jobs in reversed(groups.items())]
    alone = told_alone(last)
    words = f"table {last.record['params']['table']}; --row and --column tell the chain of one cell"
    return Node(words, alone.place, alone.facts, (*below, circumstances(links)), name="groups")


def show(story: Node, as_json: bool) -> None:
    """Print a story as a tree, or as JSON."""
    if as_json:
        print(json.dumps(story.as_data(), indent=1, ensure_ascii=False))
    else:
        Console(width=None if sys.stdout.isatty() else WIDTH).print(_tree(story))


def _tree(node: Node, into: Tree | None = None) -> Tree:
    text = Text(node.text)
    if node.place:
        text.append(f"\n{node.place}", style="dim")
    tree = Tree(text) if into is None else into.add(text)
    for below in node.below[: node.shown]:
        _tree(below, tree)
    if node.shown is not None and len(node.below) > node.shown:
        tree.add(Text(f"and {len(node.below) - node.shown} more"))
    return tree


def _chain(target: Path) -> list[Link]:
    """The chain of a file in the working folder, which has a record."""
    inside = Path(in_project(target).as_posix().removesuffix(LINEAGE))
    links = recorded_chain(inside)
    if links[-1].record is None and not inside.exists():
        raise UserError(f"{target} is not here: build it with `snakemake {inside.as_posix()}`, or correct its name")
    if links[-1].record is None:
        raise UserError(f"{links[-1].fault}, so nothing tells what it was made from")
    return links


def _method(table: Link, spec: TableSpec, row: str) -> str:
    """The method of a row that is named by it, or by its label."""
    built = [Path(path).stem for path in rows_of(table)]
    labels = {spec.label(method): method for method in built}
    method = row if row in built else labels.get(row)
    if method is None:
        raise UserError(f"table {spec.table} has no row {row!r}; it has: {', '.join(built)}")
    return method


def _per_case(link: Link, spec: TableSpec, column: str) -> list[Node]:
    """The values of each case that the cell is the mean of, under both rules; nothing where there are no scores."""
    path = Path(link.main)
    if path.exists() and not path.is_file():
        return [Node(f"{path} is {kind_of(path)}")]
    try:
        frame = read_cases(path)
    except UserError as error:
        return [Node(str(error))]
    metric = next((key for key, name in METRICS.items() if name == column), "dice")
    wanted = frame[frame["organ"].isin([column] if column in spec.abbreviations else spec.abbreviations)]
    values: dict[str, dict[str, float]] = {}
    for convention, name in rules_of(spec.published).items():
        rule = get_rule(name)
        per_case = rule.values(wanted[wanted["grid"] == rule.grid]).groupby("case", sort=False)[metric].mean()
        for case, value in per_case.dropna().items():
            values.setdefault(str(case), {})[convention] = float(value)
    return [
        Node(
            f"{case}: {', '.join(f'{value:.2f} {name}' for name, value in both.items())}",
            facts={"list": "per_case", "case": case, **both},
        )
        for case, both in values.items()
    ]


def _cell_words(spec: TableSpec, method: str, column: str, values: Mapping[str, str]) -> str:
    told = [
        f"{values.get(name) or 'undefined'} {get_rule(rule).unit if column in LOWER_IS_BETTER else '%'}"
        f" {name} (rule {rule})"
        for name, rule in rules_of(spec.published).items()
        if name in FORMS
    ]
    seeds = [str(seed) for seed in spec.seeds]
    runs = f"one run, seed {seeds[0]}" if len(seeds) == 1 else f"mean over the runs of seeds {some(seeds)}"
    return f"{method}, {column}: {', '.join(told)}; {runs}"


def _group(rule: str, jobs: Sequence[Link]) -> Node:
    """The jobs of one rule: the first ones in the tree, all in the data."""
    nodes = [
        told_alone(job) if job.record else Node(job.fault or "", job.main, {"path": job.main, "fault": job.fault})
        for job in jobs
    ]
    return Node(f"{rule}: {len(jobs)}", "", {"rule": rule}, nodes, JOBS_SHOWN, name="jobs")
