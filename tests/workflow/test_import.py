"""Raw data that a user has imported: Snakemake has nothing to do for them, and the audit proves them."""

import shutil
from pathlib import Path

import pytest
from support import params_yaml, project_folder, snakemake_project
from support.raw_forms import AFFINE, block, ct, write_nrrd

from semiseg.base.volume import Volume
from semiseg.cli.main import main
from semiseg.data.images import write_nifti
from semiseg.paths import record_path

RAW, SPLIT = "data/raw/btcv/manifest.json", "data/splits/btcv/few.json"
HEARTS = "data/raw/la/manifest.json"


def write_copy(folder: Path, *numbers: int) -> None:
    for number in numbers:
        write_nifti(folder / f"img/img{number:04d}.nii.gz", Volume(ct(), AFFINE))
        write_nifti(folder / f"label/label{number:04d}.nii.gz", Volume(block((1, 2)), AFFINE))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a small drawn split of btcv, and a copy of its scans."""
    params = params_yaml.content()
    params["splits"]["btcv"]["few"] = {"draw": {"labelled": 1, "unlabelled": 1, "val": 1, "test": 1, "seed": 1}}
    write_copy(tmp_path / "copy", 1, 2, 3, 4)
    monkeypatch.chdir(project_folder.new(tmp_path, params))
    return tmp_path


def verdict(capfd: pytest.CaptureFixture[str], path: str) -> str:
    capfd.readouterr()
    main(["audit", path])
    return capfd.readouterr().out


def test_what_was_imported_is_proven_and_no_job_makes_it_again(
    project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["import", "btcv", "copy"]) == 0
    assert snakemake_project.planned(project, SPLIT) == {"split": 1}
    assert f"{RAW}: proven" in verdict(capfd, RAW)
    assert snakemake_project.snakemake(project, SPLIT).returncode == 0
    write_copy(project / "more", 5)
    assert main(["import", "btcv", "more"]) == 0
    assert f"{RAW}: proven" in verdict(capfd, RAW)
    assert snakemake_project.planned(project, SPLIT) == {"split": 1}, "it was drawn without the new case"


def test_an_import_before_there_are_parameters_is_proven_by_those_that_come_later(
    project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.move("params.yaml", "later.yaml")
    for name in ("lgemri", "laendo"):
        write_nrrd(project / f"hearts/{'A' * 20}/{name}.nrrd", block((255,)))
    assert main(["import", "la", "hearts"]) == 0
    shutil.move("later.yaml", "params.yaml")
    assert snakemake_project.planned(project, HEARTS) == {}
    assert f"{HEARTS}: proven" in verdict(capfd, HEARTS)


def test_what_an_older_import_left_without_a_record_is_proven_after_the_command_of_the_audit(
    project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["import", "btcv", "copy"]) == 0
    Path(record_path(RAW)).unlink()
    assert snakemake_project.snakemake(project, SPLIT).returncode == 0
    told = verdict(capfd, SPLIT)
    assert f"{SPLIT}: unproven" in told
    command = told.partition("make it again by `snakemake ")[2].partition("`")[0]
    assert snakemake_project.snakemake(project, *command.split()).returncode == 0
    assert snakemake_project.planned(project, SPLIT) == {}
    assert f"{SPLIT}: proven" in verdict(capfd, SPLIT)
