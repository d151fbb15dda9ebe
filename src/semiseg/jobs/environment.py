"""Where and when a job ran: commit, package source, installed software, device; never a host, user or path."""

import functools
import hashlib
import importlib.metadata
import platform
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from semiseg.base.files import sha256
from semiseg.base.sources import PACKAGE
from semiseg.jobs.checkout import package_hash
from semiseg.jobs.scrub import shareable_yaml

COMMIT = re.compile("[0-9a-f]{7,64}")  # anything else from a record could be an option of git
RECORDED = ("torch", "numpy", "scipy", "scikit-image", "SimpleITK", "nibabel", "h5py", "pandas", "snakemake")


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def source() -> dict[str, Any]:
    """The state of code and parameters as a whole.

    commit: of git. dirty: whether the checkout differs from the commit. Both are None outside git. package: hash of the
    package's files. params: hash of params.yaml, None where there is none in the current folder.
    """
    return {**_checkout(), "params": params_hash()}


def edited_since(commit: str) -> list[str] | None:
    """Files of the package that are other than in a commit, or new; None where git does not have the commit here.

    commit: as a record names it. Paths are relative to the root of the checkout.
    """
    if not COMMIT.fullmatch(commit) or not _git("rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}"):
        return None
    changed = _git("diff", "--name-only", "-z", commit, "--", ".")
    new = _git("ls-files", "--others", "--exclude-standard", "--full-name", "-z", "--", ".")
    return sorted({name for name in f"{changed}\0{new}".split("\0") if name})


def params_hash(path: Path = Path("params.yaml")) -> str | None:
    """sha256 of params.yaml without paths and passwords, or None without such a file.

    Paths and passwords are left out when the file is shared, so the shared copy has the same hash.
    """
    try:
        return hashlib.sha256(shareable_yaml(path.read_text(encoding="utf-8")).encode()).hexdigest()
    except FileNotFoundError:
        return None
    except (yaml.YAMLError, UnicodeDecodeError):  # reading the parameters reports what is wrong
        return sha256(path)


def environment() -> dict[str, Any]:
    """Software of this machine: Python, platform, processor, versions of ``RECORDED``, hashes of all installed packages
    and of the constraints file (None where there is none).
    """
    constraints = Path("constraints.txt")
    return {**_software(), "constraints": sha256(constraints) if constraints.exists() else None}


@functools.cache
def _checkout() -> dict[str, Any]:
    """Commit and hash of the package; cached, because a process runs what it has loaded, and git is slow."""
    commit = _git("rev-parse", "HEAD")
    changed = _git("status", "--porcelain", "--", str(PACKAGE)) if commit else None
    dirty = None if changed is None else bool(changed)
    return {"commit": commit or None, "dirty": dirty, "package": package_hash()}


@functools.cache
def _software() -> dict[str, Any]:
    installed = sorted({_name_and_version(each).lower() for each in importlib.metadata.distributions()})
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "packages": {name: _version(name) for name in RECORDED},
        "installed": hashlib.sha256("\n".join(installed).encode()).hexdigest(),
    }


def _name_and_version(package: importlib.metadata.Distribution) -> str:
    """``numpy==2.3.1``, from the first lines of the package's metadata; parsing all of it costs ten times as much."""
    text = package.read_text("METADATA") or package.read_text("PKG-INFO") or ""
    lines = text.partition("\n\n")[0].splitlines()
    found = {name: value for name, _, value in (line.partition(": ") for line in lines) if name in ("Name", "Version")}
    return f"{found.get('Name')}=={found.get('Version')}"


def cpu_facts(threads: int) -> dict[str, Any]:
    """Facts of the CPU, as ``device_facts`` gives them, without torch."""
    return {"device": "cpu", "threads": threads, "deterministic": True}


def device_facts(name: str) -> dict[str, Any]:
    """Facts of a device: the GPU with its driver, or the CPU with its threads.

    name: as torch names it. deterministic: whether the same job gives the same bits again.
    """
    import torch

    if not name.startswith("cuda"):
        return cpu_facts(torch.get_num_threads())
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    drivers = _output(query).splitlines()
    return {
        "device": torch.cuda.get_device_name(name),
        "driver": drivers[0] if drivers else None,
        "cuda": torch.version.cuda,
        "deterministic": torch.are_deterministic_algorithms_enabled(),
    }


def _git(*arguments: str) -> str:
    return _output(["git", "-C", str(PACKAGE), *arguments])


def _output(command: list[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, encoding="utf-8", timeout=30, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()
