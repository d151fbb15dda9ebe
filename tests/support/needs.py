"""What some tests need of the machine. A test that lacks it is skipped under the name of its group."""

import os
from pathlib import Path
from typing import NoReturn

import pytest

from support import REALDATA


def skip(group: str, why: str) -> NoReturn:
    """Skip the test; the last line of the run counts the skipped tests of each group."""
    pytest.skip(f"{group}: {why}")


def root(purpose: str) -> None:
    """Skip the test for an ordinary user. purpose: what needs root."""
    if os.geteuid() != 0:
        skip("root", f"{purpose} needs root")


def real_data(*parts: str) -> Path:
    """A file or folder of real scans below ``SEMISEG_REALDATA``; the test is skipped where it is absent."""
    path = REALDATA.joinpath(*parts)
    if not path.exists():
        skip("real data", f"no {'/'.join(parts)} in SEMISEG_REALDATA")
    return path
