"""Which GPU a job uses on a machine with several: a free one, under a lock that ends with the process.

Snakemake limits how many GPU jobs run at once, but gives none of them a device. So each job takes a slot of a GPU: a
file in the machine's temporary folder, which the kernel keeps locked (flock) until the process ends, however it ends.
A GPU has one slot unless the profile sets more (``gpu_slots`` in ``profiles/workstation``). Only the GPUs in
CUDA_VISIBLE_DEVICES are used, or all where it is not set. A SLURM job that was given one GPU uses it without a slot,
because SLURM has already counted the jobs on it.

Until a job has its GPU nothing here starts CUDA, because CUDA reads the environment only once, when it starts. Then
``why_unusable`` does: a job that sees a GPU never runs on the CPU unless the user allows it.
"""

import contextlib
import fcntl
import logging
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from semiseg.base.errors import UserError

logger = logging.getLogger(__name__)

POLL_SECONDS = 1.0
VISIBLE = "CUDA_VISIBLE_DEVICES"
DEVICES = Path("/dev")  # holds a file per GPU, also where nvidia-smi is missing or fails


@contextlib.contextmanager
def claimed(device: str, slots: int = 1) -> Iterator[str]:
    """Yield the device to use while the block runs: ``cpu``, a name of torch's, or ``auto`` where torch has to look.

    device: ``auto`` waits for a free slot of a GPU, hides the other GPUs from this process and yields ``cuda``. Any
    other value is the user's choice and yielded unchanged. slots: jobs per GPU. Raises UserError for fewer than one
    slot.
    """
    if slots < 1:
        raise UserError(f"gpu_slots is {slots}, expected 1 or more jobs per GPU")
    if device != "auto":
        yield device
        return
    gpus = visible_gpus()
    if gpus is None:
        yield "cuda" if any(DEVICES.glob("nvidia[0-9]*")) else "auto"
    elif not gpus:
        yield "cpu"
    elif len(gpus) == 1 and "SLURM_JOB_ID" in os.environ:
        yield "cuda"
    else:
        with _slot(gpus, slots) as gpu:
            os.environ[VISIBLE] = gpu
            yield "cuda"


def visible_gpus() -> list[str] | None:
    """GPUs that this process may use, named as in CUDA_VISIBLE_DEVICES; None where nothing names any."""
    installed = _installed()
    if VISIBLE not in os.environ:
        return installed
    named = [name.strip() for name in os.environ[VISIBLE].split(",")]
    wrong = next((place for place, name in enumerate(named) if not re.fullmatch(r"\d+|(GPU|MIG)-.+", name)), len(named))
    return named[:wrong]  # CUDA, too, ignores all names after an unknown one


def has_share() -> bool:
    """Whether SLURM gave this job a GPU or a share of one: it then names them in the environment."""
    return "SLURM_JOB_ID" in os.environ and VISIBLE in os.environ and bool(visible_gpus())


def why_unusable(device: str) -> str | None:
    """Why torch cannot compute on this device, as with a build without CUDA or an old driver; None where it can."""
    if device == "auto":
        return None
    import torch

    try:
        torch.ones(1, device=device).sum().item()
    except (RuntimeError, AssertionError) as error:  # torch raises the latter for a build without CUDA
        reason = next(iter(str(error).splitlines()), type(error).__name__).rstrip(".")
        return (
            f"device {device} cannot be used by torch {torch.__version__} ({reason}): install a build of torch for this"
            " machine's driver, or allow the CPU with `--set-resources train:gpu=0 predict:gpu=0` (a direct call:"
            " `--device cpu`)"
        )
    return None


@contextlib.contextmanager
def _slot(gpus: list[str], slots: int) -> Iterator[str]:
    """Wait for a slot and yield its GPU. Every GPU gets a first job before any gets a second."""
    places = [(gpu, slot) for slot in range(slots) for gpu in gpus]
    waiting = False
    while True:
        for gpu, slot in places:
            handle = _locked(f"{_key(gpu)}.slot{slot}")
            if handle is not None:
                try:
                    logger.info(f"GPU {gpu}, job {slot + 1} of at most {slots} on it")
                    yield gpu
                finally:
                    os.close(handle)
                return
        if not waiting:
            logger.info(f"all GPUs are taken ({len(gpus)}, at most {slots} jobs on each): waiting for a free one")
        waiting = True
        time.sleep(POLL_SECONDS)


def _locked(name: str) -> int | None:
    """Handle of an open and locked file, or None when another process has locked it."""
    folder = Path(tempfile.gettempdir()) / "semiseg-gpus"
    try:
        folder.mkdir(exist_ok=True)
        with contextlib.suppress(PermissionError):  # another user made it, and opened it to all
            folder.chmod(0o1777)
        path = folder / name
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDONLY, 0o644))
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise UserError(f"cannot note in {folder} which GPU is taken ({error.strerror}): check TMPDIR") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    return handle


def _key(gpu: str) -> str:
    """One name for a GPU, whether it is named by number or by UUID."""
    installed = _installed() or []
    return installed[int(gpu)] if gpu.isdigit() and int(gpu) < len(installed) else re.sub(r"[^\w-]", "_", gpu)


def _installed() -> list[str] | None:
    """UUIDs of the machine's GPUs in the machine's order; None where nvidia-smi is missing, fails or lists none."""
    command = ["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"]
    try:
        answer = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return [line.strip() for line in answer.stdout.splitlines() if line.startswith(("GPU-", "MIG-"))] or None
