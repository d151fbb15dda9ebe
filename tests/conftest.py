"""What the whole test suite shares: the order of its files, a small disk, and the line on what was skipped."""

import gc
import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.needs import root, skip
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from semiseg.base.progress import set_up_logging
from semiseg.base.surroundings import complete

# Tests that start many processes, or train or draw much. `make quick` leaves them out.
SLOW = (
    "slurm/",
    "workflow/",
    "engine/",
    "methods/test_methods.py",
    "steps/",
    "proof/test_crate.py",
    "proof/test_tampering.py",
    "report/test_site_browser.py",
    "stages/test_raw_to_score.py",
    "stages/test_train.py",
    "datasets/",
    "data/test_bad_input.py",
)
# The longest files begin first, so that no core waits for the last one.
FIRST = (
    "slurm/",
    "workflow/test_resume.py",
    "workflow/test_local_faults.py",
    "engine/test_dvc.py",
    "engine/test_dvc_merge.py",
    "engine/",
    "workflow/",
    "proof/",
    "methods/",
    "stages/",
)
# A skip of another group makes a run fail where the environment variable CI is set.
EXPECTED_SKIPS = ("real data", "AMX", "browser", "axe")
TESTS = Path(__file__).parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--golden-dir", help="folder of golden cases to run in place of tests/golden/cases")
    parser.addoption("--steps-dir", help="folder of step cases to run, runs of several steps too")


def pytest_configure() -> None:
    """One thread in each process, because tests run side by side and idle threads of torch keep the cores busy.

    Workers of a parallel run and all programs that tests start have the environment that is set here. Libraries that
    tests alone use expect a user with a name. Nothing that is imported or collected is garbage.
    """
    gc.disable()
    os.environ["OMP_NUM_THREADS"] = "1"
    complete()
    set_up_logging()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the slow tests, and begin with the longest files."""
    for item in items:
        if item.path.relative_to(TESTS).as_posix().startswith(SLOW):
            item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: _place(item.path.relative_to(TESTS).as_posix()))


def pytest_collection_finish() -> None:
    """Search for garbage from here on, and never again among what was imported and collected, which is much."""
    gc.freeze()
    gc.enable()


class FileScheduling(LoadScopeScheduling):
    """Each file on one worker, and all files of ``slurm`` on the same one, because a machine holds one cluster."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "slurm" if "tests/slurm/" in file else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> FileScheduling:
    """The scheduler of all parallel runs."""
    return FileScheduling(config, log)


def _place(path: str) -> int:
    return next((place for place, start in enumerate(FIRST) if path.startswith(start)), len(FIRST))


def skipped_groups(reporter: pytest.TerminalReporter) -> Counter[tuple[str, str]]:
    """Number of skipped tests by group and reason; a reason reads ``group: why`` (``support.needs.skip``)."""
    reasons = (report.longrepr[2].removeprefix("Skipped: ") for report in reporter.stats.get("skipped", ()))
    parts = (reason.partition(": ") for reason in reasons)
    return Counter((group if why else "unnamed", why or group) for group, _, why in parts)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print one line that names every group of skipped tests, and why."""
    found = skipped_groups(terminalreporter)
    groups = sorted({group for group, _ in found})
    parts = [
        f"{sum(count for (name, _), count in found.items() if name == group)} of {group}"
        f" ({'; '.join(sorted({why for name, why in found if name == group}))})"
        for group in groups
    ]
    if parts:
        terminalreporter.write_line(f"skipped: {', '.join(parts)}")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail where CI skips what it should run."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or hasattr(session.config, "workerinput") or not os.environ.get("CI"):
        return
    unexpected = sorted({group for group, _ in skipped_groups(reporter)} - set(EXPECTED_SKIPS))
    if unexpected:
        reporter.write_line(f"CI must not skip: {', '.join(unexpected)}")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture
def project(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the finished project, which is the working folder. Files of tests may have another of this name."""
    from support import finished_project  # here: most tests need none, and it imports much

    folder = finished_project.copy(tmp_path_factory)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 400 kB, to fill up or to make read-only."""
    root("mounting a small disk")
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", folder], capture_output=True)
    if mounted.returncode != 0:
        skip("mounts", "mounting a tmpfs is not allowed here")
    yield folder
    subprocess.run(["umount", folder], check=True)
