"""A lock file gives one process at a time the right to make some files, and names that process.

A lock whose holder has ended is taken over, so that no user has to delete one. The holder is looked up among this
machine's processes or in SLURM. Where neither lookup is possible, its beat decides: every holder touches its lock at a
fixed interval, and a holder counts as gone when its lock was not touched for too long, by the file server's clock or by
the waiting process's own.

docs/dependencies.md explains why no library is used for this.
"""

import contextlib
import errno
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from semiseg.base.errors import UserError
from semiseg.jobs.lock_owner import Holder, State, parse, state_of, this_process

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Clock:
    """The time that a waiting process measures, in seconds, and how it lets some pass; tests bring their own."""

    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True)
class Pace:
    """How often a lock is touched and looked at, in seconds.

    beat: between two touches of a lock by its holder. silent: a holder in state UNKNOWN is gone when its lock was not
    touched for so long; its lock is watched for 1.5 beats at least, because a clock may have jumped. broken: the same
    limit for a lock whose text names no holder. poll: between two looks at a lock. query: between two calls of squeue.
    """

    beat: float = 20.0
    silent: float = 300.0
    broken: float = 30.0
    poll: float = 0.5
    query: float = 20.0
    clock: Clock = Clock()


PACE = Pace()


class Occupied(Exception):  # noqa: N818 (a state, not a fault)
    """A lock has a holder; ``holder`` is None where the lock's text does not name one."""

    def __init__(self, holder: Holder | None) -> None:
        super().__init__(holder)
        self.holder = holder


@contextlib.contextmanager
def held(path: Path, what: str, pace: Pace = PACE) -> Iterator[bool]:
    """Hold the lock at ``path`` while ``what`` is made; yields whether another holder had to be waited for.

    The lock of a holder that is gone is taken over. Raises UserError when the folder cannot be written.
    """
    lock = LockFile(path, pace)
    waited = lock.wait(what)
    with lock.kept(what):
        yield waited


@contextlib.contextmanager
def held_at_once(path: Path, pace: Pace = PACE) -> Iterator[Holder | None]:
    """Hold the lock at ``path`` without waiting; yields the gone holder whose lock was taken over, or None.

    Raises Occupied when the lock has a holder, UserError when the folder cannot be written.
    """
    lock, before = LockFile(path, pace), None
    while not lock.create():
        content = lock.read()
        if content is None:
            continue
        if not _Watch(lock, content).is_gone(at_once=True):
            raise Occupied(content.holder)
        if lock.take_over(content):
            before = content.holder
            break
    with lock.kept(str(path)):
        yield before


@dataclass(frozen=True)
class _Content:
    """A lock file as it was read. inode: distinguishes two damaged lock files whose texts are equal."""

    text: str
    inode: int

    @property
    def holder(self) -> Holder | None:
        return parse(self.text)

    def description(self) -> str:
        return self.holder.description() if self.holder else "a process that did not leave its name"

    def advice(self) -> str:
        """How a user can end the holder instead of waiting for it; empty where the holder is unknown."""
        if self.holder is None:
            return ""
        return f"; to take over, end it with {self.holder.how_to_end()}, and this job goes on from its last checkpoint"


