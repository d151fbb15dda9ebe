"""A stop asked from outside: at a time limit, before pre-emption and on Ctrl-C the work so far is saved first."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT)  # SLURM warns with the first one some seconds before it kills


class Stop:
    """Whether somebody asked this process to stop."""

    asked = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Note the first signal; the second one does not wait for the work to be saved."""
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


@contextlib.contextmanager
def on_request() -> Iterator[Stop]:
    """Watch for SIGTERM and SIGINT while the block runs. The block asks, saves, and raises KeyboardInterrupt.

    Outside the main thread, which alone may handle signals, nothing is watched.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, stop) for number in SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
