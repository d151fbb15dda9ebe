"""What can go wrong when results are shared: one clear sentence, and nothing is lost."""

import subprocess
from pathlib import Path

import pytest
from support.dvc_projects import call, done, new

VOLUME = "data/raw/phantom_mri/imagesTr/scan.nii.gz"


@pytest.fixture
def project(tmp_path):
    """A project whose raw data are there, a megabyte of them; no table is built."""
    folder = new(tmp_path / "project")
    (folder / VOLUME).parent.mkdir(parents=True)
    (folder / VOLUME).write_bytes(bytes(range(256)) * 4000)
    (folder / "data/raw/phantom_mri/manifest.json").write_text("{}\n")
    return folder


def refused(folder: Path, *command: str) -> str:
    """The one sentence of a refused call."""
    result = call(folder, *command)
    assert result.returncode != 0 and "Traceback" not in result.stderr
    return next(line for line in reversed(result.stderr.splitlines()) if line.lower().startswith("error"))


def test_a_table_that_is_not_built_cannot_be_kept(project):
    sentence = refused(project, "semiseg", "keep", "tiny")
    assert sentence.startswith(
        "error: results/runs/phantom_mri is not there, so table tiny is not built: call `dvc repro"
    )
    assert refused(project, "semiseg", "keep", "tinny").startswith("error: unknown table 'tinny'; ")
    assert refused(project, "semiseg", "keep-raw", "la").startswith("error: data/raw/la/manifest.json is not there")


def test_a_folder_that_is_not_under_dvc(project):
    (project / ".dvc").rename(project / "elsewhere")
    assert refused(project, "semiseg", "keep-raw", "phantom_mri").startswith("error: this folder is not under DVC")


def test_no_remote_is_told_by_dvc(project):
    done(project, "semiseg", "keep-raw", "phantom_mri")
    assert "no remote specified" in refused(project, "dvc", "push")


def test_no_space_in_the_cache(project, small_disk):
    done(project, "dvc", "cache", "dir", "--local", str(small_disk))
    sentence = refused(project, "semiseg", "keep-raw", "phantom_mri")
    assert sentence.startswith("error: not all files reached DVC's cache")
    assert (project / VOLUME).stat().st_size == 256 * 4000
    assert not (project / "data/raw/phantom_mri.dvc").exists()


def test_a_read_only_project(project, small_disk):
    subprocess.run(["mount", "--bind", project, small_disk], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", small_disk], check=True)
        sentence = refused(small_disk, "semiseg", "keep-raw", "phantom_mri")
        assert "Read-only file system" in sentence and "check the folder's permissions" in sentence
    finally:
        subprocess.run(["umount", small_disk], check=True)


def test_the_hash_of_raw_data_is_one_that_sha256sum_checks(project):
    done(project, "semiseg", "keep-raw", "phantom_mri")
    assert "OK" in done(project, "sha256sum", "--check", "data/raw/phantom_mri.sha256")
