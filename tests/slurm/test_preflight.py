"""What would fail hours later, or be waited for for ever, is told before the first job, in one sentence."""

import getpass
import re

import pytest
from support.slurm_controller import ask
from support.slurm_projects import Call, build, edit_profile

from semiseg.base.errors import UserError
from semiseg.engine.slurm_check import Need, check

TRAIN = Need("train", gres=("gpu",), minutes=60, memory_mb=1000)


def told(*needs: Need, status: str | None = "squeue", pause: int = 5) -> str:
    with pytest.raises(UserError) as caught:
        check(needs, status, pause)
    return str(caught.value)


def test_a_profile_that_fits_the_cluster_passes(slurm):
    check([TRAIN, Need("prepare", "normal"), Need("evaluate", "normal,urgent")], "squeue", 5)


def test_absent_commands_are_named(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert told(TRAIN).startswith("SLURM's commands sbatch, scancel, scontrol, sinfo, squeue are not on the PATH: ")


def test_a_controller_that_does_not_answer(slurm, monkeypatch, tmp_path):
    config = (slurm.folder / "slurm.conf").read_text()
    (tmp_path / "slurm.conf").write_text(re.sub(r"SlurmctldPort=\d+", "SlurmctldPort=9", config))
    monkeypatch.setenv("SLURM_CONF", str(tmp_path / "slurm.conf"))
    assert re.match(r"SLURM's controller does not answer \(Slurmctld\(primary\) at \S+ is DOWN\): ", told(TRAIN))


@pytest.mark.parametrize(
    ("need", "sentence"),
    [
        (
            Need("train", "gpuu"),
            "rule train goes to partition 'gpuu', which this cluster does not have; it has: normal, urgent, bare:"
            " correct slurm_partition in the profile",
        ),
        (
            Need("train", "bare", gres=("gpu",)),
            "rule train asks for gpu, which no node of partition bare has: choose another slurm_partition for it in the"
            " profile, or set its gpu to 0 there to compute on CPUs",
        ),
        (
            Need("train", "bare", minutes=4320),
            "rule train asks for up to 4320 minutes and partition bare allows 60, so its jobs would wait for ever:"
            " write `runtime: min(..., 60)` for it in the profile",
        ),
        (
            Need("prepare", "bare", memory_mb=8000),
            "rule prepare asks for up to 8000 MB and no fitting node of partition bare has more than 1000: write"
            " `mem_mb: min(..., 1000)` for it in the profile",
        ),
        (
            Need("train", constraint="a1000"),
            "SLURM would refuse the jobs of rule train with --constraint=a1000 (Invalid feature specification):"
            " correct this in the profile",
        ),
    ],
    ids=["partition", "gpu", "time", "memory", "constraint"],
)
def test_what_the_cluster_does_not_have(slurm, need, sentence):
    assert told(need) == sentence


def test_an_account_that_is_not_yours(slurm):
    ask("sacctmgr", "-i", "add", "account", "imaging")
    ask("sacctmgr", "-i", "add", "user", getpass.getuser(), "account=imaging")
    try:
        check([Need("train", account="imaging")], "squeue", 5)
        sentence = "rule train goes to account 'imagin', which is not yours; yours are: imaging"
        assert told(Need("train", account="imagin")).startswith(sentence)
    finally:
        ask("sacctmgr", "-i", "delete", "user", getpass.getuser(), "account=imaging")
        ask("sacctmgr", "-i", "delete", "account", "imaging")


def test_status_by_sacct_would_wait_for_ever_for_a_cancelled_job(slurm):
    assert told(TRAIN, status="sacct").endswith("with slurm-status-command sacct: set it to squeue in the profile")


@pytest.fixture
def forgetful(slurm):
    """A cluster that forgets finished jobs at once."""
    config = slurm.folder / "slurm.conf"
    before = config.read_text()
    config.write_text(re.sub(r"MinJobAge=\d+", "MinJobAge=30", before))
    ask("scontrol", "reconfigure")
    yield
    config.write_text(before)
    ask("scontrol", "reconfigure")


def test_a_cluster_that_forgets_finished_jobs_before_they_are_asked_for(forgetful):
    start = "SLURM forgets finished jobs after 30 seconds (MinJobAge), and their status is asked for up to 180 seconds"
    assert told(TRAIN).startswith(start)
    check([TRAIN], "sacct", 5)  # what the sentence offers where there is accounting


def test_a_call_ends_with_the_sentence_and_status_2(slurm, tmp_path):
    folder = build(tmp_path / "project")
    edit_profile(folder, {"train": {"slurm_partition": "gpuu"}})
    call = Call(folder, "data/raw/phantom_mri/manifest.json")
    assert call.wait() == 2
    assert "error: rule train goes to partition 'gpuu', which this cluster does not have" in call.said
    assert "Traceback" not in call.said
    assert not slurm.history(folder)
