"""Locks: nobody waits for the dead, nobody passes the living, and of many that want one, one has it at a time."""

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace

import pytest

from semiseg.base.errors import UserError
from semiseg.jobs.lock import Occupied, Pace, claimed, held
from semiseg.jobs.lock_owner import Holder, State, myself, parse, state_of

FAST = Pace(beat=0.1, silent=1.0, broken=0.4, settle=0.1, poll=0.02, ask=0.1)
HOLD = """
import sys, time
from pathlib import Path
from semiseg.jobs.lock import Pace, held
with held(Path(sys.argv[1]), "train x", Pace(beat=0.1, poll=0.02, settle=0.1)) as waited:
    print("held", waited, flush=True)
    time.sleep(float(sys.argv[2]))
"""


@pytest.fixture
def lock(tmp_path):
    return tmp_path / "run" / ".weights.lock"


def holding(lock, seconds=60.0):
    """A real process that holds the lock."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(lock), str(seconds)], stdout=subprocess.PIPE, encoding="utf-8"
    )
    assert process.stdout is not None and process.stdout.readline().startswith("held")
    return process


def left(lock, **changes) -> Holder:
    """A lock as another process would have left it."""
    holder = replace(myself(), token="0123456789abcdef", **changes)
    lock.parent.mkdir(exist_ok=True)
    lock.write_text(holder.as_text())
    return holder


def elsewhere(**changes):
    return {"host": "node7", "boot": "another start", **changes}


@pytest.fixture
def squeue(tmp_path, monkeypatch):
    """A scheduler's command that answers as told: nobody here starts a cluster for a table of its states."""
    folder = tmp_path / "bin"
    folder.mkdir()

    def answers(shell: str) -> None:
        (folder / "squeue").write_text(f"#!/bin/sh\n{shell}\n")
        (folder / "squeue").chmod(0o755)

    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return answers


def test_a_free_lock_is_had_at_once_and_leaves_nothing(lock):
    with held(lock, "train x") as waited:
        assert not waited
        assert set(json.loads(lock.read_text())) == set(asdict(myself()))
    assert list(lock.parent.iterdir()) == []


def test_a_lock_is_given_back_when_the_work_fails(lock):
    with pytest.raises(ValueError), held(lock, "train x"):
        raise ValueError
    assert not lock.exists()


def test_a_living_holder_is_waited_for_with_one_sentence(lock, capfd):
    process = holding(lock, 0.8)
    with held(lock, "train x", FAST) as waited:
        assert waited and process.wait(5) == 0
    said = capfd.readouterr().err.splitlines()
    assert len(said) == 1
    assert said[0].startswith(f"train x is being made by process {process.pid} on ")
    assert f"waiting for it; to take over, end it with `kill {process.pid}` on " in said[0]
    assert said[0].endswith("goes on from its last checkpoint")


def test_a_dead_holders_lock_is_taken_over_at_once(lock, capfd):
    process = holding(lock)
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and nobody has asked how
    start = time.monotonic()
    with held(lock, "train x", FAST) as waited:  # also while its parent has not yet asked how it ended
        assert not waited
    assert time.monotonic() - start < 1
    process.wait()
    assert f"process {process.pid} on " in (said := capfd.readouterr().err) and "is gone: taken over" in said
    assert list(lock.parent.iterdir()) == []


def test_a_holder_that_dies_while_waited_for_is_followed(lock, capfd):
    process = holding(lock)
    threading.Timer(0.5, process.kill).start()
    with held(lock, "train x", FAST) as waited:
        assert waited
    assert len(capfd.readouterr().err.splitlines()) == 2


def test_another_process_with_the_same_number_is_no_holder(lock):
    left(lock, started=1)
    with held(lock, "train x", FAST) as waited:
        assert not waited


def test_many_processes_that_find_a_dead_lock_work_one_after_the_other(lock, tmp_path):
    left(lock, pid=2**22 + 1)
    script = HOLD.replace("time.sleep(float(sys.argv[2]))", "").replace(
        "    print(",
        "    inside = Path(sys.argv[2]); inside.mkdir(); time.sleep(0.05); inside.rmdir()  # two at once would fail\n"
        "    print(",
    )
    command = [sys.executable, "-c", script, str(lock), str(tmp_path / "inside")]
    processes = [subprocess.Popen(command, stderr=subprocess.DEVNULL) for _ in range(6)]
    assert [process.wait(60) for process in processes] == [0] * 6
    assert list(lock.parent.iterdir()) == []


@pytest.mark.parametrize("content", ["", "{", '{"host": "a"}', "[]"])
def test_a_lock_that_was_cut_off_while_written_is_waited_for_a_short_time(lock, capfd, content):
    lock.parent.mkdir()
    lock.write_text(content)
    start = time.monotonic()
    with held(lock, "train x", FAST):
        assert FAST.broken < time.monotonic() - start < FAST.silent
    assert "is being made by a process that did not leave its name: waiting for it\n" in capfd.readouterr().err


