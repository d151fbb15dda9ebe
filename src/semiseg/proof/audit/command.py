"""``semiseg audit``: prove a table, or any file behind one, from its number down to the raw scans."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from semiseg.graph.graph import Graph
from semiseg.jobs.environment import package_hash, params_hash
from semiseg.proof.audit.cells import FORMS, Cell, Lines, cells_of, check_rows, check_table, form, rescore
from semiseg.proof.audit.chain import Chain, resolved, rows_of
from semiseg.proof.audit.content import check_content
from semiseg.proof.audit.findings import Finding, Note, Verdict, worst
from semiseg.proof.audit.report import Report, Table
from semiseg.proof.audit.wanted import OTHER_CODE, check_wanted
from semiseg.proof.provenance import Link


@dataclass(frozen=True)
class Options:
    """How to audit.

    quick: files whose size, times and inode are those of an earlier audit are not read again. redo: ``score``,
    ``predict`` or ``train`` a sample of so many jobs again. strict: what changes no number counts too.
    """

    quick: bool = False
    workers: int = 2
    redo: str | None = None
    sample: int = 1
    strict: bool = False


def audit(graph: Graph, targets: Sequence[Path], options: Options) -> Report:
    """Audit files of the project in the working folder. UserError for a target that no rule and no record knows."""
    asked = list(dict.fromkeys(resolved(path, graph) for path in targets))
    chain = Chain(graph, asked)
    content = check_content(chain.links, options.workers, options.quick)
    wanted = [found for link in chain.links for found in check_wanted(link, graph)]
    other_code = {found.at for found in wanted if found.text.startswith(OTHER_CODE)}
    told = {found.path for found in content.findings}
    faults = [found for found in chain.faults() if found.path not in told]
    findings = [*faults, *content.findings, *wanted]
    scored = rescore(chain.links, other_code, content.hashes, options.workers, options.quick)
    findings += _recomputed(chain, scored, {found.path for found in findings})
    if options.redo is not None:
        from semiseg.proof.audit.redo import redo

        sound = _sound(chain, findings)
        findings += redo(sound, content.away, options.redo, options.sample, options.workers)
    return Report(
        targets={path: _verdict(chain, chain.of(path).main, findings) for path in asked},
        tables=[Table(table.main, _cells(chain, table, findings)) for table in chain.tables()],
        findings=findings,
        notes=[*content.notes, *_notes(chain, {found.at for found in wanted})],
        away=content.away,
        ids={path: link.record["id"] for path in asked if (link := chain.of(path)).record},
        records=sum(link.record is not None for link in chain.links),
        files=sum(found is not None for found in content.hashes.values()),
        strict=options.strict,
    )


def _recomputed(chain: Chain, scored: dict[str, Lines], known: set[str]) -> Iterator[Finding]:
    """Rows, where nothing is known to be wrong with the file itself, and tables that are not what the scores give."""
    yield from (found for found in check_rows(scored) if found.path not in known)
    for table in chain.tables():
        yield from check_table(table.main, rows_of(table), scored)


def _sound(chain: Chain, findings: Sequence[Finding]) -> list[Link]:
    """Links with nothing wrong behind them: only those are worth doing again."""
    bad = {found.at for found in findings}
    return [link for link in chain.links if not chain.behind(link.main) & bad]


def _verdict(chain: Chain, main: str, findings: Sequence[Finding]) -> Verdict:
    behind = chain.behind(main)
    return worst(found.verdict for found in findings if found.at in behind)


def _cells(chain: Chain, table: Link, findings: Sequence[Finding]) -> dict[Cell, Verdict]:
    """Verdict of every cell: the worst of its row's chain, of the table's own making, and of the field itself."""
    own = [found for found in findings if found.at == table.main]
    alone = {found.cell: found.verdict for found in own if found.cell}
    common = {convention: _on_all(table, form(table.main, convention), own) for convention in FORMS}
    shared = [found for found in findings if found.at != table.main]
    rows = {Path(row).stem: _verdict(chain, chain.of(row).main, shared) for row in rows_of(table)}
    return {
        cell: worst(
            (
                rows.get(cell.row, Verdict.CHANGED),
                common[cell.convention],
                alone.get((cell.row, cell.convention, cell.column), Verdict.PROVEN),
            )
        )
        for cell in cells_of(table.main)
    }


def _on_all(table: Link, path: str, own: Sequence[Finding]) -> Verdict:
    """What of a table's own findings holds for every cell of one form.

    That its text would be another now (stale) holds for none: each number is compared with its scores. A form that was
    changed tells on the cells that differ, and on all only where none does; other forms tell on none.
    """
    forms = {entry.path for entry in table.outputs}
    told = any(found.cell for found in own if found.path == path)
    of_files = {found for found in own if found.verdict in (Verdict.CHANGED, Verdict.MISSING) and found.path in forms}
    of_this = [found for found in of_files if found.path == path and not found.cell and not told]
    others = [found for found in own if found not in of_files and found.verdict is not Verdict.STALE]
    return worst(found.verdict for found in [*others, *of_this])


def _notes(chain: Chain, stale: set[str]) -> Iterator[Note]:
    """Bytes of source and parameters that differ without a meaning for any of these jobs."""
    links = [link for link in chain.links if link.record is not None and link.main not in stale]
    for name, now, text in (
        (
            "package",
            package_hash(),
            "source differs in nothing that these were made by: comments, texts, other modules",
        ),
        ("params", params_hash(), "params.yaml differs in nothing that these depend on: comments, other parameters"),
    ):
        then = {link.main: (link.record or {}).get("source", {}).get(name, now) for link in links}
        if others := tuple(main for main, told in then.items() if told != now):
            yield Note(text, others)
