"""Locks: only one process at a time holds one, a living holder is waited for, and a dead holder is not.

A clock that jumps over every wait decides how long something is waited for; one test beats in real time.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from semiseg.base.errors import UserError
from semiseg.jobs.lock import PACE, Clock, LockFile, Occupied, Pace, held, held_at_once
from semiseg.jobs.lock_owner import Holder, parse, this_process

NO_PROCESS = 2**22 + 1  # above the largest number that Linux gives
HOLD = """
import sys
from pathlib import Path
from semiseg.jobs.lock import Pace, held
with held(Path(sys.argv[1]), "train x", Pace(beat=0.1)):
    print("held", flush=True)
    sys.stdin.read()
"""


class Jumping(Clock):
    """A clock whose sleeps take no time; ``meanwhile`` is called in each of them."""

    def __init__(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        now = [0.0]

        def sleep(seconds: float) -> None:
            now[0] += seconds
            assert now[0] < 10_000, "waits for ever"
            meanwhile()

        super().__init__(lambda: now[0], sleep)


def jumping(meanwhile: Callable[[], object] = lambda: None) -> Pace:
    """The product's pace by such a clock."""
    return replace(PACE, clock=Jumping(meanwhile))


def without_waiting() -> Pace:
    """A pace by which nobody may wait."""
    return jumping(lambda: pytest.fail("waited"))


@pytest.fixture
def lock(tmp_path):
    return tmp_path / "run" / ".weights.lock"


@pytest.fixture
def holding(lock):
    """Starts real processes that hold the lock until their input ends."""
    with contextlib.ExitStack() as started:

        def start() -> subprocess.Popen[str]:
            pipe = subprocess.PIPE
            process = subprocess.Popen(
                [sys.executable, "-c", HOLD, str(lock)], stdin=pipe, stdout=pipe, encoding="utf-8"
            )
            started.enter_context(process)
            started.callback(process.kill)
            assert process.stdout is not None and process.stdout.readline() == "held\n"
            return process

        yield start


def left(lock: Path, **changes) -> Holder:
    """A lock as another process would have left it."""
    holder = replace(this_process(), token="0123456789abcdef", **changes)
    lock.parent.mkdir(exist_ok=True)
    lock.write_text(holder.as_text())
    return holder


def elsewhere(**changes):
    return {"host": "node7", "boot": "another start", **changes}


