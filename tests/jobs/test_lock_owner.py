"""Whether the holder of a lock still runs: a process of this machine, of another one, or a SLURM job."""

import os
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import psutil
import pytest

from semiseg.jobs.lock_owner import State, state_of, this_process

NO_PROCESS = 2**22 + 1  # above the largest number that Linux gives
ELSEWHERE = {"host": "node7", "boot": "another start"}


def job(number: str, **changes):
    """A holder in a SLURM job on another node."""
    return replace(this_process(), **ELSEWHERE, job=number, **changes)


def test_this_process_runs():
    assert state_of(this_process(), this_process()) is State.RUNNING


def test_a_process_that_has_ended_is_gone_before_and_after_its_parent_calls_wait():
    code = (
        "import sys; from semiseg.jobs.lock_owner import this_process; print(this_process().start_s); sys.stdin.read()"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, encoding="utf-8") as process:
        holder = replace(this_process(), pid=process.pid, start_s=float(process.stdout.readline()))
        assert state_of(holder, this_process()) is State.RUNNING
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert state_of(holder, this_process()) is State.GONE
    assert state_of(holder, this_process()) is State.GONE


def test_a_number_that_was_given_to_another_process_is_no_holder():
    me = this_process()
    assert state_of(replace(me, start_s=me.start_s - 60), me) is State.GONE


def test_setting_the_clock_ends_no_holder(monkeypatch):
    """psutil dates processes by the clock, and a living holder must not be taken for another process."""
    holder, create_time, boot_time = this_process(), psutil.Process.create_time, psutil.boot_time
    monkeypatch.setattr(psutil.Process, "create_time", lambda self: create_time(self) + 3600)
    monkeypatch.setattr(psutil, "boot_time", lambda: boot_time() + 3600)
    assert state_of(holder, this_process()) is State.RUNNING


@pytest.mark.parametrize("other", [{"host": "node7"}, {"boot": "another start"}, {"namespace": "pid:[1]"}])
def test_a_number_of_another_machine_start_or_container_says_nothing_here(other):
    """Two machines may have the same name and start together, and each container counts its own processes."""
    assert state_of(replace(this_process(), pid=NO_PROCESS, **other), this_process()) is State.UNKNOWN


def test_a_process_that_the_system_hides_is_not_gone(monkeypatch):
    """With hidepid /proc shows no process of another user."""

    def hidden(pid: int):
        raise psutil.NoSuchProcess(pid)

    def forbidden(pid: int, number: int) -> None:
        raise PermissionError

    me = this_process()
    monkeypatch.setattr("semiseg.jobs.lock_owner.psutil.Process", hidden)
    monkeypatch.setattr("semiseg.jobs.lock_owner.os", SimpleNamespace(kill=forbidden))
    assert state_of(replace(me, pid=1), me) is State.UNKNOWN


@pytest.mark.parametrize("state", ["RUNNING", "COMPLETING", "SUSPENDED", "CONFIGURING"])
def test_a_slurm_job_that_may_still_write_is_running(squeue, state):
    squeue(f"echo {state}")
    assert state_of(job("12"), this_process()) is State.RUNNING


@pytest.mark.parametrize(
    "answer",
    [
        "echo PENDING",
        "echo REQUEUE_HOLD",
        "echo CANCELLED",
        "true",
        "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1",
    ],
)
def test_a_slurm_job_that_does_not_run_is_gone(squeue, answer):
    squeue(answer)
    assert state_of(job("12"), this_process()) is State.GONE


def test_a_scheduler_that_does_not_answer_decides_nothing(squeue, monkeypatch):
    squeue("echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1")
    assert state_of(job("12"), this_process()) is State.UNKNOWN
    monkeypatch.setenv("PATH", "/nowhere")
    assert state_of(job("12"), this_process()) is State.UNKNOWN


def test_a_requeued_job_follows_its_earlier_life_on_another_node(squeue):
    squeue("echo RUNNING")
    holder = job("12", restarts=0)
    assert state_of(holder, replace(this_process(), job="12", restarts=1)) is State.GONE
    same_life = replace(this_process(), job="12", restarts=0)  # on another of its nodes
    assert state_of(holder, same_life) is State.UNKNOWN
    assert state_of(holder, replace(this_process(), job="13")) is State.RUNNING


def test_a_job_of_another_cluster_is_not_looked_up_here(squeue):
    squeue("true")
    holder = job("12", cluster="north")
    assert state_of(holder, replace(this_process(), cluster="south")) is State.UNKNOWN
    assert state_of(holder, replace(this_process(), cluster="north")) is State.GONE
