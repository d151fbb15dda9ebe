"""One maker at a time: a lock file that tells who holds it, and never waits for a user's hand.

A holder on this machine is asked for by its process, one in a SLURM job by ``squeue``. Any other shows that it lives by
touching the lock; it is gone when the file server's clock, or this process's own, has counted too long without a touch.
"""

import contextlib
import errno
import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from semiseg.base.errors import UserError
from semiseg.jobs.lock_owner import Holder, State, myself, parse, state_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pace:
    """Seconds. beat: between two touches of a lock. silent: untouched for so long, a holder that nobody can ask is
    gone; it is watched for a beat and a half at least, in case the clock has jumped. broken: the same for a lock that
    tells no holder. settle: after a takeover, for another one that happens at the same time. poll, ask: between two
    looks at a lock, and between two questions to SLURM.
    """

    beat: float = 20.0
    silent: float = 300.0
    broken: float = 30.0
    settle: float = 0.5
    poll: float = 0.5
    ask: float = 20.0


PACE = Pace()


@contextlib.contextmanager
def held(path: Path, what: str, pace: Pace = PACE) -> Iterator[bool]:
    """Hold the lock at ``path`` while ``what`` is made; yields whether another holder had to be waited for.

    A lock whose holder is gone is taken over. Raises UserError when the folder cannot be written.
    """
    mine = myself()
    waited = _take(path, what, mine, pace)
    with _kept(path, what, mine, pace):
        yield waited


@contextlib.contextmanager
def claimed(path: Path, pace: Pace = PACE) -> Iterator[Holder | None]:
    """Hold the lock at ``path`` without waiting; yields the gone holder whose lock was taken over, or None.

    Raises Occupied when there is a holder, UserError when the folder cannot be written.
    """
    mine, before = myself(), None
    while not _create(path, mine):
        seen = _look(path)
        if seen is None:
            continue
        watch = _Watch(path, seen, mine, pace)
        if not watch.is_gone(at_once=True):
            raise Occupied(seen.holder)
        if _take_over(path, seen, mine, pace):
            before = seen.holder
            break
    with _kept(path, str(path), mine, pace):
        yield before


class Occupied(Exception):  # noqa: N818 (a state, not a fault)
    """Somebody holds a lock; ``holder`` is None where the lock does not tell who."""

    def __init__(self, holder: Holder | None) -> None:
        super().__init__(holder)
        self.holder = holder


@dataclass(frozen=True)
class _Seen:
    """A lock file as it was read."""

    text: str
    inode: int

    @property
    def holder(self) -> Holder | None:
        return parse(self.text)


def _take(path: Path, what: str, mine: Holder, pace: Pace) -> bool:
    """Wait until the lock is this process's; returns whether there was somebody to wait for."""
    waited, watch = False, None
    while not _create(path, mine):
        seen = _look(path)
        if seen is None:
            continue
        if watch is None or watch.seen != seen:
            watch = _Watch(path, seen, mine, pace)
        if watch.is_gone():
            if _take_over(path, seen, mine, pace):
                logger.info(f"{what}: {_told(seen)} was making it and is gone: taken over")
                break
        else:
            if not waited:
                logger.info(f"{what} is being made by {_told(seen)}: waiting for it{_how_to_end(seen)}")
            waited = True
            time.sleep(pace.poll)
    return waited


def _told(seen: _Seen) -> str:
    return seen.holder.told() if seen.holder else "a process that did not leave its name"


def _how_to_end(seen: _Seen) -> str:
    if seen.holder is None:
        return ""
    return f"; to take over, end it with {seen.holder.how_to_end()}, and this job goes on from its last checkpoint"


