"""One function applied to many jobs, in this process or in several, with one progress bar."""

import contextlib
import multiprocessing
import os
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import TypeVar

from semiseg.base.errors import Faults, InputError, UserError
from semiseg.base.progress import Progress, log_file, set_up_logging

Job = TypeVar("Job")
Result = TypeVar("Result")


def each(
    work: Callable[[Job], Result], jobs: Sequence[Job], workers: int, what: str, unit: str = "case"
) -> list[Result]:
    """Results of ``work`` in the order of ``jobs``; ``work`` and jobs must be picklable for more than one worker.

    The first error stops the rest: running jobs finish, waiting ones are dropped, and the error is raised here. An
    InputError concerns one job alone, so the others go on until ten jobs have raised one; then all are raised as one
    UserError. Raises UserError when a worker was killed, as the kernel does when memory runs out.
    """
    faults, results = Faults(), dict[int, Result]()
    with Progress(what, len(jobs), unit) as bar, contextlib.closing(_outcomes(work, jobs, workers)) as outcomes:
        try:
            for index, outcome in outcomes:
                with faults.noted(InputError):
                    results[index] = outcome()
                refused = len(faults.sentences)
                bar.step(**{"refused": refused} if refused else {})
                if refused == Faults.MOST:
                    break
        except BrokenProcessPool:
            raise UserError(f"{what}: a worker was killed, probably for memory: use fewer workers") from None
    faults.sentences.sort()
    faults.raise_all(f"{unit}s" if len(results) + len(faults.sentences) == len(jobs) else f"{unit}s or more")
    return [results[index] for index in range(len(jobs))]


def _outcomes(
    work: Callable[[Job], Result], jobs: Sequence[Job], workers: int
) -> Generator[tuple[int, Callable[[], Result]]]:
    """The index of each job, in the order in which they end, with a function that gives its result or raises."""
    if workers <= 1 or len(jobs) <= 1:
        yield from ((index, partial(work, job)) for index, job in enumerate(jobs))
        return
    context = multiprocessing.get_context("spawn")  # forking a process that holds threads (progress bar) may hang
    with ProcessPoolExecutor(min(workers, len(jobs)), context, _start_worker, (log_file(),)) as pool:
        futures = {pool.submit(work, job): index for index, job in enumerate(jobs)}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result
        finally:
            pool.shutdown(cancel_futures=True)


def _start_worker(log: Path | None) -> None:
    """Prepare a worker process: it logs like its parent, and ends when its parent is killed."""
    set_up_logging(log)
    _end_with_parent()


def _end_with_parent() -> None:
    """End this process when its parent has ended, because it would wait for work for ever."""
    parent = multiprocessing.parent_process()

    def follow() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
