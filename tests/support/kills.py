"""Kills of a workflow at random moments, as machines and people do it, and what is left of the work."""

import contextlib
import json
import os
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
from safetensors import safe_open

from semiseg.base.files import read_json, sha256
from semiseg.jobs.manifest import CHECKED
from semiseg.jobs.record import is_measured
from semiseg.paths import LINEAGE
from support import warm

VICTIMS = ("machine", "snakemake", "job")  # all at once as with a power cut, Snakemake alone, one job alone
TEMPORARY = (".snakemake", ".code", "logs", "state")


@dataclass(frozen=True)
class Phase:
    """Kills of a rule: at most so many, each when up to ``pieces`` more are kept, and ``longest`` seconds later."""

    most: int
    pieces: int
    longest: float


@dataclass(frozen=True)
class Kill:
    """victim: one of VICTIMS. phase: the rule whose job was hit. lost: seconds since a job had last kept its work."""

    victim: str
    phase: str
    lost: float


def start(folder: Path, target: str, *arguments: str, cores: int = 2) -> warm.Program:
    """Snakemake in the background; its output is appended to snakemake.log."""
    command = ["snakemake", "--cores", str(cores), *arguments, "--", target]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    with (folder / "snakemake.log").open("ab") as log:
        return warm.Program(folder, command, log, env)


@dataclass(frozen=True)
class Job:
    """A process that does a job: its rule, and the path that it makes."""

    process: psutil.Process
    rule: str
    out: str

    def end(self) -> None:
        """Kill -9."""
        with contextlib.suppress(psutil.Error):
            self.process.kill()


def jobs(folder: Path) -> list[Job]:
    """The jobs of this project that are being done."""
    found = []
    for program in warm.running():
        words = program.words
        with contextlib.suppress(psutil.Error):  # it has ended meanwhile
            is_job = words[1:4] == ["-P", "-m", "semiseg"] and "--spec" in words
            if is_job and Path(program.process.cwd()) == folder.resolve():
                found.append(Job(program.process, words[words.index("--spec") - 1], words[words.index("--out") + 1]))
    return found


class Killer:
    """Builds a target, and kills at random moments."""

    def __init__(self, folder: Path, target: str, chance: random.Random, *arguments: str, cores: int = 2) -> None:
        self.folder, self.target, self.chance, self.cores = folder, target, chance, cores
        self.arguments = ("--retries", "99", *arguments)
        self.snakemake: warm.Program | None = None
        self.first: dict[int, int] = {}  # process -> pieces that were there when it was first seen

    def kills(self, victims: Sequence[str], phases: Mapping[str, "Phase"]) -> Iterator[Kill]:
        """Kill these one after the other, each at a random moment of a phase. Ends early when all is made."""
        left = {name: phase.most for name, phase in phases.items()}
        for victim in victims:
            while name := self._moment({name: phase for name, phase in phases.items() if left[name] > 0}):
                time.sleep(self.chance.uniform(0, phases[name].longest))
                if any(job.rule == name for job in jobs(self.folder)):
                    left[name] -= 1
                    yield self._kill(name, victim)
                    break

    def finish(self) -> None:
        """Build what remains, without a kill."""
        if self.snakemake is None or self.snakemake.poll() is not None:
            self.snakemake = start(self.folder, self.target, *self.arguments, cores=self.cores)
        log = self.folder / "snakemake.log"
        assert self.snakemake.wait() == 0, log.read_text(encoding="utf-8")[-4000:]

    def _moment(self, phases: Mapping[str, "Phase"]) -> str | None:
        """Wait until a job of one of these has added some pieces; None when everything is made before."""
        wanted = {name: self.chance.randint(0, phase.pieces) for name, phase in phases.items()}
        while True:
            if self.snakemake is None or self.snakemake.poll() not in (None, 0):
                self.snakemake = start(self.folder, self.target, *self.arguments, cores=self.cores)
            if self.snakemake.poll() == 0:
                return None
            for job in (job for job in jobs(self.folder) if job.rule in phases):
                count = len(kept(self.folder, job))
                if count - self.first.setdefault(job.process.pid, count) >= wanted[job.rule]:
                    return job.rule
            time.sleep(0.02)

    def _kill(self, phase: str, victim: str) -> Kill:
        assert self.snakemake is not None
        running, now = jobs(self.folder), time.time()
        hit = [job for job in running if job.rule == phase] or running
        lost = [now - max(job.process.create_time(), *kept(self.folder, job), 0.0) for job in hit]
        if victim == "job" and hit:
            self.chance.choice(hit).end()
        elif victim != "job":
            main = psutil.Process(self.snakemake.pid)
            family = main.children(recursive=True) if victim == "machine" else []
            for process in (main, *family):
                with contextlib.suppress(psutil.Error):
                    process.kill()
            for job in running if victim == "machine" else ():  # those of an earlier call
                job.end()
            self.snakemake.wait()
        return Kill(victim, phase, max(lost, default=0.0))


def kept(folder: Path, job: Job) -> list[float]:
    """Pieces of work that a job has kept, as the times of their making: cases, or steps of a training."""
    path, rule = folder / job.out, job.rule
    if rule == "prepare":
        return [file.stat().st_mtime for file in path.parent.glob("[!.]*.h5")]
    if rule == "predict":
        return [file.stat().st_mtime for file in (path.parent / "predictions").rglob(".*.json")]
    state = Path(str(path.parent).replace("/runs/", "/state/")) / "state.safetensors"
    if rule == "train" and state.exists():
        with safe_open(state, framework="numpy") as file:
            return [state.stat().st_mtime] * int(json.loads(file.metadata()["semiseg"])["iteration"])
    return []


def artefacts(folder: Path, parts: Sequence[str] = ("data", "results")) -> dict[str, str]:
    """Content of every file that is a result: sha256, and of a lineage record its id; measured times left out."""
    found = {}
    for part in parts:
        for path in sorted((folder / part).rglob("*")):
            name = path.relative_to(folder).as_posix()
            if (
                path.is_dir()
                or set(path.relative_to(folder).parts) & set(TEMPORARY)
                or is_measured(name)
                or path.suffix == CHECKED
            ):
                continue
            found[name] = str(read_json(path)["id"]) if name.endswith(LINEAGE) else sha256(path)
    return found
