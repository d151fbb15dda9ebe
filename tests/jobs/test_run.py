"""What a job's record holds of source, parameters and environment, and when it exists."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest

from semiseg.base.errors import UserError
from semiseg.base.files import write_text
from semiseg.jobs import run as jobs
from semiseg.jobs.code_hash import code_of
from semiseg.jobs.environment import params_hash
from semiseg.jobs.record import read_record
from semiseg.paths import record_path

SPEC = {"table": "tiny", "method": "cps"}
OUT = Path("row.csv")


def do(work: Callable[[], None]) -> None:
    """A job of the rule ``row`` in the working folder."""
    jobs.run(jobs.Call("row", SPEC, [], [OUT]), lambda: work() or {})


def write() -> None:
    OUT.write_text("1\n", encoding="utf-8")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text("a: 1\n", encoding="utf-8")
    return tmp_path


def test_code_and_parameters_are_those_that_stood_when_the_work_began(monkeypatch: pytest.MonkeyPatch) -> None:
    first = params_hash()

    def edit_meanwhile() -> None:
        write()
        Path("params.yaml").write_text("a: 2\n", encoding="utf-8")
        monkeypatch.setattr(jobs, "module_hashes", lambda *modules: dict.fromkeys(modules, "edited"))

    do(edit_meanwhile)
    record = read_record(record_path(OUT))
    assert record["source"]["params"] == first != params_hash()
    assert record["code"]["modules"]
    assert "edited" not in record["code"]["modules"].values()


def test_jobs_in_two_folders_of_one_process_record_their_own_parameters(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    do(write)
    (folder / "other").mkdir()
    monkeypatch.chdir(folder / "other")
    Path("params.yaml").write_text("a: 2\n", encoding="utf-8")
    Path("constraints.txt").write_text("numpy==2.0\n", encoding="utf-8")
    do(write)
    here, there = read_record(record_path(OUT)), read_record(folder / record_path(OUT))
    assert here["source"]["params"] == params_hash()
    assert here["source"]["params"] != there["source"]["params"]
    assert here["environment"]["constraints"] is not None
    assert there["environment"]["constraints"] is None


def fail() -> None:
    raise RuntimeError


def test_files_of_an_earlier_job_stay_with_their_record_until_new_ones_replace_them() -> None:
    do(write)
    before = Path(record_path(OUT)).read_bytes()
    with pytest.raises(RuntimeError):
        do(fail)
    assert OUT.read_text(encoding="utf-8") == "1\n"
    assert Path(record_path(OUT)).read_bytes() == before

    def replace_and_fail() -> None:
        write_text(OUT, "2\n")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        do(replace_and_fail)
    assert not OUT.exists() and not Path(record_path(OUT)).exists(), "half of a job passes for nothing"


def test_a_job_refuses_code_that_is_not_the_planned_one() -> None:
    for planned in (None, code_of("row", SPEC)):
        jobs.run(jobs.Call("row", SPEC, [], [OUT], planned), lambda: write() or {})
    before = Path(record_path(OUT)).read_bytes()
    with pytest.raises(
        UserError, match=r"^row.csv was planned with other code than .*semiseg holds now.*call Snakemake"
    ):
        jobs.run(jobs.Call("row", SPEC, [], [OUT], "0" * 64), fail)
    assert Path(record_path(OUT)).read_bytes() == before


@pytest.mark.parametrize("brings", [False, True])
def test_a_job_that_waited_is_done_only_if_it_brings_what_the_other_had_not(
    brings: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other process ends with the same outputs while this one waits for its lock."""
    done = []

    @contextmanager
    def held(path: Path, what: str) -> Iterator[bool]:
        do_other()
        yield True

    def do_other() -> None:
        with monkeypatch.context() as other:
            other.setattr(jobs, "held", lambda path, what: nullcontext(False))
            do(write)

    monkeypatch.setattr(jobs, "held", held)
    jobs.run(jobs.Call("row", SPEC, [], [OUT], brings=brings), lambda: done.append(1))
    assert len(done) == brings


@pytest.mark.parametrize(
    ("redone", "times"), [(None, 2), ("all", 2), ("row", 2), ("train row", 2), ("", 1), ("train", 1)]
)
def test_in_a_workflow_a_job_whose_outputs_are_made_is_done_only_where_it_is_forced(
    redone: str | None, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if redone is not None:
        monkeypatch.setenv(jobs.REDONE, redone)
    done = []
    for _ in range(2):
        do(lambda: write() or done.append(1))
    assert len(done) == times
    OUT.write_text("2\n", encoding="utf-8")  # by another hand
    do(lambda: write() or done.append(1))
    assert len(done) == times + 1 and OUT.read_text(encoding="utf-8") == "1\n"