class _Watch:
    """What becomes known about one state of a lock while it is looked at."""

    def __init__(self, path: Path, seen: _Seen, asking: Holder, pace: Pace) -> None:
        self.path, self.seen, self.asking, self.pace = path, seen, asking, pace
        self._state, self._asked = State.UNKNOWN, -float("inf")
        self._touched, self._since = self._mtime(), time.monotonic()

    def is_gone(self, at_once: bool = False) -> bool:
        """Whether the holder is gone. at_once: do not watch for a beat before believing the clock."""
        state = self._ask()
        if state is State.UNKNOWN:
            return self._is_silent(at_once)
        return state is State.GONE

    def _ask(self) -> State:
        holder = self.seen.holder
        if holder is None:
            return State.UNKNOWN
        # a controller is not asked too often
        if holder.is_beside(self.asking) or time.monotonic() - self._asked > self.pace.ask:
            self._state, self._asked = state_of(holder, self.asking), time.monotonic()
        return self._state

    def _is_silent(self, at_once: bool) -> bool:
        limit = self.pace.silent if self.seen.holder else self.pace.broken
        touched = self._mtime()
        if touched != self._touched:
            self._touched, self._since = touched, time.monotonic()
        watched = time.monotonic() - self._since
        if watched > limit:
            return True
        return (at_once or watched > 1.5 * self.pace.beat) and _server_time(self.path) - touched > limit

    def _mtime(self) -> float:
        with contextlib.suppress(FileNotFoundError):
            return self.path.stat().st_mtime
        return 0.0


def _server_time(path: Path) -> float:
    """What the clock says by which the lock's own time was set: that of the file server."""
    probe = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        probe.write_text("", encoding="utf-8")
        return probe.stat().st_mtime
    finally:
        probe.unlink(missing_ok=True)


def _create(path: Path, mine: Holder) -> bool:
    """Make the lock; False when there is one."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except FileExistsError:
        return False
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(mine.as_text())
    except OSError as error:
        path.unlink(missing_ok=True)
        raise _unwritable(path, error) from error
    return True


def _unwritable(path: Path, error: OSError) -> UserError:
    remedy = "free some space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "check the folder's permissions"
    return UserError(f"cannot write to {path.parent} ({error.strerror}): {remedy} and run again")


def _look(path: Path) -> _Seen | None:
    """The lock as it is now, None when there is none any more."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return _Seen(file.read(), os.fstat(file.fileno()).st_ino)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _take_over(path: Path, seen: _Seen, mine: Holder, pace: Pace) -> bool:
    """Put this process's lock in the place of one whose holder is gone. Of several that try, the last one has it."""
    draft = path.with_name(f"{path.name}.{mine.token}")
    try:
        draft.write_text(mine.as_text(), encoding="utf-8")
        if _look(path) != seen:
            return False
        draft.replace(path)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        draft.unlink(missing_ok=True)
    time.sleep(pace.settle)
    return _is_mine(path, mine)


def _is_mine(path: Path, mine: Holder) -> bool:
    seen = _look(path)
    return seen is not None and seen.holder == mine


@contextlib.contextmanager
def _kept(path: Path, what: str, mine: Holder, pace: Pace) -> Iterator[None]:
    """Touch the lock every so often, and remove it at the end."""
    ended = threading.Event()
    beating = threading.Thread(target=_beat, args=(path, what, mine, pace, ended), daemon=True)
    beating.start()
    try:
        yield
    finally:
        ended.set()
        beating.join()
        if _is_mine(path, mine):
            path.unlink(missing_ok=True)


def _beat(path: Path, what: str, mine: Holder, pace: Pace, ended: threading.Event) -> None:
    while not ended.wait(pace.beat):
        with contextlib.suppress(OSError):  # the server may be away for a while: the next beat finds it
            seen = _look(path)
            if seen is None:
                _create(path, mine)
            elif seen.holder in (mine, None):
                os.utime(path)
            else:  # this machine slept or was cut off, and another one went on: two must not go on
                logger.info(f"{what} was taken over by {_told(seen)}: this process stops")
                os.kill(os.getpid(), signal.SIGTERM)
                return
