"""Copies of stored cases on the node's own disk: checked, shared, and never needed."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from semiseg.base.errors import UserError
from semiseg.base.files import sha256
from semiseg.data.geometry import Geometry
from semiseg.data.local_copies import UNUSED_SECONDS, with_copies
from semiseg.data.store import Copied, PreparedCase, read_image, write_case

SIDE = 30  # 108 kB a case: three fit on the small disk, four do not


def stored(folder: Path, count: int = 3) -> dict[Path, str]:
    """Cases as prepared, with their hashes."""
    geometry = Geometry((SIDE,) * 3, (1.0, 1.0, 1.0), np.eye(4), "xyz", (SIDE,) * 3, np.eye(4))
    cases = {}
    for number in range(count):
        image = np.random.default_rng(number).normal(size=(SIDE,) * 3).astype(np.float32)
        path = folder / "shared" / f"{number}.h5"
        cases[path] = write_case(path, PreparedCase(image, None, geometry))
    return cases


@pytest.fixture
def cases(tmp_path: Path) -> dict[Path, str]:
    return stored(tmp_path)


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    (tmp_path / "local").mkdir()
    return tmp_path / "local"


def copies_in(disk: Path) -> Path:
    return disk / f"semiseg-cases-{os.getuid()}"


def inodes(disk: Path) -> dict[str, int]:
    return {path.name: path.stat().st_ino for path in copies_in(disk).iterdir()}


def test_each_case_is_read_from_a_copy_of_its_bytes(
    cases: dict[Path, str], disk: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NODE_DISK", str(disk))
    caplog.set_level("INFO")
    files = with_copies(cases, "$NODE_DISK")
    assert caplog.messages == [f"3 cases are read from their copies in {copies_in(disk)}, 0.0 GiB"]
    for path, content in cases.items():
        assert files[path] == Copied(path, copies_in(disk) / f"{content}.h5")
        assert files[path].copy.read_bytes() == path.read_bytes()
    assert copies_in(disk).stat().st_mode & 0o077 == 0  # nobody else writes there


def test_copies_are_taken_again_and_damaged_ones_are_made_anew(cases: dict[Path, str], disk: Path) -> None:
    with_copies(cases, str(disk))
    before = inodes(disk)
    first, second, third = (copies_in(disk) / f"{content}.h5" for content in cases.values())
    os.utime(first, (0, time.time() - UNUSED_SECONDS / 2))
    changed = bytearray(second.read_bytes())
    changed[-1] ^= 1
    second.write_bytes(changed)
    os.truncate(third, 100)
    with_copies(cases, str(disk))
    assert inodes(disk)[first.name] == before[first.name] and time.time() - first.stat().st_mtime < 60
    assert {path: sha256(path) for path in (first, second, third)} == dict(
        zip((first, second, third), cases.values(), strict=True)
    )


def test_what_no_job_has_taken_for_a_week_and_what_was_killed_is_deleted(cases: dict[Path, str], disk: Path) -> None:
    with_copies(cases, str(disk))
    old, *used = (copies_in(disk) / f"{content}.h5" for content in cases.values())
    os.utime(old, (0, time.time() - UNUSED_SECONDS - 60))
    (copies_in(disk) / ".tmp-0123.h5").write_bytes(b"half")
    files = with_copies(dict(list(cases.items())[1:]), str(disk))
    assert sorted(inodes(disk)) == sorted(path.name for path in used)
    assert read_image(Copied(next(iter(cases)), old)).shape == (SIDE,) * 3  # another job, which still has it in mind
    assert len(files) == 2


JOB = """
import json, sys
from pathlib import Path
from semiseg.data.local_copies import with_copies
cases, disk = json.loads(sys.argv[1]), sys.argv[2]
with_copies({Path(path): content for path, content in cases.items()}, disk)
print(json.dumps({path.name: path.stat().st_ino for path in Path(disk).rglob("*.h5")}))
"""


def test_jobs_that_start_together_make_each_copy_once(cases: dict[Path, str], disk: Path) -> None:
    """The second one would give the file another inode."""
    words = [sys.executable, "-c", JOB, json.dumps({str(path): content for path, content in cases.items()}), str(disk)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    jobs = [subprocess.Popen(words, stdout=subprocess.PIPE, env=environment) for _ in range(2)]
    first, second = (json.loads(job.communicate()[0]) for job in jobs)
    assert len(first) == 3 and first == second


def test_a_disk_that_is_full_keeps_what_fits_and_the_rest_is_read_where_it_lies(
    tmp_path: Path, small_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cases = stored(tmp_path, 5)
    files = with_copies(cases, str(small_disk))
    made = [path for path, file in files.items() if isinstance(file, Copied)]
    assert 0 < len(made) < 5
    (line,) = caplog.messages
    assert line.startswith(f"warning: {len(made)} of 5 cases have copies in {copies_in(small_disk)}, the others are ")
    assert "with the same bits: no space left on the disk while writing" in line
    for path, file in files.items():
        np.testing.assert_array_equal(read_image(file), read_image(path))


def make_file(disk: Path) -> None:
    copies_in(disk).write_text("")


def make_link(disk: Path) -> None:
    copies_in(disk).symlink_to(disk)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda disk: disk.rmdir(), "this node has no folder {disk}, so correct local_disk in the profile"),
        (make_file, "File exists"),
        (make_link, "{copies} belongs to somebody else, so name another folder as local_disk"),
    ],
)
def test_a_disk_that_is_not_here_is_one_line(
    cases: dict[Path, str], disk: Path, caplog: pytest.LogCaptureFixture, spoil: object, sentence: str
) -> None:
    spoil(disk)
    assert with_copies(cases, str(disk)) == {path: path for path in cases}
    (line,) = caplog.messages
    assert line.startswith("warning: 0 of 3 cases have copies in ")
    assert sentence.format(disk=disk, copies=copies_in(disk)) in line


def test_a_variable_that_this_node_does_not_set_is_one_line(
    cases: dict[Path, str], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NODE_DISK", raising=False)
    assert with_copies(cases, "$NODE_DISK/me") == {path: path for path in cases}
    (line,) = caplog.messages
    assert "this node has no folder $NODE_DISK/me" in line


def test_a_folder_that_is_no_place_on_every_node_is_refused(cases: dict[Path, str]) -> None:
    with pytest.raises(UserError, match=r"^local_disk is scratch, expected an absolute path such as \$TMPDIR: correct"):
        with_copies(cases, "scratch")


def test_a_stored_case_that_is_damaged_is_found_before_it_is_copied(cases: dict[Path, str], disk: Path) -> None:
    path = list(cases)[1]
    changed = bytearray(path.read_bytes())
    changed[-1] ^= 1
    path.write_bytes(changed)
    with pytest.raises(
        UserError, match=rf"^{path} is damaged: its sha256 is .*: delete it, and the next call makes it"
    ):
        with_copies(cases, str(disk))
    assert [name for name in inodes(disk) if not name.startswith(".")] == [f"{cases[next(iter(cases))]}.h5"]
