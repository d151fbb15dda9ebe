"""What stands behind a file, as the lineage records tell it: which jobs, from which files, down to the raw scans."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from semiseg.base.errors import UserError
from semiseg.jobs.record import OUTSIDE, Record, read_record
from semiseg.paths import LINEAGE, record_path

if TYPE_CHECKING:
    from semiseg.graph.job import Job

Maker = Callable[[str], "Job | None"]


@dataclass(frozen=True)
class Entry:
    """A file as a record names it: path in the project, content, and the id of the record that it came from."""

    path: str
    sha256: str
    bytes: int
    record: str | None = None


@dataclass(frozen=True)
class Link:
    """One job of a chain.

    main: its main output. path: where its record lies. record: what the record says, None where it is missing or
    damaged; ``fault`` then tells why in a sentence, and ``needed`` what the parameters want the job to read.
    """

    main: str
    path: Path
    record: Record | None
    fault: str | None = None
    needed: tuple[str, ...] = ()

    @functools.cached_property
    def inputs(self) -> list[Entry]:
        """The files that the job read; none where there is no record."""
        return _entries(self.record, "inputs")

    @functools.cached_property
    def outputs(self) -> list[Entry]:
        """The files that the job wrote; none where there is no record."""
        return _entries(self.record, "outputs")

    @property
    def sources(self) -> list[str]:
        """Paths of the files that the job was made from, as far as they are known."""
        known = [entry.path for entry in self.inputs] if self.record else self.needed
        return [path for path in known if path != OUTSIDE]


class Records:
    """The records of the project in the working folder, each read once."""

    def __init__(self) -> None:
        self._read: dict[str, Record | str] = {}
        self._makers: dict[Path, dict[str, str]] = {}

    def read(self, path: str) -> Record | str:
        """A record, or the sentence that says why it cannot be used."""
        if path not in self._read:
            try:
                self._read[path] = read_record(path)
            except UserError as error:
                self._read[path] = str(error)
        return self._read[path]

    def of(self, path: str) -> str | None:
        """Where the record lies that names this file among its outputs, or None."""
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
    """The jobs behind a file of the working folder, each after those it was made from; the last one made the file.

    A missing or damaged record is a link without a record; only a chain without an end is a UserError. maker: path ->
    the job that the parameters want to make it (``Graph.maker``): it tells where the chain goes on behind such a link.
    """
    records = records or Records()
    links: dict[str, Link] = {}
    on_the_way: set[str] = set()

    def visit(path: str) -> None:
        job = _asked(maker, path)
        place = records.of(path) or (job.record if job else record_path(path))
        if place in on_the_way:  # done, or a record that names its own output among its inputs
            return
        on_the_way.add(place)
        link = _link(path, place, records, job)
        for source in link.sources:
            visit(source)
        links[place] = link

    try:
        visit(Path(target).as_posix())
    except RecursionError:  # no rules of ours lead so deep, but records can be written by anyone
        raise UserError(f"the records behind {target} lead through too many jobs to be believed") from None
    return list(links.values())


def _asked(maker: Maker | None, path: str) -> "Job | None":
    """Who should make a file, as far as the parameters know it."""
    try:
        return maker(path) if maker else None
    except UserError:
        return None


def _link(path: str, place: str, records: Records, job: "Job | None") -> Link:
    """The link at a record, or one that tells why there is none."""
    record = records.read(place) if Path(place).exists() else f"{path} has no lineage record"
    if isinstance(record, str):
        return Link(job.main if job else path, Path(place), None, record, tuple(job.read) if job else ())
    main = record["outputs"][0]["path"]
    if record_path(main) == place:
        return Link(main, Path(place), record)
    fault = f"{place} is the record of another file ({main}): restore it, or build {place.removesuffix(LINEAGE)} again"
    return Link(place.removesuffix(LINEAGE), Path(place), None, fault, tuple(job.read) if job else ())


def _entries(record: Record | None, side: str) -> list[Entry]:
    return [Entry(**{"record": None, **entry}) for entry in record[side]] if record else []
