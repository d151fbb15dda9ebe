"""A clone has the bytes that were committed, whatever git is set to do with line ends."""

import shutil
import subprocess

import pytest
from support import ROOT
from support.dvc_projects import commit, done

FILES = (
    "params.yaml",
    "results/demo.csv",
    "results/demo.csv.lineage.json",
    "src/semiseg/paths.py",
    "results/runs/x.dvc",
)


@pytest.fixture
def project(tmp_path):
    for name in FILES:
        (tmp_path / "project" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "project" / name).write_bytes(b"one\ntwo\n")
    (tmp_path / "project/results/foreign.csv").write_bytes(b"made on\r\nWindows\r\n")
    shutil.copy(ROOT / ".gitattributes", tmp_path / "project")
    done(tmp_path / "project", "git", "init", "--quiet")
    commit(tmp_path / "project", "start")
    return tmp_path / "project"


@pytest.mark.parametrize("setting", ["core.autocrlf=true", "core.autocrlf=input", "core.eol=crlf"])
def test_line_ends_are_those_that_were_committed(project, tmp_path, setting):
    subprocess.run(["git", "clone", "--quiet", "-c", setting, project, tmp_path / "clone"], check=True)
    for name in (*FILES, "results/foreign.csv"):
        assert (tmp_path / "clone" / name).read_bytes() == (project / name).read_bytes(), name
    assert done(tmp_path / "clone", "git", "status", "--porcelain") == ""
