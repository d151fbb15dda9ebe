"""A real SLURM for the tests of this folder, on this machine: up.sh starts it, down.sh stops it."""

import os
import platform
import shutil
import subprocess
from pathlib import Path

import psutil
import pytest
from support.needs import skip
from support.slurm_controller import Controller
from support.slurm_projects import Call

HERE = Path(__file__).parent
POINTER = Path("/run/slurm-ci.dir")


def why_no_slurm() -> str | None:
    """Why these tests cannot run here, or None."""
    if platform.system() != "Linux" or shutil.which("dpkg") is None or os.geteuid() != 0:
        return "starting a SLURM of one's own takes Debian or Ubuntu, and root"
    if shutil.which("slurmctld") is None and not os.environ.get("CI"):
        return "SLURM is not installed (tests/slurm/up.sh installs it)"
    return None


def is_running() -> bool:
    """Whether the controller that the pointer names is alive; the pointer outlives a machine that was switched off."""
    try:
        number = int(Path(POINTER.read_text().strip(), "slurmctld.pid").read_text())
    except (OSError, ValueError):
        return False
    return psutil.pid_exists(number) and psutil.Process(number).name() == "slurmctld"


@pytest.fixture(scope="session")
def slurm():
    """The controller of a running SLURM; one that ran before the tests is used and left."""
    reason = why_no_slurm()
    if reason is not None:
        skip("SLURM", reason)
    there = is_running()
    started = subprocess.run([HERE / "up.sh"], capture_output=True, encoding="utf-8")
    if started.returncode != 0:
        skip("SLURM", f"it does not start here: {started.stderr.strip()[-300:]}")
    folder = Path(POINTER.read_text().strip())
    before = os.environ.get("SLURM_CONF")
    os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
    yield Controller(folder)
    for call in Call.made:
        call.end()
    if before is None:
        del os.environ["SLURM_CONF"]
    if not there:
        subprocess.run([HERE / "down.sh"], capture_output=True)
