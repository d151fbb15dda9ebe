"""Snakemake killed while its jobs are in SLURM, and a node lost: no job is lost, none is done twice."""

from dataclasses import dataclass
from itertools import pairwise

import pytest
from support.slurm_controller import Job, ask
from support.slurm_projects import PREPARED, WEIGHTS, Call, build, edit_profile, local, stop_at_work, until

from semiseg.base.files import sha256

RUNS = ("first", "second")


@dataclass
class Story:
    """running, waiting: the run whose job was at work when Snakemake was killed, and the one still in the queue."""

    status: int
    said: str
    history: list[Job]
    running: str
    waiting: str

    def starts(self, name: str) -> list[Job]:
        return [job for job in self.history if f"_{name}_" in job.comment]


@pytest.fixture(scope="module")
def project(slurm, tmp_path_factory):
    """Two runs that each want all GPUs, so that one of them waits; "undisturbed" was trained on this machine."""
    folder = tmp_path_factory.mktemp("killed") / "project"
    build(folder, (*RUNS, "undisturbed"), iterations=60)
    local(folder, *PREPARED, WEIGHTS.format(protocol="undisturbed"))
    edit_profile(folder, {"train": {"gpu": 0, "gres": "gpu:4"}})
    return folder


@pytest.fixture(scope="module")
def story(project, slurm):
    """The node is lost for a moment under the first job; later Snakemake is killed, and called anew."""
    targets = [WEIGHTS.format(protocol=name) for name in RUNS]
    node = ask("sinfo", "-h", "-p", "normal", "-o", "%n").strip()
    call = Call(project, *targets)
    ((lost, trainer),) = stop_at_work(project, RUNS, 1).items()
    until(lambda: all(slurm.number(project, f"_{name}_") for name in RUNS))
    number = slurm.number(project, f"_{lost}_")
    ask("scontrol", "update", f"NodeName={node}", "State=down", "Reason=test")
    trainer.kill()  # SLURM without cgroups loses sight of it, and the node is not really lost
    until(lambda: slurm.state(number) == "PENDING" and not slurm.has_steps(number))
    slurm.start_now(number)
    numbers = {name: slurm.number(project, f"_{name}_") for name in RUNS}
    until(lambda: any(slurm.state(each) == "RUNNING" for each in numbers.values()))
    running, waiting = sorted(RUNS, key=lambda name: slurm.state(numbers[name]) != "RUNNING")
    process = stop_at_work(project, (running,), 1)[running]  # until the next call has seen the job
    call.process.kill()
    call.process.wait()
    again = Call(project, *targets)
    until(lambda: "so that nothing is done twice" in again.said)
    process.resume()
    status = again.wait()
    found = Story(status, again.said, slurm.history(project), running, waiting)
    print(*found.history, sep="\n")  # shown with pytest -s
    return found


@pytest.mark.parametrize("name", RUNS)
def test_the_next_call_ends_with_the_same_weights(story, project, name):
    assert story.status == 0, story.said[-3000:]
    assert sha256(project / WEIGHTS.format(protocol=name)) == sha256(project / WEIGHTS.format(protocol="undisturbed"))


def test_a_running_job_is_waited_for_and_not_submitted_again(story):
    number = story.starts(story.running)[0].number
    sentence = f"so that nothing is done twice: {number} train phantom_mri_{story.running}_tiny_sup_only_1 (`scancel"
    assert sentence in story.said
    assert len({job.number for job in story.starts(story.running)}) == 1
    assert story.starts(story.running)[-1].state == "COMPLETED"


def test_a_job_still_in_the_queue_is_taken_out_and_submitted_anew(story):
    number = story.starts(story.waiting)[0].number
    sentence = f"what an earlier call left: {number} train phantom_mri_{story.waiting}_tiny_sup_only_1"
    assert sentence in story.said
    *earlier, last = story.starts(story.waiting)
    assert any(job.state.startswith("CANCELLED") for job in earlier) and last.state == "COMPLETED"


def test_a_job_whose_node_was_lost_is_begun_again_by_slurm(story):
    assert any(job.state == "NODE_FAIL" for job in story.history)


def test_no_run_is_at_work_twice_at_a_time(story):
    for name in RUNS:
        starts = [job for job in story.starts(name) if job.start not in ("Unknown", "None")]
        for one, next_one in pairwise(starts):
            assert one.end <= next_one.start
