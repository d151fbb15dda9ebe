"""What some tests need of the machine. A test that lacks it is skipped under the name of its group."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

from support import REALDATA, ROOT

if TYPE_CHECKING:
    from support.browser import Browser


def skip(group: str, why: str) -> NoReturn:
    """Skip the test; the last line of the run counts the skipped tests of each group."""
    pytest.skip(f"{group}: {why}")


def root(purpose: str) -> None:
    """Skip the test for an ordinary user. purpose: what needs root."""
    if os.geteuid() != 0:
        skip("root", f"{purpose} needs root")


def real_data(name: str) -> Path:
    """A file or folder of real scans below ``SEMISEG_REALDATA``; the test is skipped where it is absent."""
    if not (REALDATA / name).exists():
        skip("real data", _absent(name))
    return REALDATA / name


def needs_real_data(name: str) -> pytest.MarkDecorator:
    """Mark a test that uses a file or folder of real scans."""
    return pytest.mark.skipif(not (REALDATA / name).exists(), reason=f"real data: {_absent(name)}")


def amx() -> None:
    """Skip the test on a processor on which ``precision: fast`` is refused."""
    from semiseg.learning.precision import has_amx

    if not has_amx():
        skip("AMX", "this processor has no AMX, without which bfloat16 is not reproducible")


def browser(*switches: str) -> "Browser":
    """A headless Chromium; the test is skipped where none is installed."""
    from support.browser import CHROMIUM, Browser

    if CHROMIUM is None:
        skip("browser", "no Chromium is installed")
    return Browser(*switches)


def axe() -> str:
    """The source of axe-core, which `make` puts into .venv; the test is skipped where it is absent."""
    path = ROOT / ".venv/axe.min.js"
    if not path.exists():
        skip("axe", "no .venv/axe.min.js (`make .venv/axe.min.js` fetches it by npm)")
    return path.read_text(encoding="utf-8")


def _absent(name: str) -> str:
    return f"no {name} below SEMISEG_REALDATA"
