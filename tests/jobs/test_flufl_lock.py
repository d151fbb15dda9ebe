"""What flufl.lock does not do and our locks must: why semiseg.jobs.lock is our own (docs/dependencies.md).

A version of flufl.lock that fails one of these tests has learnt to do it; ours can then go.
"""

import os
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest
from flufl.lock import Lock, LockState, TimeOutError

HOLD = """
import sys, time
from flufl.lock import Lock
Lock(sys.argv[1], 3600).lock()
print("held", flush=True)
time.sleep(60)
"""


class Quick(Lock):
    """Looks at the lock again at once, where flufl.lock sleeps up to two seconds."""

    def _sleep(self) -> None:
        time.sleep(0.01)


def test_two_processes_that_break_one_expired_lock_both_believe_that_they_have_it(tmp_path):
    """ours: test_who_comes_late_to_a_takeover_waits_for_the_quicker_one."""
    path = str(tmp_path / "lock")
    Lock(path, timedelta(seconds=-60)).lock()  # its holder is gone, and its lifetime is over
    quicker = Quick(path, 3600)

    class Late(Quick):
        def _break(self) -> None:
            if not self.entered:
                self.entered = True
                quicker.lock()  # after this process has found the lock expired, and before it breaks it
            super()._break()

        entered = False

    late = Late(path, 3600)
    late.lock()
    assert late.is_locked and not quicker.is_locked, "the lock of the living was removed"


def test_a_killed_holder_is_known_to_be_gone_and_is_waited_for_all_the_same(tmp_path):
    """ours: test_a_dead_holders_lock_is_taken_over_at_once."""
    path = str(tmp_path / "lock")
    with subprocess.Popen([sys.executable, "-c", HOLD, path], stdout=subprocess.PIPE, encoding="utf-8") as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        process.kill()
    waiting = Quick(path, 3600)
    assert waiting.state is LockState.stale
    with pytest.raises(TimeOutError):
        waiting.lock(timeout=timedelta(seconds=0.1))


def test_a_number_that_was_given_to_another_process_is_taken_for_the_holder(tmp_path):
    """ours: test_another_process_with_the_same_number_is_no_holder."""
    path = str(tmp_path / "lock")
    holder = Lock(path, 3600)
    holder.lock()
    expires = Path(path).stat().st_mtime
    Path(path).write_text(Path(path).read_text().replace(f"|{os.getpid()}|", "|1|"))  # process 1 never had this lock
    os.utime(path, (expires, expires))
    assert Lock(path).details[1] == 1
    assert Lock(path).state is LockState.unknown, "and not stale"


def test_a_damaged_lock_is_waited_for_for_ever(tmp_path):
    """ours: test_a_lock_that_was_cut_off_while_written_is_waited_for_a_short_time."""
    path = tmp_path / "lock"
    path.write_text("")  # as after a power cut
    os.utime(path, (1, 1))
    with pytest.raises(TimeOutError):
        Quick(str(path)).lock(timeout=timedelta(seconds=0.1))
