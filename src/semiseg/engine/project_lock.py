"""One Snakemake at a time in a project's folder; what a killed one left there is no obstacle to the next."""

import atexit
import contextlib
import logging
import os
from pathlib import Path

from semiseg.base.errors import UserError
from semiseg.jobs.lock import PACE, Occupied, Pace, claimed

logger = logging.getLogger(__name__)

MEMORY = Path(".snakemake")  # Snakemake's own folder


def check_writable() -> None:
    """Raise UserError when Snakemake cannot write to the current folder: it would say so in a traceback."""
    for folder in (Path.cwd(), MEMORY.absolute(), Path("results").absolute()):
        if folder.exists() and not os.access(folder, os.W_OK):
            raise UserError(
                f"{folder} cannot be written: work in a copy of the project, or have its permissions changed"
            )


def claim_project(pace: Pace = PACE) -> None:
    """Claim the current folder for this process until it ends. Raises UserError while another one works here.

    After a Snakemake that was killed its locks on files are removed: nobody needs `snakemake --unlock`.
    """
    claim = contextlib.ExitStack()
    try:
        before = claim.enter_context(claimed(MEMORY / "semiseg.lock", pace))
    except Occupied as occupied:
        raise UserError(_refusal(occupied, pace)) from None
    atexit.register(claim.close)
    if before is not None:
        logger.info(f"{before.told()} worked in this folder and is gone: going on from what it left")
        for stale in (MEMORY / "locks").glob("*.lock"):
            stale.unlink(missing_ok=True)


def _refusal(occupied: Occupied, pace: Pace) -> str:
    if occupied.holder is None:
        return f"another Snakemake has just begun to work in this folder: call again in {pace.broken:.0f} seconds"
    ending = f"wait for it, or end it with {occupied.holder.how_to_end()}, and call again"
    return f"another Snakemake works in this folder, {occupied.holder.told()}: {ending}"
