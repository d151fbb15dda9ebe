"""Manifests: the files that they list, and the way back from a file to its manifest."""

from pathlib import Path

import pytest
from support import finished_project

from semiseg.base.errors import UserError
from semiseg.base.files import write_json
from semiseg.jobs.manifest import listed_files, manifest_of

RUN = f"{finished_project.RUN}/cps/seed1"
RAW = "data/raw/phantom_mri/manifest.json"
INDEX = "data/prepared/phantom_mri/la_half/index.json"


def test_manifests_list_their_files_with_hashes(project):
    assert len(listed_files(Path(RAW))) == 12
    assert set(listed_files(Path(INDEX))) == set(Path(INDEX).parent.glob("*.h5"))
    volumes = listed_files(Path(f"{RUN}/predictions.json"))
    assert set(volumes) == set(Path(f"{RUN}/predictions").glob("*.nii.gz"))
    assert listed_files(Path(finished_project.TABLE)) == {}


def test_archives_and_standins_are_manifests_too(tmp_path):
    write_json(tmp_path / "archives.json", {"dataset": "x", "files": {"a.zip": {"bytes": 1, "sha256": "ab"}}})
    write_json(tmp_path / "standin.json", {"dataset": "x", "files": {"served/a.zip": "cd"}})
    assert listed_files(tmp_path / "archives.json") == {tmp_path / "a.zip": "ab"}
    assert listed_files(tmp_path / "standin.json") == {tmp_path / "served/a.zip": "cd"}


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", "a\\..\\x"])
def test_a_manifest_that_names_a_file_outside_its_folder_is_refused(tmp_path, name):
    write_json(tmp_path / "standin.json", {"files": {name: "ab"}})
    with pytest.raises(UserError, match="names a file outside its folder"):
        listed_files(tmp_path / "standin.json")


@pytest.mark.parametrize("content", [[], {}, {"files": []}, {"files": {"a": 1}}, {"files": None}])
def test_a_manifest_of_another_form_is_refused(tmp_path, content):
    write_json(tmp_path / "manifest.json", content)
    with pytest.raises(UserError, match="is not a list of files"):
        listed_files(tmp_path / "manifest.json")


def test_a_listed_file_leads_to_its_manifest(project):
    volume = next(Path(f"{RUN}/predictions").glob("*.nii.gz"))
    assert manifest_of(volume) == Path(f"{RUN}/predictions.json")
    assert manifest_of(Path("data/raw/phantom_mri/labelsTr/phantom_mri_0001.nii.gz")) == Path(RAW)
    assert manifest_of(Path("params.yaml")) is None
