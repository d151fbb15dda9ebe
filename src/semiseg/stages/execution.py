"""Doing one job of a rule: as the command line gives it, or again as its lineage record gives it."""

import contextlib
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from semiseg.base.controls import is_control
from semiseg.base.errors import UserError
from semiseg.base.texts import counted
from semiseg.jobs.environment import cpu_facts, device_facts
from semiseg.jobs.gpu import claimed, has_share, why_unusable
from semiseg.stages.gpu_memory import planned_memory
from semiseg.stages.rules import RULES
from semiseg.stages.task import Options, Rule, Task

logger = logging.getLogger(__name__)


def execute(rule: Rule, task: Task) -> dict[str, Any]:
    """Do a job. Returns facts about the device for its record; none where the rule needs no GPU.

    The log names the device in use. A job that requested no whole GPU takes the share of one that SLURM gives it. Where
    torch cannot use that share, the CPU computes, unless the share was requested by ``runs_per_gpu``. A control
    computes nothing, so it takes no GPU, whatever device is requested, and does not load torch. The training of a row
    with imported weights takes no GPU either. Raises UserError for any other device that cannot be used, and where the
    memory of a GPU does not suffice.
    """
    if not rule.on_gpu:
        rule.function(task)
        return {}
    has_given_weights = rule.name == "train" and "weights" in task.spec
    if has_given_weights or is_control(task.spec.get("method", "")):  # the rule seconds is about several methods
        return _done(rule, task, cpu_facts(task.options.threads))
    options, shares = task.options, has_share()
    may_use_cpu = options.device == "auto" and not options.gpu and not (shares and options.runs_per_gpu > 1)
    chosen = "cpu" if may_use_cpu and not shares else options.device
    with claimed(chosen, options.runs_per_gpu, lambda: planned_memory(task)) as device, _memory_in_a_sentence():
        if reason := why_unusable(device):
            if not may_use_cpu:
                raise UserError(reason)
            logger.info(f"the CPU computes, as gpu=0 allows: {reason}")
            device = "cpu"
        task = replace(task, options=replace(options, device=device))
        return _done(rule, task, device_facts(str(task.runtime().device)))


@contextlib.contextmanager
def _memory_in_a_sentence() -> Iterator[None]:
    """Turn torch's error for a full GPU into a UserError, without loading torch."""
    try:
        yield
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError":
            raise
        reason = next(iter(str(error).splitlines()), "out of memory").partition(". ")[0].rstrip(".")
        raise UserError(
            f"the GPU has too little memory for this job ({reason}): take a larger GPU or a smaller runs_per_gpu and"
            " call again; a training continues from its last state"
        ) from error


def _done(rule: Rule, task: Task, facts: dict[str, Any]) -> dict[str, Any]:
    """Do a job on the device of these facts, which the log names. Returns the facts."""
    logger.info(f"device: {_in_words(facts)}")
    rule.function(task)
    return facts


def _in_words(facts: Mapping[str, Any]) -> str:
    if facts["device"] == "cpu":
        return f"CPU, {counted(facts['threads'], 'thread')}"
    return f"{facts['device']}, driver {facts['driver'] or 'unknown'}, CUDA {facts['cuda']}"


def repeat(record: Mapping[str, Any], folder: Path, workers: int) -> dict[str, Any]:
    """Do a recorded job again, on the device that is here; its outputs go to ``folder``. Returns ``execute``'s facts.

    It runs with the recorded number of threads, because threads are part of the bits. A training saves no state.
    """
    threads = (record.get("environment") or {}).get("threads") or 1
    options = Options(workers=workers, threads=threads, checkpoint_seconds=float("inf"))
    return execute(RULES[record["rule"]], recorded_task(record, folder, options))


def recorded_task(record: Mapping[str, Any], folder: Path, options: Options) -> Task:
    """The task of a lineage record: recorded parameters and inputs, with outputs and scratch below ``folder``.

    Inputs are recognised by where they lie in the project, so their order in the record has no meaning.
    Raises UserError for a record that lacks an input of its rule.
    """
    rule = RULES[record["rule"]]
    files: dict[str, Path] = {name: folder / name for name in rule.scratch}
    several: dict[str, list[Path]] = {}
    for item in rule.inputs:
        found = _recorded(record, "inputs", item.template)
        if item.several:
            several[item.name] = found
        elif found:
            files[item.name] = found[0]
        elif not item.optional:
            made = record["outputs"][0]["path"]
            raise UserError(f"the record of {made} names no input like {item.template}: build {made} again")
    main, *others = rule.outputs
    files[main.name] = folder / Path(record["outputs"][0]["path"]).name
    for output in others:
        for path in _recorded(record, "outputs", output.template):
            files[output.name] = folder / path.name
    return Task(record["params"], files, several, options)


def _recorded(record: Mapping[str, Any], side: str, template: str) -> list[Path]:
    """The inputs or outputs of a record whose paths match a template.

    Each name in braces matches one word, that of a checkpoint also nothing.
    """
    pattern = re.sub(r"{\w+}", r"\\w+", template.replace("{checkpoint}", "").replace(".", r"\."))
    return [Path(entry["path"]) for entry in record[side] if re.fullmatch(pattern, entry["path"])]