def test_a_holder_elsewhere_is_gone_when_its_lock_is_not_touched(lock):
    left(lock, **elsewhere())
    os.utime(lock, (time.time() - 400,) * 2)
    start = time.monotonic()
    with held(lock, "train x", FAST) as waited:
        assert waited and time.monotonic() - start < FAST.silent  # watched for a moment: the clock may have jumped


def test_a_holder_elsewhere_that_touches_its_lock_is_waited_for(lock):
    left(lock, **elsewhere())
    ended = time.monotonic() + 2.5 * FAST.silent

    def beat():
        while time.monotonic() < ended:
            os.utime(lock, (time.time() - 4000,) * 2)  # by a clock that is far behind
            time.sleep(FAST.beat)
            os.utime(lock)
            time.sleep(FAST.beat)
        lock.unlink()

    beating = threading.Thread(target=beat)
    beating.start()
    with held(lock, "train x", FAST) as waited:
        assert waited and time.monotonic() >= ended
    beating.join()


def test_a_lock_from_the_future_is_not_waited_for_until_then(lock):
    left(lock, **elsewhere())
    os.utime(lock, (time.time() + 86400,) * 2)
    start = time.monotonic()
    with held(lock, "train x", FAST):
        assert FAST.silent < time.monotonic() - start < 3 * FAST.silent


def test_the_holder_touches_its_lock(lock):
    with held(lock, "train x", FAST):
        os.utime(lock, (1, 1))
        time.sleep(0.5)
        assert lock.stat().st_mtime > 1e9


def test_a_lock_that_was_deleted_comes_back(lock):
    with held(lock, "train x", FAST):
        lock.unlink()
        time.sleep(0.5)
        assert parse(lock.read_text()).pid == os.getpid()


def test_a_holder_whose_lock_was_taken_stops(lock):
    process = holding(lock)
    other = left(lock, **elsewhere())
    assert process.wait(5) == -15
    assert parse(lock.read_text()) == other


@pytest.mark.parametrize("state", ["RUNNING", "COMPLETING", "SUSPENDED", "CONFIGURING"])
def test_a_slurm_job_that_may_still_write_is_running(squeue, state):
    squeue(f"echo {state}")
    assert state_of(replace(myself(), **elsewhere(job="12")), myself()) is State.RUNNING


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
    assert state_of(replace(myself(), **elsewhere(job="12")), myself()) is State.GONE


def test_a_scheduler_that_does_not_answer_decides_nothing(squeue, monkeypatch):
    holder = replace(myself(), **elsewhere(job="12"))
    squeue("echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1")
    assert state_of(holder, myself()) is State.UNKNOWN
    monkeypatch.setenv("PATH", "/nowhere")
    assert state_of(holder, myself()) is State.UNKNOWN


def test_a_requeued_job_follows_its_earlier_life_on_another_node(squeue):
    squeue("echo RUNNING")
    holder = replace(myself(), **elsewhere(job="12", restarts=0))
    assert state_of(holder, replace(myself(), job="12", restarts=1)) is State.GONE
    assert state_of(holder, replace(myself(), job="12", restarts=0)) is State.UNKNOWN  # another node of the same life
    assert state_of(holder, replace(myself(), job="13")) is State.RUNNING


def test_a_job_of_another_cluster_is_not_asked_for_here(squeue):
    squeue("true")
    holder = replace(myself(), **elsewhere(job="12", cluster="north"))
    assert state_of(holder, replace(myself(), cluster="south")) is State.UNKNOWN
    assert state_of(holder, replace(myself(), cluster="north")) is State.GONE


def test_who_waits_for_a_slurm_job_is_told_how_to_cancel_it(lock, squeue, capfd):
    squeue(f"test -e {lock.parent}/over || echo RUNNING")
    left(lock, **elsewhere(job="12"))
    threading.Timer(0.3, (lock.parent / "over").touch).start()
    with held(lock, "train x", FAST) as waited:
        assert waited
    assert "made by SLURM job 12 on node7 since" in (said := capfd.readouterr().err)
    assert "end it with `scancel 12`, and this job" in said


def test_a_claim_does_not_wait(lock):
    with claimed(lock, FAST) as before:
        assert before is None
        with pytest.raises(Occupied) as refused, claimed(lock, FAST):
            pass
        assert refused.value.holder.pid == os.getpid()
    gone = left(lock, pid=2**22 + 1)
    with claimed(lock, FAST) as before:
        assert before == gone
    assert not lock.exists()


def test_a_full_disk_is_told_and_leaves_no_lock(small_disk):
    with pytest.raises(OSError):
        (small_disk / "filler").write_bytes(bytes(500_000))
    with pytest.raises(UserError, match=r"No space left on device.*free some space"), held(small_disk / "a.lock", "x"):
        pass
    assert not (small_disk / "a.lock").exists()


def test_a_folder_that_cannot_be_written_is_told(small_disk):
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(UserError, match=r"Read-only file system.*check the folder's perm"), held(small_disk / "a", "x"):
        pass
