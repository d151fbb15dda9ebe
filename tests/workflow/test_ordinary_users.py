"""Users who are not root: read-only files of DVC, two users of one group, users without a name."""

import shutil
import stat
from pathlib import Path

import pytest
from support import finished_project, project_folder
from support.ordinary_user import FIRST, GROUP, SECOND, call, open_folder, share

SPLIT, INDEX = "data/splits/phantom_mri/tiny.json", "data/prepared/phantom_mri/la_half/index.json"


@pytest.fixture
def project(tmp_path_factory):
    """A finished project of a group, whose files are read-only as DVC leaves them."""
    with open_folder() as place:
        folder = Path(shutil.copytree(finished_project.copy(tmp_path_factory), place / "project"))
        project_folder.new(folder, finished_project.params())
        share(folder)
        for name in ("data", "results"):
            for path in (folder / name).rglob("*"):
                if path.is_file():
                    path.chmod(0o444)
        yield folder


def snakemake(user: int, folder: Path, *arguments: str, umask: int = 0o002) -> str:
    done = call(user, folder, "snakemake", "--cores", "1", *arguments, umask=umask)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout + done.stderr


def test_two_users_of_a_group_make_again_what_is_read_only_and_what_the_other_made(project):
    for user, seed in ((SECOND, 2), (FIRST, 3)):
        content = finished_project.params()
        content["splits"]["phantom_mri"]["tiny"]["draw"]["seed"] = seed
        content["preparations"]["la_half"]["steps"].append({"step": "clip", "low": -seed, "high": 5})
        (project / "params.yaml").unlink()
        finished_project.write_params(project, content)
        said = snakemake(user, project, SPLIT, INDEX)
        assert "2 jobs: 1 prepare, 1 split" in said
        logs = [project / f"results/logs/{rule}/phantom_mri.{name}.log" for rule, name in LOGS]
        for path in (project / SPLIT, project / f"{SPLIT}.lineage.json", project / INDEX, *logs):
            facts = path.stat()
            assert (facts.st_uid, facts.st_gid, stat.S_IMODE(facts.st_mode)) == (user, GROUP, 0o664), path
    assert [path.name for path in project.rglob("data/**/.*")] == [".index.json.checked"]


LOGS = (("split", "tiny"), ("prepare", "la_half"))


@pytest.mark.parametrize(("umask", "mode"), [(0o077, 0o600), (0o022, 0o644), (0o002, 0o664)])
def test_files_are_made_with_the_users_umask(umask, mode):
    write = "from semiseg.base.files import write_text; write_text('new.txt', '')"
    with open_folder() as place:
        (place / "project").mkdir()
        share(place / "project")
        (place / "project/written.py").write_text(write)
        assert call(FIRST, place / "project", "written", umask=umask).returncode == 0
        assert stat.S_IMODE((place / "project/new.txt").stat().st_mode) == mode
