"""Chains of records."""

from pathlib import Path

import pytest
from support import finished_project
from support.records import resealed

from semiseg.base.errors import UserError
from semiseg.base.files import canonical, read_json, write_json
from semiseg.jobs.record import OUTSIDE, identity, made_by, read_record, seal, write_record
from semiseg.proof.provenance import Records, recorded_chain

RUN = f"{finished_project.RUN}/cps/seed1"
RAW = "data/raw/phantom_mri/manifest.json"


def mains(target):
    return [link.main for link in recorded_chain(target)]


def test_a_chain_names_every_job_after_those_it_was_made_from(project):
    found = mains(finished_project.TABLE)
    assert len(found) == len(set(found)) == 3 + 3 * 4 + 2 + 1
    assert found[0] == RAW and found[-1] == finished_project.TABLE
    for link in recorded_chain(finished_project.TABLE):
        before = found[: found.index(link.main)]
        made = {entry.path for main in before for entry in recorded_chain(main)[-1].outputs}
        assert {entry.path for entry in link.inputs} <= made


def test_every_output_leads_to_the_job_that_made_it(project):
    assert mains("results/tiny.md") == mains(Path("results/tiny.csv"))
    assert mains(f"{RUN}/history.csv")[-1] == f"{RUN}/weights.safetensors"


def test_a_missing_record_is_a_link_that_tells_so(project):
    Path(f"{RUN}/weights.safetensors.lineage.json").unlink()
    links = {link.main: link for link in recorded_chain(finished_project.TABLE)}
    lost = links[f"{RUN}/weights.safetensors"]
    assert lost.record is None and lost.inputs == lost.outputs == []
    assert lost.fault == f"{RUN}/weights.safetensors has no lineage record"


def test_behind_a_missing_record_the_chain_goes_on_as_the_parameters_want_it(project):
    Path(f"{finished_project.TABLE}.lineage.json").unlink()
    assert mains(finished_project.TABLE) == [finished_project.TABLE]
    whole = recorded_chain(finished_project.TABLE, maker=finished_project.graph().maker)
    assert whole[0].main == RAW and len(whole) == 18


def test_a_record_is_not_taken_for_that_of_another_file(project):
    Path(f"{RUN}/cases.csv.lineage.json").write_bytes(Path(f"{RUN}/predictions.json.lineage.json").read_bytes())
    assert "is the record of another file" in recorded_chain(f"{RUN}/cases.csv")[-1].fault


def test_a_record_that_names_its_own_output_as_input_ends_the_chain(project):
    path = f"{RAW}.lineage.json"
    resealed(path, inputs=read_json(path)["outputs"])
    assert mains(RAW) == [RAW]


def test_records_that_lead_too_deep_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_json("0.json", {})
    record = write_record("raw", {}, {}, [], [Path("0.json")], {})
    for number in range(1200):
        names = (f"{number}.json", f"{number + 1}.json")
        output, source = ({**record["outputs"][0], "path": name} for name in names)
        content = {**record, "outputs": [output], "inputs": [source]}
        content["id"] = identity(content)
        Path(f"{number}.json.lineage.json").write_text(canonical({**content, "seal": seal(content)}))
    with pytest.raises(UserError, match=r"the records behind 0\.json lead through too many jobs"):
        recorded_chain("0.json")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"outputs": []}, "is not a lineage record"),
        ({"rule": None}, "is not a lineage record"),
        ({"code": {"hash": 1, "modules": {}}}, "is not a lineage record"),
        ({"inputs": [{"path": "../secret", "sha256": "", "bytes": 0}]}, "is not a lineage record"),
        ({"inputs": [{"path": "/etc/passwd", "sha256": "", "bytes": 0}]}, "is not a lineage record"),
        ({"inputs": [{"path": "a", "sha256": "", "bytes": 0, "more": 1}]}, "is not a lineage record"),
        ({"inputs": [{"path": "./a", "sha256": "", "bytes": 0}]}, "is not a lineage record"),
        ({"inputs": [{"path": "a", "sha256": "", "bytes": "0"}]}, "is not a lineage record"),
        ({"inputs": [{"path": "a", "sha256": "", "bytes": 0}] * 2}, "is not a lineage record"),
        ({"source": None}, "is not a lineage record"),
        ({"environment": []}, "is not a lineage record"),
        ({"seed": 99}, "is not a lineage record"),
    ],
)
def test_a_record_without_its_parts_is_refused(project, changes, sentence):
    path = f"{RAW}.lineage.json"
    resealed(path, **changes)
    with pytest.raises(UserError, match=sentence):
        read_record(path)


def test_the_id_of_a_record_is_made_of_what_decides_the_result(project, tmp_path):
    path = f"{RUN}/weights.safetensors.lineage.json"
    first = read_json(path)
    resealed(path, time={"start": "1970-01-01T00:00:00Z", "end": "1970-01-01T00:00:00Z"}, environment={}, source={})
    assert read_record(path)["id"] == first["id"]
    resealed(path, outputs=[{**entry, "sha256": "0" * 64} for entry in first["outputs"] if "cost" in entry["path"]])
    assert read_record(path)["id"] != first["id"], "the weights are part of it"
    resealed(path, outputs=[{**e, "sha256": "0" * 64} if "cost" in e["path"] else e for e in first["outputs"]])
    assert read_record(path)["id"] == first["id"], "the seconds that it took are not"
    resealed(path, outputs=first["outputs"], params={**first["params"], "seed": 7}, seed=7)
    assert read_record(path)["id"] != first["id"]


def test_a_record_tells_commit_package_and_parameters_as_they_were(project):
    source = read_record(f"{RAW}.lineage.json")["source"]
    assert set(source) == {"commit", "dirty", "package", "params"}
    assert len(source["package"]) == len(source["params"]) == 64


def test_records_name_nothing_outside_the_project(tmp_path, monkeypatch):
    outside = tmp_path / "secret" / "scan.nii.gz"
    write_json(outside, {})
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    write_json("out.json", {})
    params = {"source": str(outside), "mirror": "https://user:word@host/a?key=1"}
    write_record("raw", params, {}, [outside], [Path("out.json")], {})
    text = Path("out.json.lineage.json").read_text(encoding="utf-8")
    assert "secret" not in text and "word" not in text and "key=1" not in text
    assert [entry.path for entry in recorded_chain("out.json")[-1].inputs] == [OUTSIDE]
    assert mains("out.json") == ["out.json"]


def test_made_by_finds_the_record_beside_the_main_output(project):
    record = read_record(f"{RUN}/weights.safetensors.lineage.json")
    assert made_by(Path(f"{RUN}/history.csv")) == record["id"]
    assert made_by(Path("params.yaml")) is None
    assert Records().of("params.yaml") is None
