"""Lines of a job reach the terminal and its log file, from its worker processes too."""

import logging

import pytest

from semiseg.base.errors import UserError
from semiseg.base.parallel import each
from semiseg.base.progress import Progress, log_file, set_up_logging


@pytest.fixture
def log(tmp_path):
    """The log file of this process while a test runs."""
    path = tmp_path / "logs" / "job.log"
    set_up_logging(path)
    yield path
    set_up_logging()


def test_a_line_is_printed_and_appended_to_the_log(log, capfd):
    log.write_text("of an earlier try\n")
    logging.getLogger("semiseg.jobs.run").info("a.csv was made meanwhile, 100 %")
    assert capfd.readouterr().err == "a.csv was made meanwhile, 100 %\n"
    assert log.read_text() == "of an earlier try\na.csv was made meanwhile, 100 %\n"


def test_a_process_has_one_log_at_a_time(log, tmp_path, capfd):
    set_up_logging(tmp_path / "other.log")
    logging.getLogger("semiseg").info("once")
    assert (log.read_text(), (tmp_path / "other.log").read_text()) == ("", "once\n")
    assert capfd.readouterr().err == "once\n"
    set_up_logging()
    assert log_file() is None


def test_lines_of_worker_processes_are_in_the_log(log, capfd):
    lines = {"warning: case a", "warning: case b", "warning: case c"}
    each(logging.getLogger("semiseg.data.raw_case").warning, sorted(lines), 2, "prepare x")
    assert lines <= set(log.read_text().splitlines())
    assert lines <= set(capfd.readouterr().err.splitlines())


def test_progress_with_a_log_is_lines_with_an_eta(log):
    with Progress("train cps", 4, "step") as bar:
        bar.step(2, loss=0.5)
        bar.step(2, loss=0.25)
    first, last = log.read_text().splitlines()
    assert first.startswith("train cps: 2/4 step (50 %), ETA 0:") and first.endswith(" step/s loss 0.5")
    assert last.startswith("train cps: 4/4 step (100 %), ETA 0:00 ") and last.endswith(" step/s loss 0.25")


def test_a_log_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write the log .*job\.log \(.*\): check the folder's permissions"):
        set_up_logging(tmp_path / "file" / "job.log")


def test_a_full_disk_does_not_end_a_job_for_a_line(small_disk, capfd):
    set_up_logging(small_disk / "job.log")
    with pytest.raises(OSError):
        (small_disk / "filler").write_bytes(bytes(500_000))
    logging.getLogger("semiseg").info("still at work")
    set_up_logging()
    assert capfd.readouterr().err == "still at work\n"
