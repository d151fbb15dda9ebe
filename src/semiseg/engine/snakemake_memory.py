"""Snakemake's notes on finished jobs, rebuilt from the lineage records beside their files.

Results that came from elsewhere (pulled, checked out, copied) bring their lineage records. They do not bring the folder
``.snakemake``, in which Snakemake notes the parameters, inputs and code of every finished job. Without these notes
Snakemake compares times, and the times of copied files mean nothing: right files would be made again, stale ones kept.
Therefore, before a call is planned, Snakemake's notes are written for every record that is new or has changed since
the last call. They are written again for a job that read a file whose content is another now, as after merging the
runs of two people.

A record also outlives the jobs that came to nothing after it. The files of a finished job stay until a new job of the
same name has replaced them, but Snakemake notes a failed job like a finished one, calls a killed one unfinished, and
believes ``--touch``. So where it has noted something and the record is still the old one, the files decide: if they
are those of the record, the notes become those of the record, otherwise the job is noted as unfinished.
"""

import contextlib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from semiseg.base.errors import UserError
from semiseg.base.files import read_json, sha256, stamp, write_json
from semiseg.engine.snakemake_adapter import FinishedJob, JobHistory, UnavailableError
from semiseg.graph.graph import MAIN_OUTPUTS, Graph
from semiseg.graph.specs import as_text
from semiseg.jobs.record import Record, read_record, shareable
from semiseg.paths import record_path, state_folder

SEEN = Path(".snakemake/metadata/lineage_records.json")  # is deleted together with Snakemake's notes
# Of one record. stamp: of its file; read, made: content by path; other: paths read whose content is another now;
# noted: stamps of Snakemake's notes on its outputs
Note = dict[str, Any]


def restore(graph: Graph, commands: Mapping[str, str], targets: Sequence[str]) -> int:
    """Write Snakemake's notes of the finished jobs that it does not know; return how many records were read.

    graph: the jobs by the current parameters. commands: shell command per rule, as in the rule's definition. targets:
    the files that are planned; jobs that are not behind them are left as they are. Works in the current folder. A
    record that cannot be read is skipped: the audit reports it, and Snakemake judges its files by time. Raises
    UnavailableError where Snakemake's notes cannot be written.
    """
    try:
        history = JobHistory()
        seen: dict[str, Note] = read_json(SEEN) if SEEN.exists() else {}
        behind = _records(graph, targets)
        records, found = _read_new(behind, seen)
        made = {path: content for note in found.values() for path, content in note["made"].items()}
        for path, note in found.items():
            note["other"] = [name for name, content in note["read"].items() if made.get(name, content) != content]
            note["noted"] = history.stamps(note["made"])
            unfinished = history.any_unfinished(note["made"])
            if note == seen.get(path) and not unfinished:
                continue
            if (unfinished or _is_old(note, seen.get(path))) and not _are_there(note["made"]):
                history.set_finished(note["made"], False)
                continue
            record = records.get(path) or read_record(path)
            job = finished_job(record, graph, commands, note["other"])
            for output in note["made"]:
                history.write(output, job)
            history.set_finished(note["made"], True)
            note["noted"] = history.stamps(note["made"])
        now = {path: note for path, note in seen.items() if path not in behind} | found
        if now != seen:
            write_json(SEEN, now)
    except OSError as error:
        raise UnavailableError(str(error)) from error
    return len(records)


def _read_new(behind: Iterable[str], seen: Mapping[str, Note]) -> tuple[dict[str, Record], dict[str, Note]]:
    """Of these records those that are not those of the last call, and a note on each that is here."""
    records: dict[str, Record] = {}
    found: dict[str, Note] = {}
    for path in behind:
        now = stamp(path)
        if now is None:
            continue
        if path in seen and seen[path]["stamp"] == now:
            found[path] = dict(seen[path])
            continue
        with contextlib.suppress(UserError):
            record = records[path] = read_record(path)
            found[path] = {"stamp": now, "read": _contents(record["inputs"]), "made": _contents(record["outputs"])}
    return records, found


def _is_old(note: Note, before: Note | None) -> bool:
    """Whether a record is that of the last call, while Snakemake's notes on its files are not."""
    return before is not None and note["stamp"] == before["stamp"] and note["noted"] != before.get("noted")


def _are_there(made: Mapping[str, str]) -> bool:
    """Whether all outputs of a record have the content that it gives."""
    return all(Path(path).is_file() and sha256(path).startswith(content) for path, content in made.items())


def finished_job(record: Record, graph: Graph, commands: Mapping[str, str], other: Collection[str] = ()) -> FinishedJob:
    """The job of a record, as Snakemake would have noted it when the job ended.

    other: inputs whose content has changed since the job read them. They are left out of the note, so that Snakemake
    sees a new input and runs the job again; it would compare the content only of files newer than the output.
    """
    inputs = {entry["path"]: f"sha256:{entry['sha256']}" for entry in record["inputs"] if entry["path"] not in other}
    return FinishedJob(
        rule=record["rule"],
        checksums=inputs,
        params=tuple(_params(record, graph)),
        code=commands.get(record["rule"]),
        start=_seconds(record["time"]["start"]),
        end=_seconds(record["time"]["end"]),
    )


def _params(record: Record, graph: Graph) -> Iterator[str]:
    """The values of a rule's ``params`` that Snakemake compares: parameters, code hash, folder of the training state.

    A record hides paths outside the project. Where the parameters agree otherwise, today's parameters take their place.
    """
    main, spec = record["outputs"][0]["path"], record["params"]
    try:
        job = graph.maker(main)
    except UserError:  # today's parameters do not name this file
        job = None
    if job is not None and as_text(shareable(job.spec)) == as_text(spec):
        spec = job.spec
    yield as_text(spec)
    yield record["code"]["hash"]
    if record["rule"] in ("train", "predict"):
        files = (entry["path"] for entry in (*record["outputs"], *record["inputs"]))
        yield next(state_folder(path) for path in files if path.endswith("/weights.safetensors"))


def _seconds(time: str) -> float:
    """Seconds since 1970 of a record's time in UTC."""
    return datetime.fromisoformat(time).timestamp()


def _records(graph: Graph, targets: Sequence[str]) -> set[str]:
    """Where the records of the jobs behind these targets lie; of all jobs where the graph does not know a target."""
    try:
        return {job.record for target in targets for job in graph.chain(target)}
    except UserError:
        found = (Path().glob(record_path(re.sub(r"({\w+})+", "*", template))) for template in MAIN_OUTPUTS)
        return {str(path) for paths in found for path in paths}


def _contents(entries: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Beginning of the sha256 by path."""
    return {entry["path"]: entry["sha256"][:16] for entry in entries}
