"""The process that holds a lock: who it is, and whether it still runs.

psutil looks up a process of this machine, ``squeue`` a SLURM job. psutil has no name for a start of the machine that a
set clock leaves alone, and none for a container's process numbers, so both are read from the kernel where it has them.
"""

import json
import os
import secrets
import socket
import subprocess
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path

import psutil

from semiseg.jobs.environment import now

# A SLURM job in one of these states may still write; in any other it does not run, or never again.
BUSY = frozenset(["RUNNING", "COMPLETING", "CONFIGURING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING"])
ANSWER_SECONDS = 30
ENDED = (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
SAME_START_SECONDS = 1.5  # psutil reads the machine's start in whole seconds, once for each process it looks up


class State(Enum):
    """Whether a holder still runs; UNKNOWN: it cannot be looked up from here."""

    RUNNING = "running"
    GONE = "gone"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Holder:
    """A process, described so that no other process is taken for it.

    host, boot, namespace: the machine's name, this start of it, and the process numbering (container) of ``pid``.
    start_s: seconds from the machine's start to the process's. job, restarts, cluster: the SLURM job, how often it was
    requeued, and the cluster's name; None outside of SLURM. since: when the process wanted the lock, UTC. token: random
    hexadecimal digits, new for each use of a lock.
    """

    host: str
    boot: str
    namespace: str
    pid: int
    start_s: float
    job: str | None
    restarts: int
    cluster: str | None
    since: str
    token: str

    def shares_pids_with(self, other: "Holder") -> bool:
        """Whether ``pid`` means the same for both: same machine, same start of it, same container."""
        return (self.host, self.boot, self.namespace) == (other.host, other.boot, other.namespace)

    def description(self) -> str:
        """The holder as it stands in a sentence."""
        name = f"process {self.pid}" if self.job is None else f"SLURM job {self.job}"
        return f"{name} on {self.host} since {self.since}"

    def how_to_end(self) -> str:
        """The command by which a user ends the holder."""
        return f"`kill {self.pid}` on {self.host}" if self.job is None else f"`scancel {self.job}`"

    def as_text(self) -> str:
        """The content of a lock file, JSON."""
        return json.dumps(asdict(self), indent=1) + "\n"


def this_process() -> Holder:
    """This process, as a new holder."""
    return Holder(
        host=socket.gethostname(),
        boot=_boot(),
        namespace=_pid_namespace(),
        pid=os.getpid(),
        start_s=_start_and_status(os.getpid())[0],
        job=os.environ.get("SLURM_JOB_ID"),
        restarts=int(os.environ.get("SLURM_RESTART_COUNT", "0")),
        cluster=os.environ.get("SLURM_CLUSTER_NAME"),
        since=now(),
        token=secrets.token_hex(8),
    )


def parse(text: str) -> Holder | None:
    """The holder named in a lock file's text, or None when the text is damaged."""
    try:
        return Holder(**json.loads(text))
    except (ValueError, TypeError):
        return None


def state_of(holder: Holder, me: Holder) -> State:
    """Whether a holder still runs. me: this process, from whose machine and cluster the holder is looked up."""
    if holder.shares_pids_with(me):
        return _state_of_process(holder)
    other_cluster = None not in (holder.cluster, me.cluster) and holder.cluster != me.cluster
    if holder.job is None or other_cluster:
        return State.UNKNOWN
    if holder.job == me.job:  # SLURM requeued this very job to another node, and its earlier life has ended
        return State.GONE if holder.restarts != me.restarts else State.UNKNOWN
    return _state_of_job(holder.job)


def _state_of_process(holder: Holder) -> State:
    try:
        start_s, status = _start_and_status(holder.pid)
    except psutil.NoSuchProcess:
        return State.UNKNOWN if _is_hidden(holder.pid) else State.GONE
    except psutil.AccessDenied:
        return State.UNKNOWN
    same = abs(start_s - holder.start_s) < SAME_START_SECONDS
    return State.RUNNING if same and status not in ENDED else State.GONE


def _is_hidden(pid: int) -> bool:
    """Whether there is such a process of another user, where /proc hides those (hidepid)."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except ProcessLookupError:
        pass
    return False


def _state_of_job(job: str) -> State:
    command = ["squeue", "--noheader", "--jobs", job, "--format", "%T"]
    try:
        answer = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=ANSWER_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return State.UNKNOWN
    if answer.returncode != 0 and "Invalid job id" not in answer.stderr:
        return State.UNKNOWN
    return State.RUNNING if BUSY & set(answer.stdout.split()) else State.GONE


def _start_and_status(pid: int) -> tuple[float, str]:
    """When a process started, in seconds from the machine's start, and its status.

    Counted from the machine's start, because setting the clock moves the dates of both.
    """
    booted = psutil.boot_time()  # before the process is looked up: psutil 6 adds the date that was read last
    process = psutil.Process(pid)
    with process.oneshot():
        return round(float(process.create_time() - booted), 2), str(process.status())


def _boot() -> str:
    """A name for this start of this machine: the kernel's on Linux, elsewhere the date that psutil gives."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    except OSError:
        return f"{psutil.boot_time():.0f}"


def _pid_namespace() -> str:
    """The kernel's name for the container in which process numbers count; empty on systems without containers."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""
