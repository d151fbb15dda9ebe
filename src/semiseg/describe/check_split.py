"""``semiseg check-split``: faults of a split that show in the scans themselves."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from semiseg.base.errors import UserError
from semiseg.base.files import read_json, write_json
from semiseg.base.parallel import each
from semiseg.base.terminal import terminal
from semiseg.base.texts import some
from semiseg.data.split import resolved
from semiseg.data.split_lists import PARTS, read_list
from semiseg.data.splitcheck.facts import CaseToCheck, Facts, facts_of
from semiseg.data.splitcheck.findings import findings, organ_counts
from semiseg.data.splitcheck.leaks import Finding
from semiseg.data.splitcheck.pairs import Pair, close_pairs
from semiseg.data.splitcheck.similarity import SAME
from semiseg.dataset import get_dataset, manifest_cases
from semiseg.describe.missing import how_to_bring
from semiseg.graph.plan import Plan
from semiseg.graph.specs import Specs
from semiseg.paths import RAW, SPLIT

STYLES = {"serious": "bold red", "warning": "yellow", "note": ""}
SHOWN_PAIRS, LISTED_PAIRS = 3, 30


def check_split(plan: Plan, dataset: str, name: str, workers: int = 2, console: Console | None = None) -> bool:
    """Check a split of raw data, write ``<split>.check.json`` beside it and print a report.

    The built split counts, or its definition in params.yaml where it is not built. Labels of unlabelled cases are not
    read. Returns whether nothing serious was found. Raises UserError when raw data or cases are missing.
    """
    kind = get_dataset(dataset)
    manifest, file = Path(RAW.format(dataset=dataset)), Path(SPLIT.format(dataset=dataset, split=name))
    if not file.exists():
        plan.split(dataset, name)  # a mistyped name is told before data is missed
    if not manifest.exists():
        drawn = f"{kind.how_to_get}; then call `snakemake {manifest}`"
        raise UserError(f"{manifest} is missing: {drawn if kind.import_from is None else how_to_bring(kind)}")
    parts = _parts(read_json(file) if file.exists() else resolved(Specs(plan).split(dataset, name), manifest), file)
    cache = file.parent / ".signatures"
    facts = each(facts_of, _cases_to_check(dataset, parts, manifest, cache), workers, f"look at {dataset}")
    pairs = close_pairs(facts, cache, workers)
    found = findings(kind, parts, facts, pairs, _twins(plan, dataset, name))
    organs = organ_counts(kind, parts, facts)
    content = {
        "dataset": dataset,
        "split": name,
        "counts": {part: len(parts[part]) for part in PARTS},
        "findings": [asdict(one) for one in found],
        "organs": organs,
        "same_from": SAME,
        "closest": [asdict(pair) for pair in pairs[:LISTED_PAIRS]],
    }
    out = file.with_name(f"{name}.check.json")
    write_json(out, content)
    _print(console or terminal(), content, found, pairs, facts, out)
    return all(one.severity != "serious" for one in found)


def _parts(content: Mapping[str, Any], file: Path) -> dict[str, list[str]]:
    if not isinstance(content, Mapping) or not all(isinstance(content.get(part), list) for part in PARTS):
        raise UserError(
            f"{file} is no split (labelled, unlabelled, val and test as lists): delete it and build it again"
        )
    return {part: [str(case) for case in content[part]] for part in PARTS}


def _cases_to_check(dataset: str, parts: Mapping[str, Sequence[str]], manifest: Path, cache: Path) -> list[CaseToCheck]:
    listed = read_json(manifest)
    cases = {case.id: case for case in manifest_cases(listed, str(manifest))}
    hashes = {name: entry["sha256"] for name, entry in listed["files"].items()}
    wanted = list(dict.fromkeys(case for part in PARTS for case in parts[part]))
    if missing := [case for case in wanted if case not in cases]:
        raise UserError(f"{len(missing)} of {len(wanted)} cases are not in {manifest} ({some(missing)}): import them")
    with_label = {case for part in ("labelled", "val", "test") for case in parts[part]}
    return [CaseToCheck(dataset, cases[case], manifest.parent, hashes, case in with_label, cache) for case in wanted]


def _twins(plan: Plan, dataset: str, name: str) -> list[list[str]]:
    definition = plan.params.splits.get(dataset, {}).get(name)
    if definition is None or definition.list is None or definition.first is not None:
        return []
    case_id = get_dataset(dataset).case_id
    return [[case_id(case) for case in group] for group in read_list(definition.list)["twins"]]


def _print(
    console: Console,
    content: Mapping[str, Any],
    found: Sequence[Finding],
    pairs: Sequence[Pair],
    facts: Sequence[Facts],
    out: Path,
) -> None:
    counts = ", ".join(f"{content['counts'][part]} {part}" for part in PARTS)
    console.print(Text(f"{content['dataset']}/{content['split']}: {len(facts)} scans ({counts})", "bold"))
    for finding in found:
        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.add_column(width=7)
        grid.add_column(overflow="fold")
        grid.add_row(Text(finding.severity, STYLES[finding.severity]), Text(finding.text))
        console.print(grid)
    if not found:
        console.print("nothing was found")
    others = [pair for pair in pairs if pair.score < SAME][:SHOWN_PAIRS]
    if others:
        shown = "; ".join(f"{pair.one} and {pair.other} {pair.score:.3f}" for pair in others)
        console.print(Text(f"closest pairs that do not count as the same scan (below {SAME}): {shown}", "dim"))
    if content["organs"]:
        console.print(_organ_table(content["organs"], content["counts"]))
    serious = sum(one.severity == "serious" for one in found)
    verdict = f"serious findings: {serious}, results on this split mislead" if serious else "nothing serious"
    console.print(Text(f"{verdict}; all of it: {out}", "bold red" if serious else "green"), soft_wrap=True)


def _organ_table(organs: Mapping[str, Mapping[str, int]], counts: Mapping[str, int]) -> Table:
    table = Table(title="cases with each organ", title_justify="left", box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("organ")
    for part in organs:
        table.add_column(f"{part} ({counts[part]})", justify="right")
    for organ in next(iter(organs.values())):
        table.add_row(organ, *(str(organs[part][organ]) for part in organs))
    return table
