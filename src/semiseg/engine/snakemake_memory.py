"""What Snakemake remembers of finished jobs, rebuilt from the lineage records beside their files.

Results that came from elsewhere (pulled, checked out, copied) bring their lineage records, but not the folder in which
Snakemake keeps the parameters, inputs and code of every finished job. Without it Snakemake compares times, and times
say nothing about a copy: it would make right files again and take stale ones for right. So before a call is planned,
every record that is new here, or not the one that was there at the last call, is told to Snakemake. So is a job
that read what is there with other content now, as after merging the runs of two people.
"""

import contextlib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from snakemake.persistence import RECORD_FORMAT_VERSION, MetadataRecord
from snakemake.persistence.file import FilePersistence

from semiseg.base.errors import UserError
from semiseg.base.files import read_json, write_json
from semiseg.graph.graph import MAIN_OUTPUTS, Graph
from semiseg.graph.specs import as_text
from semiseg.jobs.record import Record, read_record, shareable
from semiseg.paths import RUN, STATE, record_path

SEEN = "lineage_records.json"  # lies in Snakemake's folder of metadata, and goes with it
Note = dict[str, Any]  # of a record. stamp; read, made: content by path; other: paths read whose content is another now


def restore(graph: Graph, commands: Mapping[str, str]) -> int:
    """Tell Snakemake of the finished jobs that it does not know; returns how many records were read.

    graph: the jobs as the parameters want them now. commands: shell command per rule, as the rules state it. Works in
    the current folder. A record that cannot be read is left to the audit, and its files to Snakemake's own judgement.
    """
    persistence = FilePersistence(nolock=True, path=Path(".snakemake"))
    place = Path(".snakemake/metadata") / SEEN
    seen: dict[str, Note] = read_json(place) if place.exists() else {}
    records, found = _read_new(seen)
    made = {path: content for note in found.values() for path, content in note["made"].items()}
    for path, note in found.items():
        note["other"] = [name for name, content in note["read"].items() if made.get(name, content) != content]
        if note != seen.get(path):
            record = records.get(path) or read_record(path)
            _tell(persistence, record, metadata_of(record, graph, commands, note["other"]))
    if found != seen:
        write_json(place, found)
    return len(records)


def _read_new(seen: Mapping[str, Note]) -> tuple[dict[str, Record], dict[str, Note]]:
    """Records that are not those of the last call, and a note on every record."""
    records: dict[str, Record] = {}
    found: dict[str, Note] = {}
    for path in map(str, _records()):
        stamp = _stamp(Path(path))
        if path in seen and seen[path]["stamp"] == stamp:
            found[path] = dict(seen[path])
            continue
        with contextlib.suppress(UserError):
            record = records[path] = read_record(path)
            found[path] = {"stamp": stamp, "read": _contents(record["inputs"]), "made": _contents(record["outputs"])}
    return records, found


def metadata_of(
    record: Record, graph: Graph, commands: Mapping[str, str], other: Collection[str] = ()
) -> MetadataRecord:
    """What Snakemake would have written when the job of this record ended.

    other: inputs that have been made anew since, with other content. They are left out, for what is there now was never
    read: Snakemake itself compares only files that look newer than what was made from them.
    """
    inputs = {entry["path"]: f"sha256:{entry['sha256']}" for entry in record["inputs"] if entry["path"] not in other}
    return MetadataRecord(
        record_format_version=RECORD_FORMAT_VERSION,
        rule=record["rule"],
        input=sorted(inputs),
        params=sorted(repr(text) for text in _params(record, graph)),
        code=commands.get(record["rule"]),
        input_checksums=inputs,
        starttime=_seconds(record["time"]["start"]),
        endtime=_seconds(record["time"]["end"]),
        incomplete=False,
    )


def _tell(persistence: FilePersistence, record: Record, told: MetadataRecord) -> None:
    """Write Snakemake's metadata of every output of a record, where they say something else."""
    for output in _contents(record["outputs"]):
        known = persistence._read_record(output)
        if known is None or _deciding(known) != _deciding(told):
            persistence._write_record(output, told)


def _deciding(metadata: MetadataRecord) -> tuple[Any, ...]:
    """What Snakemake compares, the shell command aside: a record does not hold it."""
    return metadata.rule, metadata.input, metadata.params, metadata.input_checksums


def _params(record: Record, graph: Graph) -> Iterator[str]:
    """The values of a rule's ``params`` that Snakemake compares: parameters, code, and where the training state lies.

    A record hides paths outside the project; where the parameters agree otherwise, they are those of today.
    """
    main, spec = record["outputs"][0]["path"], record["params"]
    try:
        job = graph.maker(main)
    except UserError:  # parameters no longer know what this was made for
        job = None
    if job is not None and as_text(shareable(job.spec)) == as_text(spec):
        spec = job.spec
    yield as_text(spec)
    yield record["code"]["hash"]
    if record["rule"] in ("train", "predict"):
        runs, states = (template.partition("{")[0] for template in (RUN, STATE))
        yield Path(main).parent.as_posix().replace(runs, states, 1)


def _seconds(time: str) -> float:
    """Seconds since 1970 of a record's time in UTC."""
    return datetime.fromisoformat(time).timestamp()


def _records() -> Iterator[Path]:
    """All lineage records that lie where a rule puts them."""
    for template in MAIN_OUTPUTS:
        yield from Path().glob(record_path(re.sub(r"{\w+}", "*", template)))


def _contents(entries: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Beginning of the sha256 by path."""
    return {entry["path"]: entry["sha256"][:16] for entry in entries}


def _stamp(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_mtime_ns, status.st_size, status.st_ino]
