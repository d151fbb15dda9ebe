"""Jobs that an earlier call left in SLURM when it was killed: none is lost, and none is done twice.

Nothing adopts such jobs by itself: a new call would submit each of them once more. Waiting ones are therefore taken out
of the queue, since the new call submits them anew, and running ones are waited for before anything is planned.
"""

import getpass
import logging
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from semiseg.base.progress import some
from semiseg.engine.slurm_check import ask

logger = logging.getLogger(__name__)

RUN = re.compile(r"(\S+_)?[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")  # name of a job: the plugin's id of a call
PAUSE = 10.0  # seconds


@dataclass(frozen=True)
class QueuedJob:
    """A job of this project in SLURM's queue. told: rule and names, as in squeue's comment."""

    number: str
    waiting: bool
    told: str


def queued(folder: Path) -> list[QueuedJob] | None:
    """This user's jobs of Snakemake calls in a folder, or None while SLURM does not answer."""
    status, said = ask("squeue", "-h", "-u", getpass.getuser(), "-o", "%A|%T|%j|%k|%Z")
    if status != 0:
        return None
    lines = (line.split("|", 4) for line in said.splitlines())
    return [
        QueuedJob(number, state == "PENDING", comment.removeprefix("rule_").replace("_wildcards_", " "))
        for number, state, name, comment, workdir in lines
        if RUN.fullmatch(name) and comment.startswith(("rule_", "group_")) and Path(workdir) == folder
    ]


def settle(folder: Path, pause: float = PAUSE) -> None:
    """Take waiting jobs of an earlier call in ``folder`` out of the queue, and wait until its running ones have ended.

    To be called when no other Snakemake works in the folder. pause: seconds between two looks.
    """
    waiting = [job for job in queued(folder) or () if job.waiting]
    if waiting:
        ask("scancel", *(job.number for job in waiting))
        logger.info(f"taken out of SLURM's queue, to be submitted anew, what an earlier call left: {_told(waiting)}")
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
                f" {_told(running)} (`scancel {numbers}` ends it, and training goes on from its last checkpoint)"
            )
        time.sleep(pause)


def _told(jobs: Sequence[QueuedJob]) -> str:
    return some([f"{job.number} {job.told}" for job in jobs], 3)
