"""Rule ``site``: all tables of the project as a folder of pages that needs no server and no network."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from semiseg.base.errors import UserError
from semiseg.base.files import sha256, write_text
from semiseg.base.parallel import each
from semiseg.graph.plan import Plan
from semiseg.graph.shown import label
from semiseg.graph.site import definition_hash
from semiseg.graph.split_lists import caveats, list_state
from semiseg.params.reading import read
from semiseg.report.site.cases import worst_case
from semiseg.report.site.data import Built, Definition, read_built, with_error
from semiseg.report.site.documents import read_documents
from semiseg.report.site.pages import Pages
from semiseg.report.site.volumes import case_jobs, write_case

logger = logging.getLogger(__name__)
PARAMS = Path("params.yaml")


def write_site(spec: Mapping[str, Any], out: Path, files: Path, workers: int) -> None:
    """Write the site into the folder of ``out``, its index; ``files`` lists all others with their sha256.

    spec: as ``semiseg.graph.site.site_spec`` gives it. Files of an earlier site that are no part of this one are
    removed. Raises UserError where params.yaml or a table has changed since the site was planned.
    """
    write_pages(_tables(spec), out, files, workers)


def write_pages(tables: Sequence[Built | Definition], out: Path, files: Path, workers: int) -> None:
    """Write the site over these tables."""
    documents = read_documents()
    pages = Pages(out.parent, documents)
    pages.static()
    pages.documents(documents)
    for table in tables:
        if isinstance(table, Built):
            _write_built(pages, table, workers)
        else:
            pages.planned(table)
    pages.index(tables)
    written = sorted(path.relative_to(out.parent).as_posix() for path in set(pages.written))
    _remove_others(files, set(written))
    write_text(files, "".join(f"{sha256(out.parent / name)}  {name}\n" for name in written))
    size = sum((out.parent / name).stat().st_size for name in written)
    logger.info(f"{out}: {len(written)} files, {size / 2**20:.1f} MiB")


def _tables(spec: Mapping[str, Any]) -> list[Built | Definition]:
    """All tables, those that are built first. Raises UserError where params.yaml is not what was planned."""
    plan = Plan(read(PARAMS))
    found: list[Built | Definition] = []
    for name, state in spec["tables"].items():
        if name not in plan.params.tables or definition_hash(plan, name) != state["definition"]:
            raise UserError(
                f"table {name} in {PARAMS} has changed since the site was planned: call snakemake again,"
                " without --config and --configfile, which the site does not see"
            )
        found.append(_table(define(plan, name), state))
    return sorted(found, key=lambda table: not isinstance(table, Built))


def _table(definition: Definition, state: Mapping[str, Any]) -> Built | Definition:
    if "error" in state:
        return with_error(definition, state["error"])
    if "record" not in state:
        return definition
    return read_built(definition, state["record"], state.get("audit"), state.get("audited", ""))


def define(plan: Plan, name: str) -> Definition:
    """A table as params.yaml defines it, with what is known of its list of cases."""
    table = plan.table(name)
    cases = list_state(plan, name)
    return Definition(
        name=name,
        title=table.title,
        paper=table.paper,
        dataset=table.dataset,
        protocol=table.protocol,
        published=plan.protocol(table.protocol).scoring,
        printed=table.printed,
        rows={row.method: label(plan.params, row) for row in table.rows},
        unformed="" if cases.can_be_formed else cases.sentence,
        instead=cases.instead,
        caveats=(*table.notes, *caveats(plan.split(table.dataset, table.split))),
    )


def _write_built(pages: Pages, table: Built, workers: int) -> None:
    """The pages of a table, with the volumes of its cases."""
    worst = {method: case for method, found in table.cases.items() if (case := worst_case(found)) is not None}
    jobs = case_jobs(table.spec, worst, pages.folder)
    written = each(write_case, jobs, workers, f"scans of {table.name}")
    volumes = {job.case: found for job, found in zip(jobs, written, strict=True)}
    pages.written += [path for found in written for path in found.files]
    pages.table(table)
    for method in table.spec.runs:
        pages.row(table, method, volumes)


def _remove_others(files: Path, written: set[str]) -> None:
    """Remove the files of an earlier site that this one does not have. files: the earlier site's list."""
    if not files.exists():
        return
    for line in files.read_text(encoding="utf-8").splitlines():
        name = line.partition("  ")[2]
        if name and name not in written and ".." not in Path(name).parts and not Path(name).is_absolute():
            (files.parent / name).unlink(missing_ok=True)
