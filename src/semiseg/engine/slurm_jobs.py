"""Jobs that a killed Snakemake left in SLURM: none is lost, and none is done twice.

Snakemake does not adopt such jobs: a new call would submit each of them once more. Therefore waiting jobs are taken out
of the queue, because the new call submits them again, and running jobs are waited for before anything is planned.
"""

import getpass
import logging
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from semiseg.base.texts import some
from semiseg.engine.slurm_check import ask

logger = logging.getLogger(__name__)

# Snakemake's SLURM plugin names each job by the id of its call.
JOB_NAME = re.compile(r"(\S+_)?[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
PAUSE = 10.0  # seconds


@dataclass(frozen=True)
class QueuedJob:
    """A job of this project in SLURM's queue. rule: the rule's name and its wildcards, from squeue's comment.

    The last wildcard, the checkpoint, is empty for most runs.
    """

    number: str
    waiting: bool
    rule: str


def queued(folder: Path) -> list[QueuedJob] | None:
    """This user's jobs that a Snakemake in ``folder`` submitted, or None while SLURM does not answer."""
    status, answer = ask("squeue", "-h", "-u", getpass.getuser(), "-o", "%A|%T|%j|%k|%Z")
    if status != 0:
        return None
    lines = (line.split("|", 4) for line in answer.splitlines())
    return [
        QueuedJob(number, state == "PENDING", comment.removeprefix("rule_").replace("_wildcards_", " ").rstrip("_"))
        for number, state, name, comment, workdir in lines
        if JOB_NAME.fullmatch(name) and comment.startswith(("rule_", "group_")) and Path(workdir) == folder
    ]


def settle(folder: Path, pause: float = PAUSE) -> None:
    """Take waiting jobs of an earlier call in ``folder`` out of the queue, and wait until its running ones have ended.

    The caller makes sure that no other Snakemake works in the folder. pause: seconds between two calls of squeue.
    """
    waiting = [job for job in queued(folder) or () if job.waiting]
    if waiting:
        ask("scancel", *(job.number for job in waiting))
        logger.info(f"taken out of SLURM's queue, to be submitted anew, what an earlier call left: {_listed(waiting)}")
    first = True
    while True:
        running = queued(folder)
        if running == []:
            return
        if running and first:
            first = False
            numbers = " ".join(job.number for job in running)
            logger.info(
                "waiting for what an earlier call left at work in SLURM, so that nothing is done twice:"
                f" {_listed(running)} (`scancel {numbers}` ends it, and training goes on from its last checkpoint)"
            )
        time.sleep(pause)


def _listed(jobs: Sequence[QueuedJob]) -> str:
    return some([f"{job.number} {job.rule}" for job in jobs], 3)
