"""GPUs of one machine: real processes compete for pretended ones; none is shared by more jobs than fit."""

import os
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch
from support.needs import root

from semiseg.base.errors import UserError
from semiseg.jobs.gpu import claimed, has_share, visible_gpus, why_unusable
from semiseg.stages.execution import execute
from semiseg.stages.task import Options, Rule, Task

TAKE = """
import os, sys, time
from pathlib import Path
from semiseg.base.progress import set_up_logging
from semiseg.jobs.gpu import claimed
set_up_logging()
need = float(sys.argv[2]) * 2**30 if sys.argv[2] else None
with claimed("auto", int(sys.argv[1]), lambda: need) as device:
    assert "torch" not in sys.modules
    print(device, os.environ.get("CUDA_VISIBLE_DEVICES"), flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine with so many GPUs, as nvidia-smi lists them, and a temporary folder of its own.

    total, free: memory of each GPU in GiB; None where nvidia-smi does not tell it.
    """
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # so that it is put back after a test in which a job sets it
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)

    def has(count: int, total: int | None = 80, free: int | None = None) -> None:
        names = "".join(f"echo GPU-{number}\n" for number in range(count))
        sizes = f", {1024 * total}, {1024 * (total if free is None else free)}" if total else ", [N/A], [N/A]"
        memory = "".join(f"echo 'GPU-{number}{sizes}'\n" for number in range(count))
        script = f"case $1 in *memory*)\n{memory};;*)\n{names};;esac\n"
        (folder / "nvidia-smi").write_text(f"#!/bin/sh\n{script}")
        (folder / "nvidia-smi").chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    return has


@pytest.fixture
def start():
    """Start processes that take a GPU and keep it until their input ends or they are killed."""
    running = []

    def process(runs_per_gpu: int = 1, need: float | None = None, **environment: str):
        command = [sys.executable, "-c", TAKE, str(runs_per_gpu), "" if need is None else str(need)]
        pipe = subprocess.PIPE
        env = {**os.environ, **environment}
        running.append(subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, encoding="utf-8", env=env))
        return running[-1]

    yield process
    for each in running:
        each.kill()
        each.wait()
        for pipe in (each.stdin, each.stdout, each.stderr):
            pipe.close()


def taken(process) -> str:
    """The GPU that a process got."""
    device, gpu = process.stdout.readline().split()
    assert device == "cuda"
    return gpu


def test_each_job_gets_a_gpu_of_its_own(machine, start):
    machine(3)
    assert sorted(taken(each) for each in [start(), start(), start()]) == ["GPU-0", "GPU-1", "GPU-2"]


def test_who_finds_all_taken_waits_with_a_sentence_until_one_is_free(machine, start):
    machine(2)
    first, second = start(), start()
    gpus = [taken(first), taken(second)]
    third = start()
    assert "all GPUs are taken (2, at most 1 job on each): waiting" in third.stderr.readline()
    second.stdin.close()
    assert taken(third) == gpus[1]


def test_a_killed_jobs_gpu_is_free_at_once(machine, start):
    machine(1)
    first = start()
    assert taken(first) == "GPU-0"
    first.kill()
    assert taken(start()) == "GPU-0"


def test_small_runs_share_and_fill_every_gpu_once_first(machine, start):
    machine(2, total=80)
    first = [start(2, 30), start(2, 30)]
    assert sorted(taken(each) for each in first) == ["GPU-0", "GPU-1"]
    second = [start(2, 40), start(2, 40)]
    assert sorted(taken(each) for each in second) == ["GPU-0", "GPU-1"]
    assert "all GPUs are taken (2, at most 2 jobs on each): waiting" in start(2, 1).stderr.readline()
    assert "GPU GPU-0, job 1 of at most 2 on it, 30.0 GiB of its memory planned" in first[0].stderr.readline() + (
        first[1].stderr.readline()
    )


def test_a_run_whose_memory_does_not_fit_beside_the_others_waits_with_a_sentence_until_it_does(machine, start):
    machine(1, total=80)
    first, second = start(3, 30), None
    assert taken(first) == "GPU-0"
    second = start(3, 60)
    assert (
        "no GPU has room for one more of runs_per_gpu 3 (GPU GPU-0 has 80.0 GiB, of which 30.0 are planned for 1 run"
        " and 80.0 are free now): waiting for a free one"
    ) in second.stderr.readline()
    third = start(3, 20)
    assert taken(third) == "GPU-0", "what fits goes on meanwhile"
    first.stdin.close()
    third.kill()
    assert taken(second) == "GPU-0"


