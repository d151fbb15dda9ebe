"""The jobs behind the audited files, and the jobs behind each of these."""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from semiseg.base.errors import UserError
from semiseg.base.sources import BrokenError
from semiseg.graph.graph import Graph
from semiseg.graph.job import Job
from semiseg.jobs.manifest import manifest_of
from semiseg.paths import LINEAGE
from semiseg.proof.audit.verdicts import MISSING, Finding, Verdict
from semiseg.proof.provenance import Link, Records, recorded_chain

ROW = re.compile(r"results/\w+/\w+\.csv")


class Chain:
    """All links behind some files. Each stands once, after the links that it was made from."""

    def __init__(self, graph: Graph, targets: Sequence[str], records: Records | None = None) -> None:
        self.graph = graph
        records = records or Records()
        found = (link for path in targets for link in recorded_chain(path, records, graph.maker))
        self.links = list({link.path: link for link in found}.values())
        self._makers = {path: link for link in self.links for path in self.written(link)}
        self._behind: dict[str, frozenset[str]] = {}
        for link in self.links:  # the sources of a link come before it
            sources = {self._makers[path].main for path in link.sources if path in self._makers}
            further = (self._behind.get(main, frozenset()) for main in sources)
            self._behind[link.main] = frozenset([link.main]).union(*further)

    def of(self, path: str) -> Link:
        """The link that made a file of the chain, or should have made it."""
        return self._makers[path]

    def behind(self, main: str) -> frozenset[str]:
        """Main outputs of a link and of all links that it was made from."""
        return self._behind[main]

    def tables(self) -> list[Link]:
        """The links that made tables."""
        return [link for link in self.links if self._rule(link) == "table"]

    def faults(self) -> Iterator[Finding]:
        """Findings about links without a usable record, and about outputs that these lack."""
        for link in self.links:
            if link.record is None:
                yield from self._fault(link)

    def _fault(self, link: Link) -> Iterator[Finding]:
        missing = [path for path in self.written(link) if not Path(path).is_file()]
        for path in missing:
            yield Finding(Verdict.MISSING, path, MISSING, link.main)
        if link.path.exists():
            place = str(link.path)
            text = (link.fault or "").removeprefix(place).strip()
            yield Finding(Verdict.CHANGED, place, text, link.main)
        elif link.main not in missing:
            text = (
                f"has no lineage record ({link.path}), so it is unknown how it was made: make it again by "
                f"`snakemake --force {link.main}`"
            )
            yield Finding(Verdict.UNPROVEN, link.main, text, link.main)

    def written(self, link: Link) -> list[str]:
        """Files that a link wrote: by its record, or else by the parameters."""
        if link.record is not None:
            return [entry.path for entry in link.outputs]
        job = wanted_job(self.graph, link.main)
        return list(job.outputs.values()) if job else [link.main]

    def _rule(self, link: Link) -> str | None:
        job = None if link.record else wanted_job(self.graph, link.main)
        return str(link.record["rule"]) if link.record else job.rule if job else None


def rows_of(table: Link) -> list[str]:
    """Row files that a table was made from."""
    return [path for path in table.sources if ROW.fullmatch(path)]


def wanted_job(graph: Graph, path: str) -> Job | None:
    """The job that makes a file by the current parameters, or None if no job does.

    Raises BrokenError where the file of a plug-in cannot be read.
    """
    try:
        return graph.maker(path)
    except BrokenError:
        raise
    except UserError:
        return None


def in_project(path: Path) -> Path:
    """A path relative to the working folder, without following links. Raises UserError for a path outside of it."""
    whole = Path(os.path.normpath(Path.cwd() / path))
    root = next((folder for folder in (whole, *whole.parents) if folder.exists() and folder.samefile(Path.cwd())), None)
    if root is None:
        raise UserError(f"{path} lies outside this folder: run from the folder of the project that holds it")
    return whole.relative_to(root)


def resolved(path: Path, graph: Graph) -> str:
    """The file that a chain can start from: for a record its main output, for a listed file its manifest.

    Raises UserError for a file that neither a rule nor a record names, or that lies outside the working folder.
    """
    inside = in_project(path)
    name = inside.as_posix().removesuffix(LINEAGE)
    if Records().of(name) is not None:
        return name
    if inside.is_dir():
        raise UserError(f"{path} is a folder: name a file, such as results/demo.csv")
    manifest = manifest_of(inside)
    if manifest is not None:
        return manifest.as_posix()
    if graph.maker(name) is None:
        raise UserError(
            f"{path} is no file that a rule makes: name a table such as results/demo.csv, or a file behind it"
        )
    return name
