"""Which GPU a job uses on a machine with several: one with a free seat, under a lock that ends with the process.

Snakemake limits how many GPU jobs run at once, but gives none of them a device. So each job takes a seat on a GPU: a
file in the machine's temporary folder, which the kernel keeps locked (flock) until the process ends, however it ends.
A GPU has one seat, or as many as the profile's ``runs_per_gpu`` where the memory that their runs are planned to need
fits into the GPU. Only the GPUs in CUDA_VISIBLE_DEVICES are used, or all where it is not set. A SLURM job that was
given one whole GPU uses it without a seat, because SLURM has already counted the jobs on it.

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
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from semiseg.base.errors import UserError
from semiseg.base.texts import counted

logger = logging.getLogger(__name__)

POLL_SECONDS = 1.0
VISIBLE = "CUDA_VISIBLE_DEVICES"
DEVICES = Path("/dev")  # holds a file per GPU, also where nvidia-smi is missing or fails
GIB, MIB = 2**30, 2**20


def _unknown() -> float | None:
    """The need of a job that does not know how much GPU memory it will use."""
    return None


@contextlib.contextmanager
def claimed(device: str, runs_per_gpu: int = 1, need: Callable[[], float | None] = _unknown) -> Iterator[str]:
    """Yield the device to use while the block runs: ``cpu``, a name of torch's, or ``auto`` where torch has to look.

    device: ``auto`` waits for a seat on a GPU, hides the other GPUs from this process and yields ``cuda``. Any other
    value is the user's choice and yielded unchanged. runs_per_gpu: how many jobs may use a GPU at once. need: bytes of
    GPU memory that this job is planned to use, or None where that is unknown, which keeps others off its GPU; called
    only where GPUs may be shared. Raises UserError for fewer than one run per GPU.
    """
    if runs_per_gpu < 1:
        raise UserError(f"runs_per_gpu is {runs_per_gpu}, expected 1 or more jobs per GPU")
    if device != "auto":
        yield device
        return
    gpus = visible_gpus()
    if gpus is None:
        yield "cuda" if any(DEVICES.glob("nvidia[0-9]*")) else "auto"
    elif not gpus:
        yield "cpu"
    elif len(gpus) == 1 and "SLURM_JOB_ID" in os.environ and runs_per_gpu == 1:
        yield "cuda"
    else:
        with _seat(gpus, runs_per_gpu, need() if runs_per_gpu > 1 else None) as gpu:
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


@dataclass(frozen=True)
class _Memory:
    """Memory of a GPU in bytes: all of it, and what nobody has taken yet."""

    total: float
    free: float


@dataclass(frozen=True)
class _Refusal:
    """Why a run gets no seat on a GPU now. full: as many runs as allowed are on it, whatever their memory."""

    sentence: str
    full: bool


@contextlib.contextmanager
def _seat(gpus: Sequence[str], runs_per_gpu: int, need: float | None) -> Iterator[str]:
    """Wait for a seat and yield its GPU. Every GPU gets a first job before any gets a second."""
    waiting, keys = False, {gpu: _key(gpu) for gpu in gpus}
    while True:
        taken = _take(keys, runs_per_gpu, need)
        if isinstance(taken, tuple):
            break
        if not waiting:
            logger.info(_why_waiting(taken, len(gpus), runs_per_gpu))
        waiting = True
        time.sleep(POLL_SECONDS)
    gpu, path, handle = taken
    try:
        yield gpu
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)


def _take(keys: Mapping[str, str], runs_per_gpu: int, need: float | None) -> tuple[str, Path, int] | list[_Refusal]:
    """Take a seat, if there is one: its GPU, its file and the locked handle. Else why each GPU has none."""
    with _folder() as folder:
        seats = {gpu: _occupied(folder, key) for gpu, key in keys.items()}
        refusals = []
        for gpu in sorted(keys, key=lambda gpu: len(seats[gpu])):
            refusal = _refusal(gpu, keys[gpu], seats[gpu], runs_per_gpu, need)
            if refusal is None:
                number = len(seats[gpu]) + 1
                logger.info(f"GPU {gpu}, job {number} of at most {runs_per_gpu} on it{_planned(need)}")
                if number == 1:
                    _warn_of_little_memory(gpu, keys[gpu], need)
                path = folder / f"{keys[gpu]}.{uuid.uuid4().hex}.seat"
                path.write_bytes(b"" if need is None else str(need).encode())
                path.chmod(0o644)  # other users look whether it is locked
                return gpu, path, _locked(path, wait=True)
            refusals.append(refusal)
        return refusals


def _refusal(
    gpu: str, key: str, others: Sequence[float | None], runs_per_gpu: int, need: float | None
) -> _Refusal | None:
    """Why a run may not join the others on a GPU; None where it may. others: what each of them is planned to need."""
    if not others:
        return None
    if len(others) >= runs_per_gpu:
        return _Refusal(f"GPU {gpu} has {counted(len(others), 'run')}", full=True)
    planned = [other for other in others if other is not None]
    if need is None or len(planned) < len(others):
        return _Refusal(f"a run on GPU {gpu} must be alone, because its memory is not planned", full=False)
    memory = _memory(key)
    if memory is None:
        return _Refusal(f"the memory of GPU {gpu} is not known", full=False)
    if need > min(memory.total - sum(planned), memory.free):
        return _Refusal(
            f"GPU {gpu} has {memory.total / GIB:.1f} GiB, of which {sum(planned) / GIB:.1f} are planned for"
            f" {counted(len(others), 'run')} and {memory.free / GIB:.1f} are free now",
            full=False,
        )
    return None


def _why_waiting(refusals: Sequence[_Refusal], gpus: int, runs_per_gpu: int) -> str:
    short = [refusal.sentence for refusal in refusals if not refusal.full]
    if not short:
        most = counted(runs_per_gpu, "job")
        return f"all GPUs are taken ({gpus}, at most {most} on each): waiting for a free one"
    return f"no GPU has room for one more of runs_per_gpu {runs_per_gpu} ({'; '.join(short)}): waiting for a free one"


def _warn_of_little_memory(gpu: str, key: str, need: float | None) -> None:
    memory = None if need is None else _memory(key)
    if need is not None and memory is not None and need > memory.total:
        logger.warning(
            f"GPU {gpu} has {memory.total / GIB:.1f} GiB and this run is planned to need {need / GIB:.1f}: it runs"
            " there alone and may end for lack of memory"
        )


def _planned(need: float | None) -> str:
    return "" if need is None else f", {need / GIB:.1f} GiB of its memory planned"


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    """The folder of all seats of this machine, while no other process looks at or takes one."""
    folder = Path(tempfile.gettempdir()) / "semiseg-gpus"
    try:
        folder.mkdir(exist_ok=True)
        with contextlib.suppress(PermissionError):  # another user made it, and opened it to all
            folder.chmod(0o1777)
        path = folder / "lock"
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDONLY, 0o644))
        handle = _locked(path, wait=True)
        try:
            yield folder
        finally:
            os.close(handle)
    except OSError as error:
        raise UserError(f"cannot note in {folder} which GPU is taken ({error.strerror}): check TMPDIR") from error


def _occupied(folder: Path, key: str) -> list[float | None]:
    """Bytes planned for each run that has a seat on a GPU, None where unknown. The files of ended runs are removed."""
    found: list[float | None] = []
    for path in folder.glob(f"{key}.*.seat"):
        try:
            os.close(_locked(path, wait=False))
        except BlockingIOError:
            number = path.read_bytes()
            found.append(float(number) if number else None)
        except FileNotFoundError:  # its run has just ended
            continue
        else:
            with contextlib.suppress(PermissionError):  # another user's, who was killed
                path.unlink(missing_ok=True)
    return found


def _locked(path: Path, *, wait: bool) -> int:
    """Handle of an open and locked file. BlockingIOError when another process has locked it and ``wait`` is False."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        os.close(handle)
        raise
    return handle


def _key(gpu: str) -> str:
    """One name for a GPU, whether it is named by number or by UUID."""
    installed = _installed() or []
    return installed[int(gpu)] if gpu.isdigit() and int(gpu) < len(installed) else re.sub(r"[^\w-]", "_", gpu)


def _installed() -> list[str] | None:
    """UUIDs of the machine's GPUs in the machine's order; None where nvidia-smi is missing, fails or lists none."""
    return [line for line in _query("uuid") if line.startswith(("GPU-", "MIG-"))] or None


def _memory(key: str) -> _Memory | None:
    """Memory of the GPU with this UUID; None where nvidia-smi does not tell it, as for a part of a GPU (MIG)."""
    for line in _query("uuid,memory.total,memory.free"):
        if found := re.fullmatch(rf"{re.escape(key)}, (\d+), (\d+)", line):
            return _Memory(*(MIB * float(number) for number in found.groups()))
    return None


def _query(fields: str) -> list[str]:
    """nvidia-smi's line per GPU, sizes in MiB; none where it is missing or fails."""
    command = ["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in answer.stdout.splitlines()]
