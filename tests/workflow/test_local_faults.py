"""What goes wrong on one machine: kills, a second call, half copies, clocks, folders that cannot be written."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from support import finished_project, kills, project_folder, warm
from support.kills import Killer
from support.needs import root, skip

from semiseg.base.errors import UserError
from semiseg.base.files import sha256
from semiseg.base.parallel import each

RUN = f"{finished_project.RUN}/cps/seed1"
WEIGHTS = f"{RUN}/weights.safetensors"
LONG = "results/runs/phantom_mri/la_small/tiny/cps/seed3/weights.safetensors"  # a seed that is not trained yet


@pytest.fixture
def project(tmp_path_factory):
    """A finished project with the real workflow."""
    return project_folder.new(finished_project.copy(tmp_path_factory), finished_project.params())


def snakemake(folder: Path, *arguments: str):
    """A call that comes to its end; all that it printed is in stdout."""
    done = warm.snakemake(folder, ["--cores", "1", *arguments])
    done.stdout += done.stderr
    return done


def job_of(folder: Path, path: str):
    """The process that makes a file, once it has the lock."""
    lock = folder / Path(path).with_name(f".{Path(path).name}.lock")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for job in kills.jobs(folder):
            if job.out == path and lock.exists():
                return job.process
        time.sleep(0.05)
    raise TimeoutError(path)


def with_steps(folder: Path, count: int) -> None:
    """Make trainings last so many steps, without validation."""
    content = finished_project.params()
    content["protocols"]["la_small"]["training"] |= {"iterations": count, "validation": None}
    finished_project.write_params(folder, content)


def has_nothing_to_do(folder: Path) -> bool:
    return "Nothing to be done" in snakemake(folder, "-n", finished_project.TABLE).stdout


def test_a_job_that_outlives_its_snakemake_is_waited_for_and_not_repeated(project):
    with_steps(project, 20)
    first = kills.start(project, LONG)
    orphan = job_of(project, LONG)
    orphan.suspend()  # until the next call has met it
    first.kill()
    first.wait()
    second = kills.start(project, LONG)
    log = project / "results/logs/train/phantom_mri.la_small.tiny.cps.seed3.log"
    deadline = time.monotonic() + 60
    while f"process {orphan.pid} on" not in (log.read_text() if log.exists() else "") and time.monotonic() < deadline:
        time.sleep(0.1)
    orphan.resume()
    assert second.wait() == 0
    said, told = (project / "snakemake.log").read_text(encoding="utf-8"), log.read_text(encoding="utf-8")
    assert (
        f"process {first.pid} on " in said and "worked in this folder and is gone: going on from what it left" in said
    )
    assert "LockException" not in said and "--unlock" not in said
    assert f"is being made by process {orphan.pid} on " in told and "was made meanwhile" in told
    assert "train cps:" not in told, "it trained once more"


def test_a_second_snakemake_in_the_folder_ends_with_a_sentence(project):
    with_steps(project, 20)
    first = kills.start(project, LONG)
    job_of(project, LONG).suspend()
    second = snakemake(project, LONG)
    assert second.returncode == 2 and "Traceback" not in second.stdout
    sentence = second.stdout.splitlines()[-1]
    assert f"another Snakemake works in this folder, process {first.pid} on " in sentence
    assert f"wait for it, or end it with `kill {first.pid}` on " in sentence and sentence.endswith("and call again")
    for looks in (("-n", finished_project.TABLE), ("--summary", finished_project.TABLE), ("--lint",)):
        assert snakemake(project, *looks).returncode == 0, looks
    job_of(project, LONG).resume()
    assert first.wait() == 0


def test_a_job_killed_for_memory_or_by_hand_is_tried_again_and_continues(project):
    with_steps(project, 30)
    killer = Killer(project, LONG, random.Random(1), "--set-resources", "train:checkpoint_seconds=0")
    phases = {"train": kills.Phase(most=1, pieces=5, longest=0.0)}
    assert len(list(killer.kills(["job"], phases))) == 1
    killer.finish()
    log = (project / "results/logs/train/phantom_mri.la_small.tiny.cps.seed3.log").read_text(encoding="utf-8")
    assert "is gone: taken over" in log and "continuing from step" in log


def test_finished_weights_are_not_trained_again_when_the_call_is_killed_before_it_knows(project):
    """The state stays until the next rule has begun."""
    with_steps(project, 8)
    often = ("--set-resources", "train:checkpoint_seconds=0")
    assert snakemake(project, LONG, *often).returncode == 0
    before = sha256(project / LONG)
    for path in (project / LONG).parent.iterdir():  # as Snakemake does with a job that has not ended for it
        path.unlink()
    assert snakemake(project, LONG, *often).returncode == 0
    log = (project / "results/logs/train/phantom_mri.la_small.tiny.cps.seed3.log").read_text(encoding="utf-8")
    assert "continuing from step 8" in log and sha256(project / LONG) == before
    state = project / "results/state/phantom_mri/la_small/tiny/cps/seed3/state.safetensors"
    assert state.exists()
    assert snakemake(project, str(Path(LONG).with_name("predictions.json"))).returncode == 0
    assert not state.exists(), "whoever predicts has whole weights"


def test_workers_end_with_the_process_that_started_them(tmp_path):
    script = tmp_path / "waits.py"
    script.write_text(
        "import os, time\nfrom pathlib import Path\nfrom semiseg.base.parallel import each\n"
        "def work(number):\n    Path(f'{number}.pid').write_text(str(os.getpid()))\n    time.sleep(60)\n"
        "if __name__ == '__main__':\n    each(work, [1, 2], 2, 'x')\n"
    )
    process = subprocess.Popen([sys.executable, script], cwd=tmp_path)
    while len(list(tmp_path.glob("*.pid"))) < 2:
        time.sleep(0.05)
    time.sleep(0.2)
    workers = [int(file.read_text()) for file in tmp_path.glob("*.pid")]
    process.kill()
    process.wait()
    deadline = time.monotonic() + 5
    while any(_lives(worker) for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(_lives(worker) for worker in workers)


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_a_worker_killed_for_memory_is_one_sentence():
    killed = [signal.SIGKILL, signal.SIGKILL]  # as the kernel does when memory runs out
    with pytest.raises(UserError, match=r"prepare x: a worker was killed, probably for memory: use fewer workers"):
        each(signal.raise_signal, killed, 2, "prepare x")


def test_a_half_copied_run_is_told(project):
    whole = (project / WEIGHTS).read_bytes()
    record = project / f"{WEIGHTS}.lineage.json"
    content = record.read_bytes()
    record.unlink()
    (project / RUN / "predictions.json").unlink()
    said = snakemake(project, f"{RUN}/predictions.json")
    assert said.returncode != 0
    assert f"{WEIGHTS} has no lineage record beside it, as after an incomplete copy: copy it again" in said.stdout
    record.write_bytes(content)
    assert snakemake(project, f"{RUN}/predictions.json").returncode == 0
    (project / WEIGHTS).write_bytes(whole[: len(whole) // 2])
    said = snakemake(project, finished_project.TABLE)
    assert said.returncode != 0
    assert f"{WEIGHTS} is damaged (" in said.stdout and "delete it and train the run again" in said.stdout
    (project / WEIGHTS).unlink()
    assert snakemake(project, WEIGHTS, finished_project.TABLE).returncode == 0
    assert (project / WEIGHTS).read_bytes() == whole and has_nothing_to_do(project)


def test_files_from_the_future_are_not_made_again_for_ever(project):
    """The clock was set back after they were made."""
    assert has_nothing_to_do(project)
    ahead = time.time() + 86400
    for path in [*(project / "data").rglob("*"), *(project / "results").rglob("*")]:
        os.utime(path, (ahead, ahead))
    assert has_nothing_to_do(project)
    content = yaml.safe_load((project / "params.yaml").read_text(encoding="utf-8"))
    content["protocols"]["la_small"]["scoring"] = "dhc"
    finished_project.write_params(project, content)
    assert snakemake(project, finished_project.TABLE).returncode == 0
    assert has_nothing_to_do(project), "what is newly made looks older than what it was made from"


def test_a_read_only_project_is_one_sentence(project):
    root("mounting a read-only folder")
    mounted = subprocess.run(["mount", "--bind", project, project], capture_output=True)
    if mounted.returncode != 0:
        skip("mounts", "mounting a folder anew is not allowed here")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", project], check=True)
        said = snakemake(project, finished_project.TABLE)
    finally:
        subprocess.run(["umount", project], check=True)
    assert said.returncode != 0 and "Traceback" not in said.stdout, said.stdout
    assert "cannot be written" in said.stdout
