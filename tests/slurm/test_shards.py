"""Several small jobs share one GPU."""

import re

import pytest
from support import warm
from support.slurm_controller import ask
from support.slurm_projects import LOG, PREPARED, WEIGHTS, Call, build, edit_profile, local, stop_at_work

RUNS = ("left", "right")


@pytest.fixture(scope="module")
def seen(slurm, tmp_path_factory):
    """Per run the GPU that its job sees, and what SLURM says of it, while both are at work."""
    folder = build(tmp_path_factory.mktemp("shards") / "project", RUNS, iterations=60)
    local(folder, *PREPARED)
    edit_profile(folder, {"train": {"gpu": 0, "gres": "shard:1"}})
    call = Call(folder, *(WEIGHTS.format(protocol=name) for name in RUNS), warm=True)
    stopped = stop_at_work(folder, RUNS, len(RUNS))  # so that both are there to be looked at
    programs = {program.process: program for program in warm.running()}
    found = {}
    for name, process in stopped.items():
        shown = ask("scontrol", "show", "job", "-d", slurm.number(folder, f"_{name}_"))
        found[name] = (programs[process].environment.get("CUDA_VISIBLE_DEVICES"), shown)
    for process in stopped.values():
        process.resume()
    assert call.wait() == 0, call.said[-3000:]
    return found


def test_jobs_that_ask_for_shares_run_at_once_on_one_gpu(seen):
    devices = {device for device, _ in seen.values()}
    assert len(devices) == 1 and re.fullmatch(r"\d", devices.pop())


def test_runs_per_gpu_requests_shards_and_never_the_cpu_and_a_control_requests_nothing(slurm, tmp_path):
    folder = build(tmp_path / "project", RUNS[:1], tiny=["control_empty"])
    local(folder, *PREPARED)
    edit_profile(folder, {"train": {"gpu": 1, "runs_per_gpu": 2}}, retries=0)
    trained, control = (WEIGHTS.format(protocol=name) for name in (RUNS[0], "la_small"))
    call = Call(folder, trained, control.replace("sup_only", "control_empty"), warm=True)
    assert call.wait() == 1
    jobs = {job.comment.rpartition("_tiny_")[2].rstrip("_"): job for job in slurm.history(folder)}
    shown = {name: ask("scontrol", "show", "job", "-d", job.number) for name, job in jobs.items()}
    assert "shard:2" in shown["sup_only_1"] and "gres/gpu" not in shown["sup_only_1"]
    assert "shard" not in shown["control_empty_1"] and "gres/gpu" not in shown["control_empty_1"]
    assert jobs["control_empty_1"].state == "COMPLETED"
    log = (folder / LOG.format(protocol=RUNS[0])).read_text(encoding="utf-8")
    assert "GPU" in log and "device cuda cannot be used by torch" in log, "no GPU here is real"


def test_slurm_counts_shares_and_not_whole_gpus(seen):
    for _, shown in seen.values():
        assert "shard" in shown and "gres/gpu" not in shown