def until(condition: Callable[[], bool]) -> None:
    """Wait for what another thread does; the limit is for a broken one alone."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_free_lock_is_had_at_once_and_leaves_nothing(lock):
    with held(lock, "train x", without_waiting()) as waited:
        assert not waited
        assert set(json.loads(lock.read_text())) == set(asdict(this_process()))
    assert list(lock.parent.iterdir()) == []


def test_a_lock_is_given_back_when_the_work_fails(lock):
    with pytest.raises(ValueError), held(lock, "train x"):
        raise ValueError
    assert not lock.exists()


def test_a_living_holder_is_waited_for_with_one_sentence(lock, holding, capfd):
    process = holding()
    with held(lock, "train x", jumping(process.communicate)) as waited:
        assert waited and process.returncode == 0
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith(f"train x is being made by process {process.pid} on ")
    assert f"waiting for it; to take over, end it with `kill {process.pid}` on " in line
    assert line.endswith("goes on from its last checkpoint")


def test_a_dead_holders_lock_is_taken_over_at_once(lock, holding, capfd):
    process = holding()
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # ended, and its parent has not called wait
    with held(lock, "train x", without_waiting()) as waited:
        assert not waited
    (line,) = capfd.readouterr().err.splitlines()
    assert f"process {process.pid} on " in line and "is gone: taken over" in line
    assert list(lock.parent.iterdir()) == []


def test_a_holder_that_dies_while_waited_for_is_followed(lock, holding, capfd):
    process = holding()
    with held(lock, "train x", jumping(lambda: (process.kill(), process.wait()))) as waited:
        assert waited
    assert len(capfd.readouterr().err.splitlines()) == 2


def test_another_process_with_the_same_number_is_no_holder(lock):
    left(lock, start_s=1.0)
    with held(lock, "train x", without_waiting()) as waited:
        assert not waited


def test_many_processes_that_find_a_dead_lock_work_one_after_the_other(lock, tmp_path):
    left(lock, pid=NO_PROCESS)
    work = "inside = Path(sys.argv[2]); inside.mkdir(); time.sleep(0.05); inside.rmdir()  # two at once would fail"
    script = "import time\n" + HOLD.replace("sys.stdin.read()", work).replace("beat=0.1", "poll=0.02")
    command = [sys.executable, "-c", script, str(lock), str(tmp_path / "inside")]
    processes = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(6)]
    assert [process.wait(60) for process in processes] == [0] * 6
    assert list(lock.parent.iterdir()) == []


def test_who_comes_late_to_a_takeover_waits_for_the_quicker_one(lock, monkeypatch, capfd):
    left(lock, pid=NO_PROCESS)
    take_over = LockFile.take_over
    with contextlib.ExitStack() as quicker:

        def too_late(self: LockFile, dead) -> bool:
            monkeypatch.undo()
            quicker.enter_context(held(lock, "the quicker one", without_waiting()))
            return take_over(self, dead)

        monkeypatch.setattr(LockFile, "take_over", too_late)
        with held(lock, "the late one", jumping(quicker.close)) as waited:
            assert waited
    assert "the late one is being made by process" in capfd.readouterr().err
    assert list(lock.parent.iterdir()) == []


def test_nobody_else_takes_over_while_one_does(lock, monkeypatch):
    left(lock, pid=NO_PROCESS)
    replace_ = LockFile._replace

    def with_a_rival(self: LockFile) -> None:
        with pytest.raises(pytest.fail.Exception, match="waited"), held(lock, "the rival", without_waiting()):
            pass
        replace_(self)

    monkeypatch.setattr(LockFile, "_replace", with_a_rival)
    with held(lock, "train x", without_waiting()):
        assert parse(lock.read_text()).pid == os.getpid()


def test_a_takeover_that_was_killed_half_way_is_taken_over_too(lock):
    left(lock, pid=NO_PROCESS)
    left(lock.with_name(f"{lock.name}.takeover.lock"), pid=NO_PROCESS + 1)
    with held(lock, "train x", without_waiting()) as waited:
        assert not waited
    assert list(lock.parent.iterdir()) == []


@pytest.mark.parametrize("content", ["", "{", '{"host": "a"}', "[]"])
def test_a_lock_that_was_cut_off_while_written_is_waited_for_a_short_time(lock, capfd, content):
    lock.parent.mkdir()
    lock.write_text(content)
    pace = jumping()
    with held(lock, "train x", pace):
        assert PACE.broken < pace.clock.monotonic() < PACE.broken + 1
    assert "is being made by a process that did not leave its name: waiting for it\n" in capfd.readouterr().err


def test_a_holder_elsewhere_is_gone_when_its_lock_is_not_touched(lock):
    left(lock, **elsewhere())
    os.utime(lock, (time.time() - 1.2 * PACE.silent,) * 2)
    pace = jumping()
    with held(lock, "train x", pace) as waited:
        assert waited
        assert 1.5 * PACE.beat < pace.clock.monotonic() < 1.5 * PACE.beat + 1, (
            "the clock may have jumped: it is watched"
        )


def test_a_holder_elsewhere_that_touches_its_lock_is_waited_for(lock):
    left(lock, **elsewhere())
    behind = time.time() - 4000  # the holder's clock: far behind, then set right, and so on
    dates = [behind, time.time()] * 40

    def beat() -> None:
        if pace.clock.monotonic() % PACE.beat == 0:
            if dates:
                os.utime(lock, (dates.pop(0),) * 2)
            else:
                lock.unlink()

    pace = jumping(beat)
    with held(lock, "train x", pace) as waited:
        assert waited and not dates and pace.clock.monotonic() > 5 * PACE.silent


def test_a_lock_from_the_future_is_not_waited_for_until_then(lock):
    left(lock, **elsewhere())
    os.utime(lock, (time.time() + 86400,) * 2)
    pace = jumping()
    with held(lock, "train x", pace):
        assert PACE.silent < pace.clock.monotonic() < PACE.silent + 1


def test_a_slurm_job_is_waited_for_and_looked_up_now_and_then(lock, squeue, capfd):
    queries = lock.parent / "queries"
    squeue(f"echo >> {queries}; test -e {lock.parent}/over || echo RUNNING")
    left(lock, **elsewhere(job="12"))
    pace = jumping(lambda: pace.clock.monotonic() < 8 * PACE.query or (lock.parent / "over").touch())
    with held(lock, "train x", pace) as waited:
        assert waited
    assert len(queries.read_text()) == 9, "one query every 20 seconds, not one at every look"
    line = capfd.readouterr().err.splitlines()[0]
    assert "made by SLURM job 12 on node7 since" in line and "end it with `scancel 12`, and this job" in line


def test_a_beat_touches_the_lock(lock):
    file = LockFile(lock, PACE)
    assert file.create()
    os.utime(lock, (1, 1))
    assert file.beat("train x") and lock.stat().st_mtime > 1e9


def test_a_beat_brings_a_deleted_lock_back(lock):
    file = LockFile(lock, PACE)
    assert file.create()
    lock.unlink()
    assert file.beat("train x") and parse(lock.read_text()) == file.me


def test_a_beat_finds_that_the_lock_was_taken_over(lock, capfd):
    file = LockFile(lock, PACE)
    assert file.create()
    other = left(lock, **elsewhere())
    assert not file.beat("train x")
    file.release()
    assert parse(lock.read_text()) == other
    assert "train x was taken over by process " in (line := capfd.readouterr().err) and "this process stops" in line


def test_in_real_time_a_holder_beats_and_stops_when_its_lock_was_taken(lock, holding):
    process = holding()
    os.utime(lock, (1, 1))
    until(lambda: lock.stat().st_mtime > 1e9)
    other = left(lock, **elsewhere())
    assert process.wait(60) == -signal.SIGTERM
    assert parse(lock.read_text()) == other


def test_a_lock_held_at_once_does_not_wait(lock):
    with held_at_once(lock, without_waiting()) as before:
        assert before is None
        with pytest.raises(Occupied) as refused, held_at_once(lock, without_waiting()):
            pass
        assert refused.value.holder.pid == os.getpid()
    gone = left(lock, pid=NO_PROCESS)
    with held_at_once(lock, without_waiting()) as before:
        assert before == gone
    assert not lock.exists()


def test_a_full_disk_is_one_sentence_and_leaves_no_lock(small_disk):
    with pytest.raises(OSError):
        (small_disk / "filler").write_bytes(bytes(500_000))
    with pytest.raises(UserError, match=r"No space left on device.*free some space"), held(small_disk / "a.lock", "x"):
        pass
    assert not (small_disk / "a.lock").exists()


def test_a_folder_that_cannot_be_written_is_one_sentence(small_disk):
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(UserError, match=r"Read-only file system.*check the folder's perm"), held(small_disk / "a", "x"):
        pass
