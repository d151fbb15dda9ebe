"""Files and folders that belong to another user, who keeps them closed: one sentence, and nothing is done."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support import finished_project, ordinary_user
from support.needs import root

TABLE, RUN = finished_project.TABLE, f"{finished_project.RUN}/cps/seed1"
CELL = ("--row", "cps", "--column", "LA")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The finished project in a folder that all users reach."""
    root("giving files to other users")
    with ordinary_user.open_folder() as place:
        yield finished_project.copy(tmp_path_factory).rename(place / "project")


@pytest.mark.parametrize(
    ("closed", "call"),
    [
        ("src", ("audit", TABLE)),
        ("results/runs", ("audit", TABLE)),
        (f"{RUN}/weights.safetensors.lineage.json", ("audit", TABLE)),
        (f"{RUN}/predictions.json", ("audit", TABLE)),
        (f"{RUN}/weights.safetensors", ("audit", TABLE)),
        (f"{RUN}/cases.csv", ("lineage", TABLE, *CELL)),
        ("results", ("lineage", TABLE)),
        (f"{RUN}/weights.safetensors", ("clean", "tiny")),
        (f"{RUN}/predictions.json", ("clean", "tiny")),
        ("data/prepared", ("clean", "tiny")),
    ],
)
def test_a_file_closed_by_another_user_is_one_sentence(folder: Path, closed: str, call: tuple[str, ...]) -> None:
    (folder / "src/semiseg").mkdir(parents=True, exist_ok=True)
    ordinary_user.share(folder)
    if closed != "src":
        (folder / "src/semiseg").rmdir()
    path = folder / closed
    before = sorted(folder.rglob("*"))
    path.chmod(0o700 if path.is_dir() else 0o600)  # as by an owner with the umask 077
    done = ordinary_user.call(ordinary_user.SECOND, folder, "semiseg", *call)
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    (sentence,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert closed in sentence and "(Permission denied)" in sentence and ("chmod" in sentence or "readable" in sentence)
    assert done.stdout == ""
    assert set(before) <= set(folder.rglob("*")), "nothing was deleted"
