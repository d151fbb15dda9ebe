"""Only one Snakemake at a time works in a project's folder, and a killed one leaves nothing that stops the next."""

import atexit
import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from semiseg.base.errors import UserError
from semiseg.jobs.lock import PACE, Occupied, Pace, held_at_once
from semiseg.jobs.lock_owner import Holder

logger = logging.getLogger(__name__)

MEMORY = Path(".snakemake")  # Snakemake's own folder


def check_writable() -> None:
    """Raise UserError when Snakemake cannot write to the current folder, because it would end with a traceback."""
    for folder in (Path.cwd(), MEMORY.absolute(), Path("results").absolute()):
        if folder.exists() and not os.access(folder, os.W_OK):
            raise UserError(
                f"{folder} cannot be written: work in a copy of the project, or have its permissions changed"
            )


def claim_project(pace: Pace = PACE) -> None:
    """Hold the lock of the current folder until this process ends. Raises UserError while another process holds it.

    After a Snakemake that was killed, its locks on files are removed, so that nobody needs ``snakemake --unlock``.
    """
    claim = contextlib.ExitStack()
    before = claim.enter_context(project_held(pace))
    atexit.register(claim.close)
    if before is not None:
        logger.info(f"{before.description()} worked in this folder and is gone: going on from what it left")
        for stale in (MEMORY / "locks").glob("*.lock"):
            stale.unlink(missing_ok=True)


@contextlib.contextmanager
def project_held(pace: Pace = PACE) -> Iterator[Holder | None]:
    """Hold the lock of the current folder; yields the gone holder whose lock was taken over, or None.

    Raises UserError while another process holds it.
    """
    with contextlib.ExitStack() as claim:
        try:
            before = claim.enter_context(held_at_once(MEMORY / "semiseg.lock", pace))
        except Occupied as occupied:
            raise UserError(_refusal(occupied, pace)) from None
        yield before


def _refusal(occupied: Occupied, pace: Pace) -> str:
    if occupied.holder is None:
        return f"another Snakemake has just begun to work in this folder: call again in {pace.broken:.0f} seconds"
    ending = f"wait for it, or end it with {occupied.holder.how_to_end()}, and call again"
    return f"another Snakemake works in this folder, {occupied.holder.description()}: {ending}"
