"""SLURM's own commands, as an administrator or a user calls them."""

import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

import psutil


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
        """All starts of a project's jobs, in the order of their submission."""
        columns = "JobIDRaw,State,Comment,ReqTRES,Timelimit,NodeList,Start,End,WorkDir"
        lines = ask("sacct", "-X", "-n", "-P", "--duplicates", "-o", columns).splitlines()
        rows = [line.split("|") for line in lines]
        return [Job(*row[:-1]) for row in rows if row[-1] == str(folder)]
