"""What a table needs that no rule makes by itself is named before anything runs, until it is here."""

from pathlib import Path

import pytest
from support import ROOT

from semiseg.cli.main import main
from semiseg.describe.missing import missing
from semiseg.graph.plan import Plan
from semiseg.params.data import DatasetOptions
from semiseg.params.reading import read


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    """The project's tables, in a folder that holds nothing."""
    monkeypatch.chdir(tmp_path)
    return Plan(read(ROOT / "params.yaml"))


def created(path: str) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).touch()


def test_data_and_weights_that_must_be_brought_are_named_until_they_are_here(plan: Plan) -> None:
    scans, *weights = missing(plan, "crln_t8")
    assert scans.startswith("scans of LA: 2018 Left Atrium segmentation challenge: register at https://")
    assert scans.endswith("; then call `semiseg import la FOLDER_OR_ARCHIVE`")
    assert sorted(line.partition(" (")[0] for line in weights) == ["weights autosam_vit_h", "weights sam_vit_h"]
    (sam,) = (line for line in weights if line.startswith("weights sam_vit_h"))
    assert sam.endswith("sam_vit_h_4b8939.pth): `semiseg import-weights sam_vit_h FILE`")
    created("data/raw/la/manifest.json")
    created("data/weights/sam_vit_h.safetensors")
    assert [line.partition(" (")[0] for line in missing(plan, "crln_t8")] == ["weights autosam_vit_h"]


@pytest.mark.parametrize("table", ["demo", "amos_10pct"])  # drawn, and downloaded by the workflow
def test_nothing_is_named_that_the_workflow_makes(plan: Plan, table: str) -> None:
    assert list(missing(plan, table)) == []


def test_data_that_is_open_in_part_is_named(plan: Plan) -> None:
    (scans,) = missing(plan, "flare22_10pct")
    assert "the 50 labelled scans are open" in scans and "(open parts are downloaded by the workflow)" in scans


@pytest.mark.parametrize("given", [{"source": "copy"}, {"standin": {"seed": 1, "cases": ["a"]}}], ids=str)
def test_data_that_params_yaml_places_is_not_named(plan: Plan, given: dict[str, object]) -> None:
    plan.params.datasets["la"] = DatasetOptions.model_validate(given)
    assert list(missing(plan, "la_8")) == []


def test_the_plan_of_a_table_ends_with_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert main(["plan", "la_small"]) == 0
    last = " ".join(capsys.readouterr().out.partition("not here, to be brought")[2].split())
    assert last.startswith("- scans of LA: 2018 Left Atrium") and last.endswith(
        "then call `semiseg import la FOLDER_OR_ARCHIVE`"
    )
