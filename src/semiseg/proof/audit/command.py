"""``semiseg audit``: checks a table, or any file behind one, from its numbers down to the raw scans."""

import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from semiseg.graph.graph import Graph
from semiseg.jobs.environment import now
from semiseg.paths import VERDICTS
from semiseg.proof.audit.cache import recall, remember
from semiseg.proof.audit.chain import Chain, resolved, rows_of
from semiseg.proof.audit.check_case_values import check_case_values
from semiseg.proof.audit.check_cells import Cell, Lines, cells_of, check_rows, check_table, form, rescore
from semiseg.proof.audit.check_files import check_content
from semiseg.proof.audit.check_staleness import OTHER_CODE, check_wanted
from semiseg.proof.audit.notes import notes_on_source
from semiseg.proof.audit.report import Report, Table
from semiseg.proof.audit.sealed import records, remember_whole
from semiseg.proof.audit.verdicts import Finding, Verdict, worst
from semiseg.proof.provenance import Link
from semiseg.scoring.conventions import CONVENTIONS


@dataclass(frozen=True)
class Options:
    """How to audit.

    quick: files whose size, times and inode are those of an earlier audit are not hashed again, nor are the seals of
    records checked. redo: repeat some jobs of this kind (``score``, ``predict`` or ``train``), at most ``sample`` of
    them. strict: notes count, too.
    """

    quick: bool = False
    workers: int = 2
    redo: str | None = None
    sample: int = 1
    strict: bool = False


def audit(graph: Graph, targets: Sequence[Path], options: Options) -> Report:
    """Audit files of the project in the working folder. UserError for a target that no rule and no record knows."""
    files = list(dict.fromkeys(resolved(path, graph) for path in targets))
    began = time.time_ns()
    chain = Chain(graph, files, records(options.quick))
    remember_whole(chain.links, began)
    content = check_content(chain.links, options.workers, options.quick)
    wanted = [found for link in chain.links for found in check_wanted(link, graph)]
    other_code = {found.at for found in wanted if found.text.startswith(OTHER_CODE)}
    faults = [found for found in chain.faults() if found.path not in {one.path for one in content.findings}]
    findings = [*faults, *content.findings, *wanted]
    scored = rescore(chain.links, other_code, content.hashes, options.workers, options.quick)
    findings += _recomputed(chain, scored, {found.path for found in findings})
    values = [check_case_values(table, other_code, content.hashes, options.quick) for table in chain.tables()]
    known = {found.path for found in findings}
    findings += [found for each in values for found in each if found.path not in known]
    if options.redo is not None:
        from semiseg.proof.audit.check_bits import redo

        sound = _sound(chain, findings)
        findings += redo(sound, content.away, options.redo, options.sample, options.workers)
    report = Report(
        targets=_targets(chain, files, findings),
        tables=[Table(table.main, _cells(chain, table, findings)) for table in chain.tables()],
        findings=findings,
        notes=[*content.notes, *notes_on_source(chain.links, {found.at for found in wanted})],
        away=content.away,
        ids={path: link.record["id"] for path in files if (link := chain.of(path)).record},
        shared=Path("dvc.lock").exists(),
        records=sum(link.record is not None for link in chain.links),
        files=sum(found is not None for found in content.hashes.values()),
        strict=options.strict,
    )
    _remember_rows(chain, report)
    return report


def _remember_rows(chain: Chain, report: Report) -> None:
    """Save the worst verdict on each row of the audited tables, with the table's record and the day, for the site."""
    tables = dict(recall(VERDICTS))
    for table in report.tables:
        rows: dict[str, Verdict] = {}
        for cell, verdict in table.cells.items():
            rows[cell.row] = max(verdict, rows.get(cell.row, Verdict.PROVEN))
        record = chain.of(table.path).record
        words = {row: str(verdict) for row, verdict in rows.items()}
        identity = record["id"] if record else None
        tables[table.path] = {"record": identity, "rows": words, "day": now().partition("T")[0]}
    if report.tables:
        remember(VERDICTS, tables)


