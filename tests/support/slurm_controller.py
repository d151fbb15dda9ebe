"""SLURM's own commands, as an administrator or a user calls them."""

import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

PATIENCE_S = 60


def ask(*command: str) -> str:
    return subprocess.run(command, capture_output=True, encoding="utf-8", check=True).stdout


@dataclass(frozen=True)
class Job:
    """A job as accounting knows it; after a requeue it has one record per start."""

    number: str
    state: str
    comment: str
    resources: str
    limit: str
    node: str
    start: str
    end: str


@dataclass(frozen=True)
class Controller:
    """The running SLURM; ``folder`` holds its configuration."""

    folder: Path

    def number(self, folder: Path, part: str) -> str | None:
        """Id of the job of a project that is in the queue and has ``part`` in its comment; None if there is none."""
        for line in ask("squeue", "-h", "-o", "%A|%Z|%k").splitlines():
            number, workdir, comment = line.split("|")
            if workdir == str(folder) and part in comment:
                return number
        return None

    def state(self, number: str) -> str:
        return ask("squeue", "-h", "-t", "all", "-j", number, "-o", "%T").strip()

    def has_steps(self, number: str) -> bool:
        """Whether something of a job still runs on the node, whatever the controller thinks."""
        commands = (" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"]))
        return any(f"[{number}." in command for command in commands)

    def start_now(self, number: str) -> None:
        """SLURM lets a requeued job wait for two minutes; the tests do not."""
        ask("scontrol", "update", f"JobId={number}", "StartTime=now")

    def start_jobs(self, wanted: bool) -> None:
        """Whether jobs in the queue may start; those at work go on, and new ones may be submitted."""
        ask("scontrol", "update", "PartitionName=normal", f"State={'UP' if wanted else 'DOWN'}")

    def kill(self) -> None:
        """Kill the controller itself."""
        os.kill(int((self.folder / "slurmctld.pid").read_text()), signal.SIGKILL)

    def restart(self) -> None:
        subprocess.run(["slurmctld", "-f", self.folder / "slurm.conf"], check=True)

    def answers(self) -> bool:
        return subprocess.run(["scontrol", "ping"], capture_output=True).returncode == 0

    def history(self, folder: Path) -> list[Job]:
        """All starts of a project's jobs, in the order of their submission, once the jobs have ended.

        A call of Snakemake ends before SLURM has put its last job away, and accounting is later still: it takes jobs
        from the controller one after the other, and has a comment from the end of a job on. So this waits until
        accounting knows the end of every job that the controller knows.
        """
        end = time.monotonic() + PATIENCE_S
        while True:
            found = self._recorded(folder)
            whole = {job.number for job in found if job.comment and job.end != "Unknown"}
            if self._known(folder) <= whole and all(job.comment for job in found):
                return found
            assert time.monotonic() < end, f"accounting lacks jobs: {found}"
            time.sleep(0.2)

    def _known(self, folder: Path) -> set[str]:
        """Ids of the jobs of a project that the controller knows, those that have ended, too."""
        rows = [line.split("|", 1) for line in ask("squeue", "-h", "-t", "all", "-o", "%A|%Z").splitlines()]
        return {number for number, workdir in rows if workdir == str(folder)}

    def _recorded(self, folder: Path) -> list[Job]:
        columns = "JobIDRaw,State,Comment,ReqTRES,Timelimit,NodeList,Start,End,WorkDir"
        lines = ask("sacct", "-X", "-n", "-P", "--duplicates", "-o", columns).splitlines()
        rows = [line.split("|") for line in lines]
        found = [Job(*row[:-1]) for row in rows if row[-1] == str(folder)]
        # Accounting lists them in the order in which it came to know them: one cancelled in the queue comes late.
        return sorted(found, key=lambda job: (int(job.number), job.start))
