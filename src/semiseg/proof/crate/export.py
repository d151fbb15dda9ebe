"""Verb ``export``: writes a table and everything behind it as a research object."""

import logging
from pathlib import Path

from semiseg.proof.crate.contents import gather
from semiseg.proof.crate.writing import LICENCE, write_crate

logger = logging.getLogger(__name__)


def export(
    target: str,
    out: Path,
    *,
    with_weights: bool = False,
    zipped: bool = False,
    keep_paths: bool = False,
    licence: str | None = None,
    author: str | None = None,
) -> None:
    """Write the crate of a file of the project in the working folder: a zip file if ``zipped``, or if ``out`` ends so.

    Raises UserError as ``crate.contents.gather`` and ``crate.writing.write_crate`` do.
    """
    zipped = zipped or out.suffix == ".zip"
    if zipped and out.suffix != ".zip":
        out = out.with_name(f"{out.name}.zip")
    contents = gather(target, with_weights, keep_paths)
    write_crate(contents, out, zipped, licence or LICENCE, author)
    size = sum(piece.bytes for piece in contents.pieces.values())
    logger.info(
        f"{out}: {len(contents.pieces)} files of {size / 1e6:.1f} MB, {len(contents.chain)} jobs; "
        f"{len(contents.absent)} files are left out and known by hash"
    )
