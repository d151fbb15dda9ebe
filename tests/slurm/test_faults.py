"""What clusters do to jobs, all in one call: each run ends with the weights of an undisturbed one."""

import time
from dataclasses import dataclass

import pytest
from support.slurm_controller import Controller, Job, ask
from support.slurm_projects import (
    LOG,
    PREPARED,
    WEIGHTS,
    Call,
    build,
    edit_profile,
    local,
    stop_at_work,
    until,
)

from semiseg.base.files import sha256

STEPS = 40
STALLED = ("cancelled", "requeued", "preempted", "late")
DISTURBED = (*STALLED, "hungry")


@dataclass
class Storm:
    """What came of the call: its exit status, what it said, and each start of its jobs as SLURM recorded it."""

    status: int
    said: str
    history: list[Job]

    def starts(self, name: str) -> list[Job]:
        return [job for job in self.history if f"rule_train_wildcards_phantom_mri_{name}_" in job.comment]


@pytest.fixture(scope="module")
def project(slurm, tmp_path_factory):
    """Prepared data, and protocols named after what will happen to them; "undisturbed" was trained on this machine."""
    folder = tmp_path_factory.mktemp("faults") / "project"
    build(folder, (*DISTURBED, "undisturbed"), STEPS)
    local(folder, *PREPARED, WEIGHTS.format(protocol="undisturbed"))
    resources = {
        "gpu": 0,
        "gres": "'gpu:1' if wildcards.protocol == 'preempted' else ''",
        "checkpoint_seconds": "0 if wildcards.protocol == 'preempted' else 120",
        "runtime": "10 if attempt == 1 and wildcards.protocol == 'late' else 60",
        "mem_mb": "300 if attempt == 1 and wildcards.protocol == 'hungry' else min(1500 * attempt, 3000)",
    }
    edit_profile(folder, {"train": resources}, retries=1)
    return folder


@pytest.fixture(scope="module")
def storm(project, slurm):
    """One call during which the controller dies for a while, and each run meets its fault.

    A run is stopped at its first step, so that its fault finds it at work; SLURM wakes it to tell that it must end, but
    for a pre-empted one, which it kills at once: that one saves its state after every step.
    """
    call = Call(project, *(WEIGHTS.format(protocol=name) for name in DISTURBED))
    stop_at_work(project, STALLED, len(STALLED))
    until(lambda: "Trying to restart job" in call.said)  # the hungry one, with more memory
    (hungry,) = stop_at_work(project, ("hungry",), 1).values()
    numbers = {name: slurm.number(project, f"_{name}_") for name in STALLED}
    _lose_controller(slurm)
    hungry.resume()
    ask("scontrol", "update", f"JobId={numbers['late']}", "TimeLimit=1")  # not before: it would end at any moment
    ask("scancel", numbers["cancelled"])
    ask("scontrol", "requeue", numbers["requeued"])
    ask("sbatch", "-Q", "-p", "urgent", "--gpus=4", "-o", "/dev/null", "--wrap", "sleep 1")
    for name in ("requeued", "preempted"):
        until(lambda name=name: slurm.state(numbers[name]) == "PENDING")
        slurm.start_now(numbers[name])
    status = call.wait()
    found = Storm(status, call.said, slurm.history(project))
    print(*found.history, sep="\n")  # shown with pytest -s
    return found


def _lose_controller(slurm: Controller) -> None:
    """Kill it while all trainings are stopped, so that no job starts or ends.

    What it has not saved yet, as it does every five seconds, is lost with it. A start would be repeated and the node
    drained ("Duplicate jobid"), an ended job would run for ever, and no user could mend that.
    """
    slurm.start_jobs(False)
    time.sleep(8)
    slurm.kill()
    time.sleep(8)
    slurm.restart()
    until(slurm.answers)
    slurm.start_jobs(True)


@pytest.mark.parametrize("name", DISTURBED)
def test_a_disturbed_run_ends_with_the_same_weights(storm, project, name):
    assert storm.status == 0, storm.said[-3000:]
    assert sha256(project / WEIGHTS.format(protocol=name)) == sha256(project / WEIGHTS.format(protocol="undisturbed"))


@pytest.mark.parametrize("name", STALLED)
def test_a_disturbed_run_continues_where_it_was_told_to_end(storm, project, name):
    """SLURM lets a job go on for some seconds before it kills it; on a quick machine they are enough for all steps."""
    log = (project / LOG.format(protocol=name)).read_text(encoding="utf-8")
    assert "continuing from step " in log or "weights.safetensors stays, since" in log


def test_a_cancelled_job_is_seen_and_submitted_again(storm):
    first, second = storm.starts("cancelled")
    assert first.state.startswith("CANCELLED") and second.state == "COMPLETED"
    assert first.number != second.number


def test_after_a_time_limit_the_next_try_may_take_longer(storm):
    first, second = storm.starts("late")
    assert (first.state, first.limit) == ("TIMEOUT", "00:01:00")
    assert (second.state, second.limit) == ("COMPLETED", "01:00:00")


def test_after_too_little_memory_the_next_try_asks_for_more(storm):
    first, second = storm.starts("hungry")
    assert first.state in ("FAILED", "OUT_OF_MEMORY") and "mem=300M" in first.resources
    assert second.state == "COMPLETED" and "mem=3000M" in second.resources


@pytest.mark.parametrize(("name", "state"), [("requeued", "REQUEUED"), ("preempted", "PREEMPTED")])
def test_a_requeued_job_keeps_its_number_and_is_not_submitted_twice(storm, name, state):
    starts = storm.starts(name)
    assert [job.state for job in starts] == [state, "COMPLETED"]
    assert len({job.number for job in starts}) == 1


def test_logs_of_jobs_that_failed_are_kept(storm, project):
    kept = {path.parent.name for path in (project / "results/logs/slurm/rule_train").glob("*/*.log")}
    assert any("cancelled" in name for name in kept)
