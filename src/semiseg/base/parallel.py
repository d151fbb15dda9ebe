"""One function applied to many jobs, in this process or in several, with one progress bar."""

import multiprocessing
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TypeVar

from semiseg.base.errors import UserError
from semiseg.base.progress import Progress, log_file, set_up_logging

Job = TypeVar("Job")
Result = TypeVar("Result")


def each(
    work: Callable[[Job], Result], jobs: Sequence[Job], workers: int, what: str, unit: str = "case"
) -> list[Result]:
    """Results of ``work`` in the order of ``jobs``; ``work`` and jobs must be picklable for more than one worker.

    The first error stops the rest: running jobs finish, waiting ones are dropped, and the error is raised here.
    Raises UserError when a worker was killed, as the kernel does when memory runs out.
    """
    with Progress(what, len(jobs), unit) as bar:
        if workers <= 1 or len(jobs) <= 1:
            return [_stepped(work(job), bar) for job in jobs]
        context = multiprocessing.get_context("spawn")  # forking a process that holds threads (progress bar) may hang
        with ProcessPoolExecutor(min(workers, len(jobs)), context, _start_worker, (log_file(),)) as pool:
            futures = [pool.submit(work, job) for job in jobs]
            try:
                return _collected(futures, bar)
            except BrokenProcessPool:
                raise UserError(f"{what}: a worker was killed, probably for memory: use fewer workers") from None
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


def _stepped(result: Result, bar: Progress) -> Result:
    bar.step()
    return result


def _collected(futures: Sequence[Future[Result]], bar: Progress) -> list[Result]:
    for future in as_completed(futures):
        future.result()
        bar.step()
    return [future.result() for future in futures]
