"""Several small jobs share one GPU."""

import re

import pytest
from support.slurm_controller import ask
from support.slurm_projects import PREPARED, WEIGHTS, Call, build, edit_profile, local, trainer, training, until

RUNS = ("left", "right")


@pytest.fixture(scope="module")
def seen(slurm, tmp_path_factory):
    """Per run the GPU that its job sees, and what SLURM says of it, while both are at work."""
    folder = build(tmp_path_factory.mktemp("shards") / "project", RUNS, iterations=60)
    local(folder, *PREPARED)
    edit_profile(folder, {"train": {"gpu": 0, "gres": "shard:1"}})
    call = Call(folder, *(WEIGHTS.format(protocol=name) for name in RUNS))
    found = {}
    for name in RUNS:
        until(lambda name=name: training(folder, name))
        process = trainer(folder, name)
        process.suspend()  # so that both are there to be looked at
        shown = ask("scontrol", "show", "job", "-d", slurm.number(folder, f"_{name}_"))
        found[name] = (process.environ().get("CUDA_VISIBLE_DEVICES"), shown)
    for name in RUNS:
        trainer(folder, name).resume()
    assert call.wait() == 0, call.said[-3000:]
    return found


def test_jobs_that_ask_for_shares_run_at_once_on_one_gpu(seen):
    devices = {device for device, _ in seen.values()}
    assert len(devices) == 1 and re.fullmatch(r"\d", devices.pop())


def test_slurm_counts_shares_and_not_whole_gpus(seen):
    for _, shown in seen.values():
        assert "shard" in shown and "gres/gpu" not in shown
