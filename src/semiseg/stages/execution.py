"""Doing one job of a rule: as the command line gives it, or again as its lineage record gives it."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from semiseg.jobs.gpu import claimed
from semiseg.stages.rules import RULES, Options, Rule, Task, recorded_task


def execute(rule: Rule, task: Task) -> dict[str, Any]:
    """Do a job. Returns facts about the device for its record; none where the rule needs no GPU."""
    if not rule.on_gpu:
        rule.function(task)
        return {}
    with claimed(task.options.device, task.options.slots) as device:
        from semiseg.jobs.environment import device_facts

        task = replace(task, options=replace(task.options, device=device))
        rule.function(task)
        return device_facts(str(task.runtime().device))


def repeat(record: Mapping[str, Any], folder: Path, workers: int) -> dict[str, Any]:
    """Do a recorded job again, on the device that is here; its outputs go to ``folder``. Returns ``execute``'s facts.

    It runs with the recorded number of threads, because threads are part of the bits. A training saves no state.
    """
    threads = (record.get("environment") or {}).get("threads") or 1
    options = Options(workers=workers, threads=threads, checkpoint_seconds=float("inf"))
    return execute(RULES[record["rule"]], recorded_task(record, folder, options))
