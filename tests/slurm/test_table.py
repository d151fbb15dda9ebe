"""A table through SLURM is the table of this machine, to the byte, whatever fails beside it."""

import pytest
from support.slurm_projects import Call, build, edit_profile, local

from semiseg.base.files import sha256

FORMS = (".csv", ".sound.csv", ".views.csv", ".md", ".tex", ".metrics.json")
RUN = "results/runs/phantom_mri/la_small/tiny/{method}/seed1"


@pytest.fixture(scope="module")
def call(slurm, tmp_path_factory):
    """A call with the words of the DVC stage that built a table through SLURM, and another with a row that diverges.

    Memory is in sizes of this machine.
    """
    folder = build(tmp_path_factory.mktemp("cluster"), tiny=["sup_only"], half=["sup_only", "wild"])
    resources = {rule: {"gpu": 0, "gres": "gpu:1"} for rule in ("train", "predict")}  # no GPU here is real
    edit_profile(folder, resources, retries=1)
    call = Call(folder, "--cores", "all", "--force", "results/tiny.csv", "results/half.csv", warm=True)
    call.wait()
    return call


def test_every_form_of_the_table_and_the_weights_equal_those_of_a_local_run(call, tmp_path):
    here = build(tmp_path / "local", tiny=["sup_only"])
    local(here, "results/tiny.csv")
    files = [f"results/tiny{form}" for form in FORMS]
    files += [f"{RUN.format(method='sup_only')}/{name}" for name in ("weights.safetensors", "history.csv", "cases.csv")]
    assert {name: sha256(call.folder / name) for name in files} == {name: sha256(here / name) for name in files}


def test_gpu_rules_request_a_gpu_and_cheap_rules_are_no_jobs(call, slurm):
    jobs = slurm.history(call.folder)
    asked = {job.comment.split("_wildcards_")[0]: job for job in jobs}
    assert set(asked) == {f"rule_{rule}" for rule in ("raw", "prepare", "train", "predict", "evaluate")}
    jobs = [job for job in jobs if "_wild_" not in job.comment]
    assert len(jobs) == len(asked) and {job.state for job in jobs} == {"COMPLETED"}
    assert {rule for rule, job in asked.items() if "gres/gpu=1" in job.resources} == {"rule_train", "rule_predict"}


def test_a_person_can_read_in_squeue_what_a_job_is(call, slurm):
    comments = {job.comment for job in slurm.history(call.folder)}
    assert "rule_train_wildcards_phantom_mri_la_small_tiny_sup_only_1_" in comments  # the checkpoint has no name
    assert "rule_prepare_wildcards_phantom_mri_la_half" in comments


def test_a_method_that_fails_does_not_stop_the_others(call, slurm):
    assert call.wait() != 0
    assert "half: no row wild: train did not finish" in call.said
    assert (call.folder / "results/half.partial.csv").exists()
    assert (call.folder / "results/half/sup_only.csv").exists()
    failed = [job for job in slurm.history(call.folder) if "_wild_" in job.comment]
    assert [job.state for job in failed] == ["FAILED", "FAILED"]
    kept = {path.parent.name for path in (call.folder / "results/logs/slurm/rule_train").glob("*/*.log")}
    assert any("wild" in name for name in kept), "logs of jobs that failed are kept"