SENTENCES = {
    "taken by others": ({"free": 10}, (2, 20), (2, 20), "of which 20.0 are planned for 1 run and 10.0 are free now"),
    "not told": ({"total": None}, (2, 20), (2, 20), "the memory of GPU GPU-0 is not known"),
    "own need unknown": ({}, (2, 20), (2, None), "a run on GPU GPU-0 must be alone, because its memory is not planned"),
    "other's need unknown": ({}, (1, None), (2, 20), "a run on GPU GPU-0 must be alone, because its memory is not"),
}


@pytest.mark.parametrize(("memory", "first", "second", "sentence"), SENTENCES.values(), ids=SENTENCES)
def test_no_run_joins_another_where_the_memory_is_not_there_or_not_known(
    machine, start, memory, first, second, sentence
):
    machine(1, **memory)
    assert taken(start(*first)) == "GPU-0"
    line = start(*second).stderr.readline()
    assert sentence in line and line.rstrip().endswith("waiting for a free one")


def test_a_run_that_needs_more_than_a_gpu_has_is_alone_on_it_with_a_warning(machine, start):
    machine(1, total=16)
    process = start(2, 25)
    assert taken(process) == "GPU-0"
    said = process.stderr.readline() + process.stderr.readline()
    assert (
        "GPU GPU-0 has 16.0 GiB and this run is planned to need 25.0: it runs there alone and may end for lack" in said
    )


def test_many_jobs_at_once_never_exceed_a_gpus_seats(machine, start, tmp_path):
    machine(1, total=80)
    several = [start(3, 20) for _ in range(6)]
    until = time.monotonic() + 30
    while sum("waiting" in each.stderr.readline() for each in several) < 3:
        assert time.monotonic() < until
    assert len(list((tmp_path / "semiseg-gpus").glob("*.seat"))) == 3


def test_only_visible_gpus_are_taken_by_number_or_name(machine, start):
    machine(4)
    assert sorted(taken(start(CUDA_VISIBLE_DEVICES="2,3")) for _ in range(2)) == ["2", "3"]
    assert taken(start(CUDA_VISIBLE_DEVICES="GPU-3,1")) == "1", "GPU-3 is number 3, which is taken"
    assert taken(start()) == "GPU-0"


def test_a_slurm_job_uses_the_gpu_that_it_was_given(machine, start):
    machine(4)
    given = {"SLURM_JOB_ID": "12", "CUDA_VISIBLE_DEVICES": "1"}
    assert [taken(start(**given)) for _ in range(2)] == ["1", "1"], "SLURM counts the jobs of a shared GPU"
    several = {"SLURM_JOB_ID": "12", "CUDA_VISIBLE_DEVICES": "0,1"}
    assert sorted(taken(start(**several)) for _ in range(2)) == ["0", "1"], "a workflow inside one allocation"
    shared = {"SLURM_JOB_ID": "12", "CUDA_VISIBLE_DEVICES": "2"}
    assert taken(start(2, 50, **shared)) == "2"
    assert "no GPU has room" in start(2, 50, **shared).stderr.readline(), "SLURM does not count its memory"


