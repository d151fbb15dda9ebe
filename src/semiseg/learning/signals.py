"""A warning from outside that the process must end: the work so far is saved first."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Warned:
    """What a signal asked for. save: save the work after the step at hand; end: and then end the process."""

    save = False
    end = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Note a signal; another one after the one that ends does not wait for the work to be saved.

        In a SLURM job SIGTERM only warns: SLURM kills some seconds later. A job that ended by itself in between would
        count as failed, and after a pre-emption not be begun again.
        """
        if self.end:
            raise KeyboardInterrupt
        self.save = True
        self.end = number == signal.SIGINT or "SLURM_JOB_ID" not in os.environ


@contextlib.contextmanager
def warnings() -> Iterator[Warned]:
    """Watch for SIGTERM and SIGINT while the block runs, which asks the yielded object after each of its steps.

    Outside the main thread, which alone may handle signals, nothing is watched.
    """
    warned = Warned()
    if threading.current_thread() is not threading.main_thread():
        yield warned
        return
    before = {number: signal.signal(number, warned) for number in SIGNALS}
    try:
        yield warned
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
