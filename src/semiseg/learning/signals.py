"""Signals that request the end of the process: the work so far is saved first."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)  # the last one: the terminal is gone


class StopRequest:
    """The request of the signals received so far, and the handler of these signals.

    save: True if the state must be saved after the current step; end: True if the process must end after that.
    """

    save = False
    end = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Note a signal. A second one, after a signal that ends the process, ends it at once without saving.

        In a SLURM job SIGTERM only requests a save, because SLURM itself kills the job some seconds later. A job that
        ended by itself in between would count as failed, and SLURM would not start it again after a pre-emption.
        """
        if self.end:
            raise KeyboardInterrupt
        self.save = True
        self.end = number == signal.SIGINT or "SLURM_JOB_ID" not in os.environ


@contextlib.contextmanager
def watch() -> Iterator[StopRequest]:
    """Handle these signals inside the block, which reads the yielded object after each of its steps.

    A signal that the process was started to ignore, as ``nohup`` does with SIGHUP, stays ignored. Only the main thread
    may handle signals, so nothing is handled in another thread.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    handled = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, request) for number in handled}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
