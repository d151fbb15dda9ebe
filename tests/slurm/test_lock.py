"""Whether the SLURM job that holds a lock still runs: a real controller, queried from another machine."""

from dataclasses import replace

import pytest
from support.slurm_controller import ask
from support.slurm_projects import until

from semiseg.jobs.lock_owner import State, state_of, this_process


@pytest.fixture
def number(slurm):
    """A job at work."""
    number = ask("sbatch", "--parsable", "-o", "/dev/null", "--wrap", "sleep 600").strip()
    until(lambda: slurm.state(number) == "RUNNING")
    yield number
    ask("scancel", "-Q", number)


def seen(number: str) -> State:
    elsewhere = replace(this_process(), host="node7", job=number)
    return state_of(elsewhere, replace(this_process(), job=None))


def test_a_job_at_work_holds_its_lock(number):
    assert seen(number) is State.RUNNING


def test_a_job_that_waits_for_its_next_start_does_not(number, slurm):
    ask("scontrol", "requeue", number)
    until(lambda: slurm.state(number) == "PENDING")
    assert seen(number) is State.GONE


def test_a_cancelled_job_does_not(number, slurm):
    ask("scancel", number)
    until(lambda: slurm.state(number) == "CANCELLED")
    assert seen(number) is State.GONE