def _recomputed(chain: Chain, scored: dict[str, Lines], known: set[str]) -> Iterator[Finding]:
    """Findings about rows and tables whose numbers differ from what the scores give.

    known: files with a finding. Row files among them get no second one.
    """
    yield from (found for found in check_rows(scored) if found.path not in known)
    for table in chain.tables():
        yield from check_table(table.main, rows_of(table), scored)


def _sound(chain: Chain, findings: Sequence[Finding]) -> list[Link]:
    """Links with nothing wrong behind them, because only these can be expected to repeat."""
    bad = {found.at for found in findings}
    return [link for link in chain.links if not chain.behind(link.main) & bad]


def _by_job(findings: Iterable[Finding]) -> dict[str, Verdict]:
    """The worst verdict on each job that has a finding, by its main output."""
    verdicts: dict[str, Verdict] = {}
    for found in findings:
        verdicts[found.at] = max(found.verdict, verdicts.get(found.at, Verdict.PROVEN))
    return verdicts


def _verdict(chain: Chain, main: str, verdicts: Mapping[str, Verdict]) -> Verdict:
    """The verdict on the outputs of a job: the worst on it and on all that it was made from (``_by_job``)."""
    return worst(verdicts[job] for job in chain.behind(main) if job in verdicts)


def _targets(chain: Chain, files: Sequence[str], findings: Sequence[Finding]) -> dict[str, Verdict]:
    """The verdict of each audited file, and of each file of the same job that is changed or missing.

    Such a file, as another form of a table, gives its verdict to itself and to what was made from it, and not to the
    other files that its job wrote.
    """
    verdicts: dict[str, Verdict] = {}
    for path in files:
        link = chain.of(path)
        written = chain.written(link)
        single = [found for found in findings if found.at == link.main and _is_of_one_file(found, written)]
        common = _by_job(found for found in findings if found not in single)
        beside = list(dict.fromkeys(found.path for found in single if found.path != path))
        for each in (path, *beside):
            own = [found for found in single if found.path == each]
            verdicts[each] = worst((_verdict(chain, link.main, common), *(found.verdict for found in own)))
    return verdicts


def _is_of_one_file(found: Finding, written: Collection[str]) -> bool:
    """Whether a finding is about one of the files that a job wrote, and not about the job."""
    return found.verdict in (Verdict.CHANGED, Verdict.MISSING) and found.path in written


def _cells(chain: Chain, table: Link, findings: Sequence[Finding]) -> dict[Cell, Verdict]:
    """Verdict of every cell: the worst of the chain of its row, of the table's job, and of the field itself."""
    own = [found for found in findings if found.at == table.main]
    single = {key: found.verdict for found in own for key in (found.cells or (found.cell,))}
    common = {convention: _for_all_cells(table, form(table.main, convention), own) for convention in CONVENTIONS}
    shared = _by_job(found for found in findings if found.at != table.main)
    rows = {Path(row).stem: _verdict(chain, chain.of(row).main, shared) for row in rows_of(table)}
    return {
        cell: worst(
            (
                rows.get(cell.row, Verdict.CHANGED),
                common[cell.convention],
                single.get((cell.row, cell.convention, cell.column), Verdict.PROVEN),
            )
        )
        for cell in cells_of(table.main)
    }


def _for_all_cells(table: Link, path: str, own: Sequence[Finding]) -> Verdict:
    """The verdict that a table's own findings give to every cell of one of its CSV files.

    A stale table gives none, because each number is compared with its scores. A changed or missing file gives its
    verdict to its own cells only, and not to those of the table's other files. Where cells, rows or columns of the file
    are known to differ, these have the verdict and the others do not.
    """
    forms = [entry.path for entry in table.outputs]
    of_files = {found for found in own if _is_of_one_file(found, forms)}
    of_this = [found for found in of_files if found.path == path]
    if any(found.cell or found.cells is not None for found in of_this):
        of_this = []
    others = [found for found in own if found not in of_files and found.verdict is not Verdict.STALE]
    return worst(found.verdict for found in [*others, *of_this])