class LockFile:
    """The lock file at ``path``, for one use by this process."""

    def __init__(self, path: Path, pace: Pace) -> None:
        self.path, self.pace, self.me = path, pace, this_process()

    def wait(self, what: str | None) -> bool:
        """Get the lock; returns whether another holder had to be waited for.

        what: the work that the lock is for, named in the lines that are logged. None: no lines.
        """
        waited, watch = False, None
        while not self.create():
            content = self.read()
            if content is None:
                continue
            if watch is None or watch.content != content:
                watch = _Watch(self, content)
            if watch.is_gone():
                if self.take_over(content):
                    if what:
                        logger.info(f"{what}: {content.description()} was making it and is gone: taken over")
                    break
            else:
                if what and not waited:
                    logger.info(f"{what} is being made by {content.description()}: waiting for it{content.advice()}")
                waited = True
                self.pace.clock.sleep(self.pace.poll)
        return waited

    def create(self) -> bool:
        """Make the lock file; False when there is one."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)  # as the user's umask has it
        except FileExistsError:
            return False
        except OSError as error:
            raise self._unwritable(error) from error
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(self.me.as_text())
        except OSError as error:
            self.path.unlink(missing_ok=True)
            raise self._unwritable(error) from error
        return True

    def read(self) -> _Content | None:
        """The lock file as it is now, None when there is none."""
        try:
            with self.path.open(encoding="utf-8", errors="replace") as file:
                return _Content(file.read(), os.fstat(file.fileno()).st_ino)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def take_over(self, dead: _Content) -> bool:
        """Put this process's lock in the place of one whose holder is gone; False when the lock has changed meanwhile.

        A second lock lets only one process at a time do this. Otherwise a slow process, which has found the holder
        gone, could replace the lock of a quick one, which has already taken over and is at work.
        """
        right = LockFile(self.path.with_name(f"{self.path.name}.takeover.lock"), self.pace)
        right.wait(None)
        try:
            if self.read() != dead:
                return False
            self._replace()
        finally:
            right.release()
        return True

    def release(self) -> None:
        """Remove the lock file, unless another process has taken it over."""
        if self._is_mine(self.read()):
            self.path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def kept(self, what: str) -> Iterator[None]:
        """Touch the lock every beat while the block runs, and remove it at the end."""
        ended = threading.Event()
        beating = threading.Thread(target=self._keep_beating, args=(what, ended), daemon=True)
        beating.start()
        try:
            yield
        finally:
            ended.set()
            beating.join()
            self.release()

    def _keep_beating(self, what: str, ended: threading.Event) -> None:
        while not ended.wait(self.pace.beat):
            with contextlib.suppress(OSError):  # the server may be away for a while: the next beat finds it
                if not self.beat(what):
                    os.kill(os.getpid(), signal.SIGTERM)
                    return

    def beat(self, what: str) -> bool:
        """Touch the lock, and make it again where it was deleted. False: another process has taken it over.

        That happens when this machine slept or was cut off. This process must end then, because the other one went on.
        """
        content = self.read()
        if content is None:
            self.create()
        elif content.holder is None or self._is_mine(content):
            os.utime(self.path)
        else:
            logger.error(f"{what} was taken over by {content.description()}: this process stops")
            return False
        return True

    def _replace(self) -> None:
        draft = self.path.with_name(f"{self.path.name}.{self.me.token}")
        try:
            draft.write_text(self.me.as_text(), encoding="utf-8")
            draft.replace(self.path)
        except OSError as error:
            raise self._unwritable(error) from error
        finally:
            draft.unlink(missing_ok=True)

    def _is_mine(self, content: _Content | None) -> bool:
        return content is not None and content.holder == self.me

    def _unwritable(self, error: OSError) -> UserError:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        remedy = "free some space" if full else "check the folder's permissions"
        return UserError(f"cannot write to {self.path.parent} ({error.strerror}): {remedy} and run again")


class _Watch:
    """Observation of a lock over time, from which it follows whether its holder is gone."""

    def __init__(self, lock: LockFile, content: _Content) -> None:
        self.lock, self.content = lock, content
        self._pace, self._now = lock.pace, lock.pace.clock.monotonic
        self._state, self._queried = State.UNKNOWN, -float("inf")
        self._touched, self._since = self._mtime(), self._now()

    def is_gone(self, at_once: bool = False) -> bool:
        """Whether the holder is gone. at_once: do not watch the lock for some beats before the clock is believed."""
        state = self._holder_state()
        if state is State.UNKNOWN:
            return self._is_silent(at_once)
        return state is State.GONE

    def _holder_state(self) -> State:
        holder, me = self.content.holder, self.lock.me
        if holder is None:
            return State.UNKNOWN
        # Many jobs may wait at once, so SLURM's controller is not queried at every look.
        if holder.shares_pids_with(me) or self._now() - self._queried > self._pace.query:
            self._state, self._queried = state_of(holder, me), self._now()
        return self._state

    def _is_silent(self, at_once: bool) -> bool:
        limit = self._pace.silent if self.content.holder else self._pace.broken
        touched = self._mtime()
        if touched != self._touched:
            self._touched, self._since = touched, self._now()
        watched = self._now() - self._since
        if watched > limit:
            return True
        return (at_once or watched > 1.5 * self._pace.beat) and _server_time(self.lock) - touched > limit

    def _mtime(self) -> float:
        with contextlib.suppress(FileNotFoundError):
            return self.lock.path.stat().st_mtime
        return 0.0


def _server_time(lock: LockFile) -> float:
    """The time of the clock by which the lock's own date was set, that of the file server."""
    probe = lock.path.with_name(f"{lock.path.name}.{lock.me.token}")
    try:
        probe.write_text("", encoding="utf-8")
        return probe.stat().st_mtime
    finally:
        probe.unlink(missing_ok=True)
