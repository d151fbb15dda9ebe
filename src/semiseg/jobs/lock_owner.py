"""Who holds a lock, and whether that process is still there: asked of this machine's kernel, or of SLURM."""

import json
import os
import secrets
import socket
import subprocess
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path

from semiseg.jobs.environment import now

# A job in one of these states may still be writing; in any other it does not run, or never again.
BUSY = frozenset(["RUNNING", "COMPLETING", "CONFIGURING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING"])
ANSWER_SECONDS = 30


class State(Enum):
    """Whether a holder is there; UNKNOWN: nobody who could tell was reached."""

    RUNNING = "running"
    GONE = "gone"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Holder:
    """A process by what no other one shares.

    host, boot, namespace: the machine by name and by this start of it, and the space in which ``pid`` counts. started:
    ticks from the machine's start to the process's, None where the system does not tell. job, restarts, cluster: SLURM
    job, how often it was requeued, and where; None outside of SLURM. since: when the lock was taken, UTC.
    """

    host: str
    boot: str
    namespace: str
    pid: int
    started: int | None
    job: str | None
    restarts: int
    cluster: str | None
    since: str
    token: str

    def is_beside(self, other: "Holder") -> bool:
        """Whether both count their processes alike: the same machine, not started anew since, the same container."""
        return (self.host, self.boot, self.namespace) == (other.host, other.boot, other.namespace)

    def told(self) -> str:
        """The holder as a sentence names it."""
        name = f"process {self.pid}" if self.job is None else f"SLURM job {self.job}"
        return f"{name} on {self.host} since {self.since}"

    def how_to_end(self) -> str:
        """What a user calls to end it."""
        return f"`kill {self.pid}` on {self.host}" if self.job is None else f"`scancel {self.job}`"

    def as_text(self) -> str:
        """The content of a lock file."""
        return json.dumps(asdict(self), indent=1) + "\n"


def myself() -> Holder:
    """This process, as a new holder."""
    pid = os.getpid()
    return Holder(
        host=socket.gethostname(),
        boot=_line(Path("/proc/sys/kernel/random/boot_id")),
        namespace=_link(Path("/proc/self/ns/pid")),
        pid=pid,
        started=_start_of(pid),
        job=os.environ.get("SLURM_JOB_ID"),
        restarts=int(os.environ.get("SLURM_RESTART_COUNT", "0")),
        cluster=os.environ.get("SLURM_CLUSTER_NAME"),
        since=now(),
        token=secrets.token_hex(8),
    )


def parse(text: str) -> Holder | None:
    """A holder from the content of a lock file, None for a damaged one."""
    try:
        return Holder(**json.loads(text))
    except (ValueError, TypeError):
        return None


def state_of(holder: Holder, asking: Holder) -> State:
    """Whether a holder is still there. asking: the process that wants to know."""
    if holder.is_beside(asking):
        return _state_of_process(holder)
    elsewhere = None not in (holder.cluster, asking.cluster) and holder.cluster != asking.cluster
    if holder.job is None or elsewhere:
        return State.UNKNOWN
    if holder.job == asking.job:  # requeued to another node: the earlier life of this very job has ended
        return State.GONE if holder.restarts != asking.restarts else State.UNKNOWN
    return _state_of_job(holder.job)


def _state_of_process(holder: Holder) -> State:
    if holder.started is not None:
        return State.RUNNING if _start_of(holder.pid) == holder.started else State.GONE
    try:
        os.kill(holder.pid, 0)
    except ProcessLookupError:
        return State.GONE
    except PermissionError:
        pass
    return State.UNKNOWN  # some process has this number, perhaps another one by now


def _state_of_job(job: str) -> State:
    command = ["squeue", "--noheader", "--jobs", job, "--format", "%T"]
    try:
        answer = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=ANSWER_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return State.UNKNOWN
    if answer.returncode != 0 and "Invalid job id" not in answer.stderr:
        return State.UNKNOWN
    return State.RUNNING if BUSY & set(answer.stdout.split()) else State.GONE


def _start_of(pid: int) -> int | None:
    """Ticks from the machine's start to the process's; None for one that has ended, or a system that does not tell."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return None
    return None if after_name[0] in "ZX" else int(after_name[19])


def _line(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _link(path: Path) -> str:
    try:
        return str(path.readlink())
    except OSError:
        return ""
