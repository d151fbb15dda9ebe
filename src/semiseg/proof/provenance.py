"""The chain of jobs behind a file, read from lineage records: from the file down to the raw scans."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from semiseg.base.errors import UserError
from semiseg.graph.job import Job
from semiseg.jobs.record import OUTSIDE, Record, read_plain, read_record
from semiseg.paths import LINEAGE, record_path

Maker = Callable[[str], Job | None]


@dataclass(frozen=True)
class Entry:
    """A file in a record. path: in the project. record: id of the record of the job that made it, if it has one."""

    path: str
    sha256: str
    bytes: int
    record: str | None = None


@dataclass(frozen=True)
class Link:
    """One job of a chain.

    main: its main output. path: where its record lies. record: the content of the record, None where it is missing or
    damaged; then ``fault`` is the reason as a sentence, and ``needed`` are the inputs of the job by the parameters.
    """

    main: str
    path: Path
    record: Record | None
    fault: str | None = None
    needed: tuple[str, ...] = ()

    @functools.cached_property
    def inputs(self) -> list[Entry]:
        """The files that the job read; empty where there is no record."""
        return _entries(self.record, "inputs")

    @functools.cached_property
    def outputs(self) -> list[Entry]:
        """The files that the job wrote; empty where there is no record."""
        return _entries(self.record, "outputs")

    @property
    def sources(self) -> list[str]:
        """Paths of the files that the job was made from: by its record, or else by the parameters."""
        known = [entry.path for entry in self.inputs] if self.record else self.needed
        return [path for path in known if path != OUTSIDE]


class Records:
    """The records of the project in the working folder. Each is read once.

    is_known: whether the record at a path was found whole before and has not changed since. Its seal is not checked.
    """

    def __init__(self, is_known: Callable[[str], bool] = lambda path: False) -> None:
        self._is_known = is_known
        self._read: dict[str, Record | str] = {}
        self._makers: dict[Path, dict[str, str]] = {}

    def read(self, path: str) -> Record | str:
        """A record, or a sentence with the reason why it cannot be used."""
        if path not in self._read:
            try:
                self._read[path] = read_plain(Path(path)) if self._is_known(path) else read_record(path)
            except UserError as error:
                self._read[path] = str(error)
        return self._read[path]

    def of(self, path: str) -> str | None:
        """The path of the record that names this file among its outputs, or None."""
        own = record_path(path)
        return own if Path(own).exists() else self._beside(Path(path).parent).get(path)

    def _beside(self, folder: Path) -> dict[str, str]:
        if folder not in self._makers:
            records = {str(found): self.read(str(found)) for found in sorted(folder.glob(f"*{LINEAGE}"))}
            self._makers[folder] = {
                entry["path"]: place
                for place, record in records.items()
                if not isinstance(record, str)
                for entry in record["outputs"]
            }
        return self._makers[folder]


def recorded_chain(target: Path | str, records: Records | None = None, maker: Maker | None = None) -> list[Link]:
    """The jobs behind a file of the working folder. Each stands after those it was made from; the last made the file.

    A missing or damaged record gives a link without a record. maker: path -> the job that makes it by the parameters
    (``Graph.maker``); the chain continues behind such a link with the inputs of this job. Raises UserError for records
    that lead through too many jobs.
    """
    records = records or Records()
    links: dict[str, Link] = {}
    asked: set[str] = set()
    visited: set[str] = set()

    def visit(path: str) -> None:
        if path in asked:  # most files are read by several jobs
            return
        asked.add(path)
        job = _job_by_parameters(maker, path)
        place = records.of(path) or (job.record if job else record_path(path))
        if place in visited:  # also where a record names its own output among its inputs
            return
        visited.add(place)
        link = _link(path, place, records, job)
        for source in link.sources:
            visit(source)
        links[place] = link

    try:
        visit(Path(target).as_posix())
    except RecursionError:  # the rules of this workflow never lead so deep, but anyone can write records
        raise UserError(f"the records behind {target} lead through too many jobs to be believed") from None
    return list(links.values())


def own_link(target: Path | str) -> Link:
    """The job that made a file of the working folder, without those behind it: a few files are read."""
    path, records = Path(target).as_posix(), Records()
    return _link(path, records.of(path) or record_path(path), records, None)


def _job_by_parameters(maker: Maker | None, path: str) -> Job | None:
    """The job that makes a file by the current parameters, or None if no job does."""
    try:
        return maker(path) if maker else None
    except UserError:
        return None


def _link(path: str, place: str, records: Records, job: Job | None) -> Link:
    """The link of the record at ``place``, or a link with the reason why that record cannot be used."""
    record = records.read(place) if Path(place).exists() else _without_record(path)
    if isinstance(record, str):
        return Link(job.main if job else path, Path(place), None, record, tuple(job.read) if job else ())
    main = record["outputs"][0]["path"]
    if record_path(main) == place:
        return Link(main, Path(place), record)
    fault = f"{place} is the record of another file ({main}): restore it, or build {place.removesuffix(LINEAGE)} again"
    return Link(place.removesuffix(LINEAGE), Path(place), None, fault, tuple(job.read) if job else ())


def _without_record(path: str) -> str:
    if not Path(path).exists():
        return f"{path} is not here, nor is its record: build it with `snakemake {path}`"
    return f"{path} has no lineage record"


def _entries(record: Record | None, side: str) -> list[Entry]:
    return [Entry(**{"record": None, **entry}) for entry in record[side]] if record else []
