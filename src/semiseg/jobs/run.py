"""One job of a rule: no other process makes its outputs meanwhile, and it leaves a lineage record when it has ended."""

import contextlib
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from semiseg.base.errors import UserError
from semiseg.base.files import sha256, stamp
from semiseg.base.sources import PACKAGE
from semiseg.jobs.code_hash import code_of, made_by_this_code, module_hashes, modules_of
from semiseg.jobs.environment import environment, now, source
from semiseg.jobs.lock import held
from semiseg.jobs.record import made_by, read_record, recorded, write_record
from semiseg.paths import LINEAGE, record_path

logger = logging.getLogger(__name__)

Facts = dict[str, Any]
RUNS = ("results", "runs")  # where every file was made by a job; raw data may have come by hand
REDONE = "SEMISEG_REDONE"  # environment variable of a workflow's jobs: rules whose jobs are done anew although made
ALL_RULES = "all"


@dataclass(frozen=True)
class Call:
    """A job as the command line gives it.

    inputs: files it reads. outputs: files it writes, the main one first. planned: hash of the code for which the job
    was planned, None where nothing planned it. brings: the job takes in what no input names (a user's copy of raw
    data), so no other job can have made the same outputs meanwhile.
    """

    rule: str
    spec: Mapping[str, Any]
    inputs: Sequence[Path]
    outputs: Sequence[Path]
    planned: str | None = None
    brings: bool = False

    @property
    def lock(self) -> Path:
        """The lock file, hidden beside the main output."""
        return self.outputs[0].with_name(f".{self.outputs[0].name}.lock")


def run(call: Call, work: Callable[[], Facts | None]) -> None:
    """Do the work of a job while no other process makes the same outputs, then write its lineage record.

    A job whose outputs are already made by the same code from the same parameters and inputs has nothing to do:
    another job made them while it waited, or Snakemake planned it because an input was made anew and came out as
    before. work: does the job; it may return facts for the record (device, ...). Raises UserError when the code here is
    not the planned one.
    """
    _check_code(call)
    with held(call.lock, f"{call.rule} {call.outputs[0]}") as waited:
        if (waited or not _is_redone(call.rule)) and not call.brings and _is_made(call):
            why = "was made meanwhile" if waited else "stays, since all that it is made from is as it was"
            logger.info(f"{call.outputs[0]} {why}")
        else:
            _make(call, work)
        _let_inputs_look_older(call)


def _is_redone(rule: str) -> bool:
    """Whether a job of this rule is done although its outputs are made; always, where no workflow runs it."""
    return not {ALL_RULES, rule}.isdisjoint(os.environ.get(REDONE, ALL_RULES).split())


def _check_code(call: Call) -> None:
    if call.planned not in (None, code_of(call.rule, call.spec)):
        raise UserError(
            f"{call.outputs[0]} was planned with other code than {PACKAGE} holds now, so it is not made: call Snakemake"
            " again if the code was edited meanwhile; in a conda environment, install this checkout into it"
        )


def _make(call: Call, work: Callable[[], Facts | None]) -> None:
    for path in call.inputs:
        if path.parts[:2] == RUNS and made_by(path) is None:
            raise UserError(
                f"{path} has no lineage record beside it, as after an incomplete copy: copy it again with its "
                f"*{LINEAGE}, or delete it and build it again"
            )
    # Hash code and parameters before the work, because both may be edited while it runs what was there at its start.
    code = module_hashes(*modules_of(call.rule, call.spec))
    began = {"seed": call.spec.get("seed"), "source": source()}
    software, start = environment(), now()
    with _whole_or_as_before(call):
        facts = work() or {}
        ended = {"environment": {**software, **facts}, "time": {"start": start, "end": now()}}
        write_record(call.rule, call.spec, code, call.inputs, call.outputs, {**began, **ended})


@contextlib.contextmanager
def _whole_or_as_before(call: Call) -> Iterator[None]:
    """Remove what a failed job has replaced, and the record that does not fit it any more.

    Outputs that it has not touched stay with their record: they are those of an earlier job that succeeded.
    """
    before = {path: stamp(path) for path in call.outputs}
    try:
        yield
    except BaseException:
        replaced = [path for path in call.outputs if stamp(path) not in (None, before[path])]
        for path in (*replaced, *([Path(record_path(call.outputs[0]))] if replaced else [])):
            path.unlink(missing_ok=True)
        raise


def _let_inputs_look_older(call: Call) -> None:
    """Set the dates of inputs that are newer than the outputs, as after the clock was set back, to now.

    Snakemake deletes outputs that are older than their inputs.
    """
    made = call.outputs[0].stat().st_mtime
    for path in call.inputs:
        if path.stat().st_mtime > made:
            with contextlib.suppress(PermissionError):
                os.utime(path)


def _is_made(call: Call) -> bool:
    """Whether the record is that of exactly this job: same rule, parameters and code, and all files as they are now."""
    try:
        record = read_record(record_path(call.outputs[0]))
        same = [
            record["rule"] == call.rule,
            record["params"] == recorded(call.spec),
            made_by_this_code(record),
            _content(record["inputs"]) == [sha256(path) for path in call.inputs],
            _content(record["outputs"]) == [sha256(path) for path in call.outputs],
        ]
    except (UserError, OSError):
        return False
    return all(same)


def _content(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    return [entry["sha256"] for entry in entries]
