"""Project folders for the cluster: a tiny data set, protocols that differ in name alone, and calls of Snakemake."""

import copy
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import psutil
import yaml

from support import project_folder
from support import warm as warm_programs
from support.snakemake_project import alone, tiny_params

WEIGHTS = "results/runs/phantom_mri/{protocol}/tiny/sup_only/seed1/weights.safetensors"
LOG = "results/logs/train/phantom_mri.{protocol}.tiny.sup_only.seed1.log"
PREPARED = ("data/prepared/phantom_mri/la_half/index.json", "data/splits/phantom_mri/tiny.json")


def build(folder: Path, protocols: tuple[str, ...] = (), iterations: int = 4, **tables: list[str]) -> Path:
    """A project with copies of one protocol, whose runs of "Sup only" are one and the same training; tables of it."""
    params = alone(tiny_params(), "tiny")
    tiny = params["tables"].pop("tiny")
    protocol = params["protocols"]["la_small"]
    protocol["training"]["iterations"] = iterations
    params["protocols"] |= {name: copy.deepcopy(protocol) for name in protocols}
    params["variants"]["wild"] = {"method": "cps", "parameters": {"weight": 1e38}}
    params["tables"] |= {name: {**tiny, "rows": rows} for name, rows in tables.items()}
    return project_folder.new(folder, params)


def edit_profile(folder: Path, resources: dict[str, dict[str, object]], **settings: object) -> None:
    """The profile as a user of this small cluster edits it."""
    path = folder / "profiles/slurm/config.yaml"
    profile = yaml.safe_load(path.read_text())
    for rule in profile["set-resources"].values():
        rule |= {"mem_mb": "min(2000 * attempt, 4000)", "runtime": 60}
    for rule, changed in resources.items():
        profile["set-resources"][rule] |= changed
    path.write_text(yaml.safe_dump(profile | settings))


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "snakemake", *arguments]


def environment(slurm: bool) -> dict[str, str]:
    """As at a shell; the profile is named in the environment, as for `dvc repro`."""
    named = {"SNAKEMAKE_PROFILE": "profiles/slurm"} if slurm else {}
    return {**os.environ, **named}


def local(folder: Path, *targets: str) -> None:
    """Build on this machine."""
    result = warm_programs.snakemake(folder, ["--cores", "1", *targets], environment(False))
    assert result.returncode == 0, result.stderr[-3000:]


class Call:
    """A call of Snakemake for the cluster, going on beside the test; what it says is in ``said``.

    warm: whether it and the programs of its jobs are warm ones, which SLURM starts and waits for as it does for others,
    but which are not its children: it could not end them, and they do not see what it sets for its children alone.
    """

    made: ClassVar[list["Call"]] = []

    def __init__(self, folder: Path, *targets: str, warm: bool = False) -> None:
        self.folder = folder
        self._output = folder / f"call-{time.monotonic_ns()}.txt"
        words, env = command(*targets), environment(True)
        if warm:
            words, env = warm_programs.command_of("snakemake", *targets), warm_programs.surroundings(env)
        with self._output.open("w") as output:
            self.process = subprocess.Popen(words, cwd=folder, env=env, stdout=output, stderr=subprocess.STDOUT)

        self.made.append(self)

    @property
    def said(self) -> str:
        return self._output.read_text(encoding="utf-8")

    def wait(self, seconds: float = 400) -> int:
        """Exit status."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            queue = subprocess.run(["scontrol", "show", "jobs"], capture_output=True, encoding="utf-8").stdout
            raise AssertionError(f"still at work after {seconds} s:\n{self.said[-3000:]}\n{queue}") from None

    def end(self) -> None:
        """Interrupt it if it is still at work, as Ctrl-C does, and end what SLURM without cgroups lost sight of."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(60)
        for process in psutil.process_iter(["cwd"]):
            if process.info["cwd"] == str(self.folder):
                process.kill()


def until(condition: Callable[[], object], seconds: float = 120) -> None:
    """Wait for something to become true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.2)


def training(folder: Path, protocol: str) -> bool:
    """Whether the run of a protocol has begun to step."""
    log = folder / LOG.format(protocol=protocol)
    return log.exists() and " step " in log.read_text(encoding="utf-8")


def stop_at_work(folder: Path, protocols: tuple[str, ...], number: int) -> dict[str, psutil.Process]:
    """Suspend runs as soon as they have begun to step, until ``number`` are; protocol -> the process that trains.

    A training of these tests lasts for seconds, so one that is not stopped may have ended before its fault meets it.
    """
    stopped: dict[str, psutil.Process] = {}

    def enough() -> bool:
        for name in protocols:
            process = _trainer(folder, name) if name not in stopped and training(folder, name) else None
            if process is not None:
                process.suspend()
                stopped[name] = process
        return len(stopped) >= number

    until(enough)
    return stopped


def _trainer(folder: Path, protocol: str) -> psutil.Process | None:
    """The process that trains the run of a protocol, be it a program of its own or a warm one."""
    weights = WEIGHTS.format(protocol=protocol)
    for program in warm_programs.running():
        if {"train", weights} <= set(program.words) and program.process.cwd() == str(folder):
            return program.process
    return next((process for process in trainers(folder) if weights in process.info["cmdline"]), None)


def trainers(folder: Path) -> Iterator[psutil.Process]:
    """All processes that train a run of a project."""
    for process in psutil.process_iter(["cmdline", "cwd", "status"]):
        if "train" in (process.info["cmdline"] or ()) and process.info["cwd"] == str(folder):
            yield process
