"""What Snakemake remembers of finished jobs, rebuilt from the lineage records beside their files.

Results that came from elsewhere (pulled, checked out, copied) bring their lineage records, but not the folder in which
Snakemake keeps the parameters, inputs and code of every finished job. Without it Snakemake compares times, and times
say nothing about a copy: it would make right files again and take stale ones for right. So before a call is planned,
every record that is new here, or not the one that was there at the last call, is told to Snakemake.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from snakemake.persistence import RECORD_FORMAT_VERSION, MetadataRecord
from snakemake.persistence.file import FilePersistence

from semiseg.errors import UserError
from semiseg.files import read_json, write_json
from semiseg.graph import MAIN_OUTPUTS, Graph
from semiseg.paths import RUN, STATE
from semiseg.plan import as_text
from semiseg.records import Record, read_record, record_path, shareable

SEEN = "lineage_records_seen.json"  # lies in Snakemake's folder of metadata, and goes with it
Stamp = list[int]


def restore(graph: Graph, commands: Mapping[str, str]) -> int:
    """Tell Snakemake of the finished jobs that it does not know; returns how many records were read.

    graph: the jobs as the parameters want them now. commands: shell command per rule, as the rules state it. Works in
    the current folder. A record that cannot be read is left to the audit, and its files to Snakemake's own judgement.
    """
    persistence = FilePersistence(nolock=True, path=Path(".snakemake"))
    notes = Path(".snakemake/metadata") / SEEN
    seen: dict[str, Stamp] = read_json(notes) if notes.exists() else {}
    found = {str(path): _stamp(path) for path in _records()}
    changed = [path for path, stamp in found.items() if seen.get(path) != stamp]
    for path in changed:
        try:
            record = read_record(path)
        except UserError:
            del found[path]
            continue
        _tell(persistence, record, graph, commands)
    if found != seen:
        write_json(notes, found)
    return len(changed)


def metadata_of(record: Record, graph: Graph, commands: Mapping[str, str]) -> MetadataRecord:
    """What Snakemake would have written when the job of this record ended."""
    inputs = {entry["path"]: f"sha256:{entry['sha256']}" for entry in record["inputs"]}
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


def _tell(persistence: FilePersistence, record: Record, graph: Graph, commands: Mapping[str, str]) -> None:
    """Write Snakemake's metadata of every output of a record, where they say something else."""
    told = metadata_of(record, graph, commands)
    for output in (entry["path"] for entry in record["outputs"]):
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


def _stamp(path: Path) -> Stamp:
    status = path.stat()
    return [status.st_mtime_ns, status.st_size, status.st_ino]