@pytest.mark.parametrize(
    ("value", "gpus"),
    [("", []), ("-1", []), ("NoDevFiles", []), ("1,-1,0", ["1"]), (" 0, MIG-a/1/0", ["0", "MIG-a/1/0"])],
)
def test_the_visible_gpus_are_read_as_cuda_reads_them(machine, monkeypatch, value, gpus):
    machine(2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    assert visible_gpus() == gpus
    if not gpus:
        with claimed("auto") as device:
            assert device == "cpu"


def test_without_nvidias_tool_torch_decides(machine, monkeypatch, tmp_path):
    monkeypatch.setattr("semiseg.jobs.gpu.DEVICES", tmp_path)
    monkeypatch.setenv("PATH", "/nowhere")
    with claimed("auto") as device:
        assert device == "auto" and "CUDA_VISIBLE_DEVICES" not in os.environ


@pytest.mark.parametrize("answer", ["exit 9", "echo 'Failed to initialize NVML: Driver/library version mismatch'"])
def test_a_gpu_that_nvidias_tool_does_not_show_is_seen(machine, monkeypatch, tmp_path, answer):
    machine(0)
    (tmp_path / "bin/nvidia-smi").write_text(f"#!/bin/sh\n{answer}\n")
    monkeypatch.setattr("semiseg.jobs.gpu.DEVICES", tmp_path)
    for file, wanted in (("nvidiactl", "auto"), ("nvidia0", "cuda")):
        (tmp_path / file).touch()
        with claimed("auto") as device:
            assert device == wanted


def test_a_gpu_that_torch_cannot_use_is_refused_unless_the_cpu_is_allowed(machine, caplog):
    machine(1)
    rule = Rule("train", lambda task: done.append(str(task.runtime().device)), (), (), on_gpu=True)
    done = []
    with pytest.raises(
        UserError, match=r"^device cuda cannot be used by torch \S+ \(.+\): .* `--set-resources train:gpu=0"
    ):
        execute(rule, Task({"method": "mt"}, {}, {}, Options()))
    for options in (Options(gpu=0), Options(device="cpu")):
        assert execute(rule, Task({"method": "mt"}, {}, {}, options))["device"] == "cpu"
    assert done == ["cpu", "cpu"]
    assert [each.getMessage() for each in caplog.records][1:] == ["device: CPU, 1 thread"] * 2


@pytest.mark.parametrize("options", [Options(), Options(device="cuda")], ids=["auto", "cuda"])
def test_a_control_takes_no_gpu_whatever_is_requested(machine, caplog, tmp_path, options):
    machine(1)
    done = []
    rule = Rule("train", lambda task: done.append(os.environ.get("CUDA_VISIBLE_DEVICES")), (), (), on_gpu=True)
    options = replace(options, threads=3)
    facts = execute(rule, Task({"method": "control_empty"}, {}, {}, options))
    assert facts == {"device": "cpu", "threads": 3, "deterministic": True}
    assert done == [None] and not (tmp_path / "semiseg-gpus").exists()
    assert [each.getMessage() for each in caplog.records] == ["device: CPU, 3 threads"]


def test_a_share_of_a_gpu_that_slurm_gives_is_tried_before_the_cpu(machine, monkeypatch, caplog):
    machine(1)
    done = []
    rule = Rule("train", lambda task: done.append(task.options.device), (), (), on_gpu=True)
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert not has_share()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert has_share()
    execute(rule, Task({"method": "mt"}, {}, {}, Options(gpu=0)))
    assert done == ["cpu"]  # the share is tried first, and no GPU here is real
    assert "the CPU computes, as gpu=0 allows: device cuda cannot be used by torch" in caplog.text


def test_an_unknown_device_is_refused():
    assert str(why_unusable("cuda:97")).startswith("device cuda:97 cannot be used by torch")


def test_a_chosen_device_is_taken_as_it_is(machine):
    machine(2)
    with claimed("cuda:1") as device:
        assert device == "cuda:1" and "CUDA_VISIBLE_DEVICES" not in os.environ


@pytest.mark.parametrize("number", [0, -2])
def test_fewer_than_one_run_per_gpu_is_refused(machine, number):
    with pytest.raises(UserError, match=f"^runs_per_gpu is {number}, expected 1 or more"), claimed("auto", number):
        pass


def test_a_full_gpu_is_one_sentence(machine):
    def work(task):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of")

    rule = Rule("train", work, (), (), on_gpu=True)
    sentence = (
        r"^the GPU has too little memory for this job \(CUDA out of memory\): take a larger GPU or a smaller runs_"
    )
    with pytest.raises(UserError, match=sentence):
        execute(rule, Task({"method": "mt"}, {}, {}, Options(device="cpu")))


def test_a_share_by_runs_per_gpu_never_becomes_the_cpu_in_silence(machine, monkeypatch):
    machine(1)
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setattr("semiseg.stages.execution.planned_memory", lambda task: None)
    rule = Rule("train", lambda task: None, (), (), on_gpu=True)
    with pytest.raises(UserError, match=r"^device cuda cannot be used by torch"):
        execute(rule, Task({"method": "mt"}, {}, {}, Options(gpu=0, runs_per_gpu=2)))


def test_another_users_locks_are_respected(machine, start, tmp_path):
    root("becoming another user")
    machine(1)
    tmp_path.chmod(0o1777)
    for folder in tmp_path.parents:  # pytest keeps others out of the folders that it makes
        if not folder.stat().st_mode & 0o001:
            folder.chmod(0o711)
    assert taken(start()) == "GPU-0"
    as_nobody = TAKE.replace("with claimed", "os.setuid(65534)\nwith claimed")
    with subprocess.Popen(
        [sys.executable, "-c", as_nobody, "1", ""], stderr=subprocess.PIPE, encoding="utf-8"
    ) as other:
        line = other.stderr.readline()
        other.kill()
    assert "all GPUs are taken" in line


def test_a_folder_that_cannot_be_written_is_one_sentence(machine, small_disk, monkeypatch):
    machine(1)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    monkeypatch.setenv("TMPDIR", str(small_disk))
    monkeypatch.setattr("tempfile.tempdir", str(small_disk))
    with pytest.raises(UserError, match=r"cannot note in .* which GPU is taken .*check TMPDIR"), claimed("auto"):
        pass
