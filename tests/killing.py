"""Kills of a workflow at random moments, as machines and people do it, and what is left of the work."""

import contextlib
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from semiseg import weights
from semiseg.files import read_json, sha256
from semiseg.records import SUFFIX, is_measured

VICTIMS = ("machine", "snakemake", "job")  # all at once as with a power cut, Snakemake alone, one job alone
TEMPORARY = (".snakemake", "logs", "state")


@dataclass(frozen=True)
class Kill:
    """victim: one of VICTIMS. phase: the rule whose job was hit. lost: seconds since a running job had last kept work."""

    victim: str
    phase: str
    lost: float


def start(folder: Path, target: str, *arguments: str, cores: int = 2) -> subprocess.Popen[bytes]:
    """Snakemake in the background; its output is appended to snakemake.log."""
    command = [sys.executable, "-m", "snakemake", "--cores", str(cores), *arguments, "--", target]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    with (folder / "snakemake.log").open("ab") as log:
        return subprocess.Popen(command, cwd=folder, env=env, stdout=log, stderr=log)


def jobs(folder: Path) -> dict[str, psutil.Process]:
    """Processes that do a job of this project, by what they make."""
    found = {}
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
            if len(words) > 2 and words[1].endswith("/semiseg") and "--spec" in words and _is_in(process, folder):
                found[words[words.index("--out") + 1]] = process
        except psutil.Error:
            continue
    return found


def _is_in(process: psutil.Process, folder: Path) -> bool:
    return process.status() != psutil.STATUS_ZOMBIE and Path(process.cwd()) == folder.resolve()


def verb(process: psutil.Process) -> str:
    """The rule that a job belongs to."""
    words = process.cmdline()
    return words[words.index("--spec") - 1]


class Killer:
    """Builds a target, and kills at random moments."""

    def __init__(self, folder: Path, target: str, chance: random.Random, *arguments: str, cores: int = 2) -> None:
        self.folder, self.target, self.chance, self.cores = folder, target, chance, cores
        self.arguments = ("--retries", "99", *arguments)
        self.snakemake: subprocess.Popen[bytes] | None = None
        self.first: dict[int, int] = {}  # process -> pieces that were there when it was first seen

    def kills(self, plan: Sequence[tuple[str, str]], pieces: Mapping[str, int], longest: float) -> Iterator[Kill]:
        """Kill as planned (phase, victim): up to ``longest`` seconds after a job of the phase has added some pieces.

        pieces: per phase the most that a job is given time to add. Ends early when all is made.
        """
        for phase, victim in plan:
            while self._has_come_to(phase, self.chance.randint(0, pieces.get(phase, 0))):
                time.sleep(self.chance.uniform(0, longest))
                if any(verb(process) == phase for process in jobs(self.folder).values()):
                    yield self._kill(phase, victim)
                    break

    def finish(self) -> None:
        """Build what remains, without a kill."""
        if self.snakemake is None or self.snakemake.poll() is not None:
            self.snakemake = start(self.folder, self.target, *self.arguments, cores=self.cores)
        log = self.folder / "snakemake.log"
        assert self.snakemake.wait() == 0, log.read_text(encoding="utf-8")[-4000:]

    def _has_come_to(self, phase: str, pieces: int) -> bool:
        """Wait until a job of the phase has added so many pieces; False when everything is made before."""
        while True:
            if self.snakemake is None or self.snakemake.poll() not in (None, 0):
                self.snakemake = start(self.folder, self.target, *self.arguments, cores=self.cores)
            if self.snakemake.poll() == 0:
                return False
            for path, process in jobs(self.folder).items():
                if verb(process) == phase:
                    count = len(kept(self.folder, path, phase))
                    if count - self.first.setdefault(process.pid, count) >= pieces:
                        return True
            time.sleep(0.05)

    def _kill(self, phase: str, victim: str) -> Kill:
        assert self.snakemake is not None
        running, now = jobs(self.folder), time.time()
        lost = {path: now - _last_kept(self.folder, path, process) for path, process in running.items()}
        if victim == "job":
            of_phase = [process for process in running.values() if verb(process) == phase]
            _end(self.chance.choice(of_phase or list(running.values())))
        else:
            main = psutil.Process(self.snakemake.pid)
            for process in [main, *main.children(recursive=True), *running.values()] if victim == "machine" else [main]:
                _end(process)
            self.snakemake.wait()
        return Kill(victim, phase, max(lost.values(), default=0.0))


def _end(process: psutil.Process) -> None:
    with contextlib.suppress(psutil.Error):
        process.kill()


def kept(folder: Path, out: str, rule: str) -> list[float]:
    """Pieces of work that a job has kept, as the times of their making: cases, or steps of a training."""
    path = folder / out
    if rule == "prepare":
        return [file.stat().st_mtime for file in path.parent.glob("[!.]*.h5")]
    if rule == "predict":
        return [file.stat().st_mtime for file in (path.parent / "predictions").glob(".*.json")]
    state = Path(str(path.parent).replace("/runs/", "/state/")) / "state.safetensors"
    if rule == "train" and state.exists():
        return [state.stat().st_mtime] * int(weights.load(state)[1]["iteration"])
    return []


def _last_kept(folder: Path, out: str, process: psutil.Process) -> float:
    return max(process.create_time(), *kept(folder, out, verb(process)), 0.0)


def artefacts(folder: Path, parts: Sequence[str] = ("data", "results")) -> dict[str, str]:
    """Content of every file that is a result: sha256, and of a lineage record its id; measured times left out."""
    found = {}
    for part in parts:
        for path in sorted((folder / part).rglob("*")):
            name = path.relative_to(folder).as_posix()
            if path.is_dir() or set(path.relative_to(folder).parts) & set(TEMPORARY) or is_measured(name):
                continue
            found[name] = str(read_json(path)["id"]) if name.endswith(SUFFIX) else sha256(path)
    return found
