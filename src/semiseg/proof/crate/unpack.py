"""Verb ``unpack``: makes a project folder, which can be audited, from a research object."""

import logging
from pathlib import Path

from semiseg.paths import LINEAGE
from semiseg.proof.crate.reading import unpack_crate

logger = logging.getLogger(__name__)


def unpack(crate: Path, folder: Path) -> None:
    """Make ``folder`` from a crate and print the next steps. Raises UserError as ``unpack_crate`` does."""
    taken = unpack_crate(crate, folder)
    logger.info(f"{folder}: {len(taken)} files, each with the hash that the crate names")
    logger.info(
        "the workflow in the crate is code and was left there; to build again, take it from a checkout of the project"
    )
    tables = [name.removesuffix(LINEAGE) for name in taken if name.count("/") == 1 and name.endswith(f".csv{LINEAGE}")]
    for table in tables:
        logger.info(f"next: cd {folder} && semiseg audit {table}")
