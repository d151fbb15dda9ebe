"""A row of imported weights: predicted, scored and shown without training; its marks, its lineage and its refusals."""

import contextlib
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from support import ROOT, finished_project, snakemake_project
from support.official_networks import official
from support.project_folder import new

from semiseg.base.errors import UserError
from semiseg.cli.main import main
from semiseg.engine.rehearsal import shrunk
from semiseg.graph.plan import Plan
from semiseg.learning import weights
from semiseg.params.reading import parse_params
from semiseg.stages.train_imported import train_imported
from semiseg.stages.weights import keep_weights

TABLE = finished_project.TABLE
RUN = f"{finished_project.RUN}/ua_mt_published/seed1"


PAGE = (ROOT / "docs/weights.md").read_text(encoding="utf-8")
NAME = "ua_mt_la16"
FILE = Path(f"data/weights/{NAME}.safetensors")


def params(**changed: Any) -> dict[str, Any]:
    """A table of a row as docs/weights.md prints it, and a control."""
    printed = re.search(r"^```yaml\n(.*?)^```", PAGE, re.M | re.S)
    assert printed is not None
    content = finished_project.params() | yaml.safe_load(printed[1])
    rows = [{"method": "ua_mt_published", "label": "UA-MT"}, "control_perfect"]
    content["tables"]["tiny"] |= {"rows": rows, "seeds": [1], "metrics": ["dice"]} | changed
    return content


def bring(folder: Path, method: str = "ua_mt", filters: int = 2) -> int:
    torch.save(official(method, filters)[""].state_dict(), folder / "iter_6000.pth")
    with contextlib.chdir(folder):
        return main(["import-weights", NAME, "iter_6000.pth"])


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The table with all behind it."""
    folder = new(tmp_path_factory.mktemp("imported"), params())
    assert bring(folder) == 0
    with contextlib.chdir(folder):
        for job in finished_project.graph().chain(TABLE):
            if job.rule != "weights":  # that is the import's
                assert main(finished_project.arguments(job)) == 0, job.main
    return folder


@pytest.fixture
def here(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(project)
    return project


@pytest.mark.usefixtures("here")
def test_the_runs_weights_are_those_of_the_file() -> None:
    tensors, note = weights.load(Path(f"{RUN}/weights.safetensors"))
    network = official("ua_mt")[""]
    assert torch.equal(tensors["student.head.weight"], network.state_dict()["out_conv.weight"])
    assert note["networks"] == ["student"] and note["iteration"] == 0
    record = json.loads(Path(f"{RUN}/weights.safetensors.lineage.json").read_text(encoding="utf-8"))
    assert record["params"]["weights"] == NAME and "training" not in record["params"]
    assert str(FILE) in [entry["path"] for entry in record["inputs"]]


@pytest.mark.usefixtures("here")
def test_every_form_of_the_table_marks_the_row() -> None:
    mark = "UA-MT (imported weights)"
    for form in (".csv", ".md", ".tex", ".html", ".sound.csv"):
        assert mark in Path(TABLE).with_suffix(form).read_text(encoding="utf-8"), form
    sentence = f"{mark} is not trained here: it predicts with the weights ua_mt_la16, which the user brought."
    for form in (".md", ".tex", ".html"):
        assert sentence in Path(TABLE).with_suffix(form).read_text(encoding="utf-8").replace("\\", ""), form
    page = Path(TABLE).with_suffix(".html").read_text(encoding="utf-8")
    assert str(FILE) in page


@pytest.mark.usefixtures("here")
def test_lineage_and_audit_know_the_file_by_its_hash(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["lineage", TABLE, "--row", "ua_mt_published", "--column", "Dice"]) == 0
    shown = " ".join(capfd.readouterr().out.split())
    assert "not trained here but with the weights ua_mt_la16, which the user brought" in shown
    assert "imported weights ua_mt_la16, nothing was trained" in shown
    assert re.search(
        r"weights brought by the user with `semiseg import-weights` from iter_6000.pth \([0-9a-f]{12}\)", shown
    )
    assert main(["audit", TABLE]) == 0, capfd.readouterr().out
    content = FILE.read_bytes()
    FILE.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    try:
        assert main(["audit", str(FILE)]) != 0
        assert str(FILE) in capfd.readouterr().out
    finally:
        FILE.write_bytes(content)


@pytest.mark.usefixtures("here")
def test_the_plan_counts_no_training(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "tiny"]) == 0
    shown = capfd.readouterr().out
    assert re.search(r"left to train +0 of 0 runs, none", shown), shown
    assert re.search(r"UA-MT \(imported +1 of 1 .* not trained", shown), shown
    for name, text in (("tiny", f"predicts with the weights {NAME}"), ("ua_mt_published", "(the authors of UA-MT)")):
        assert main(["describe", name]) == 0
        assert text in " ".join(capfd.readouterr().out.split())


def test_the_commands_of_the_page_work(here: Path) -> None:
    """As printed, but for the name of the table."""
    for name, network in official("mcf").items():
        torch.save(network.state_dict(), here / f"{'vnet' if name == 'a' else 'resnet'}_iter_6000.pth")
    for name in ("sam_vit_h_4b8939", "hardnet85-a28faa00"):  # what fits a network is seen where it is used
        torch.save({"weight": torch.ones(1)}, here / f"{name}.pth")
    blocks = "".join(text for kind, text in re.findall(r"^```(\w*)\n(.*?)^```", PAGE, re.M | re.S) if not kind)
    commands = [shlex.split(line) for line in blocks.replace("la_16", "tiny").splitlines()]
    assert [words[1] for words in commands] == [
        "import-weights", "import-weights", "check-params", "describe", "plan", TABLE, "lineage",
        "import-weights", "import-weights",
    ]  # fmt: skip
    for program, *words in commands:
        if program == "semiseg":
            assert main(words) == 0, words
        else:
            assert snakemake_project.planned(here, *words) == {}


def test_weights_of_another_architecture_are_one_sentence(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The finished run stays as it is."""
    monkeypatch.chdir(project)
    before = Path(f"{RUN}/weights.safetensors").read_bytes()
    job = finished_project.graph().maker(f"{RUN}/weights.safetensors")
    assert job is not None
    arguments = finished_project.arguments(job)
    for method, filters, reason in (
        ("dtc", 2, "it holds out_conv2.bias, out_conv2.weight, which UAMT has no place for"),
        ("ua_mt", 1, "UAMT needs"),
    ):
        (tmp_path / method).mkdir()
        assert bring(tmp_path / method, method=method, filters=filters) == 0
        other = tmp_path / method / FILE
        capfd.readouterr()
        assert main([str(other) if "data/weights" in one else one for one in arguments]) == 2
        shown = capfd.readouterr().err
        assert "holds no weights of ua_mt on vnet with 2 filters for 2 classes: " in shown and reason in shown
        assert Path(f"{RUN}/weights.safetensors").read_bytes() == before


@pytest.mark.usefixtures("here")
def test_random_weights_stand_for_the_file_in_a_rehearsal(tmp_path: Path) -> None:
    file = tmp_path / "standin.safetensors"
    keep_weights({"name": NAME, "standin": True}, file, "")
    job = finished_project.graph().maker(f"{RUN}/weights.safetensors")
    assert job is not None
    data, outputs = (Path(str(job.inputs[name])) for name in ("prepared", "split")), "whc"
    train_imported(job.spec, *data, file, *(tmp_path / name for name in outputs), threads=1)
    own = weights.load(Path(f"{RUN}/weights.safetensors"))[0]
    assert {name: one.shape for name, one in weights.load(tmp_path / "w")[0].items()} == {
        name: one.shape for name, one in own.items()
    }


def test_snakemake_asks_for_a_file_that_is_missing(tmp_path: Path) -> None:
    """Afterwards the file that was brought needs no job."""
    folder = new(tmp_path / "project", params())
    target = str(FILE)
    result = snakemake_project.snakemake(folder, target)
    expected = (
        f"no weights {NAME} are here ({FILE}): download the file (it comes from the authors of UA-MT), then run"
        f" `semiseg import-weights {NAME} FILE`"
    )
    assert result.returncode != 0 and expected in result.stderr
    assert bring(folder) == 0
    assert snakemake_project.planned(folder, target) == {}
    before = (folder / FILE).read_bytes()
    assert snakemake_project.snakemake(folder, "--force", target).returncode == 0
    assert (folder / FILE).read_bytes() == before


WRONG = {
    "several seeds": ({"seeds": [1, 2]}, r"seeds: ua_mt_published predicts with .* expected one seed and found 2"),
    "a control": ({}, r"variants\.ua_mt_published\.weights: control_perfect is a control, which has no weights"),
    "no name": ({}, r"variants\.ua_mt_published\.weights: expected a name of letters, digits and _, found 'a\.pth'"),
}


@pytest.mark.parametrize("what", WRONG)
def test_rows_that_cannot_be_are_one_sentence(what: str) -> None:
    changed, sentence = WRONG[what]
    content = params(**changed)
    variant = content["variants"]["ua_mt_published"]
    variant |= {"a control": {"method": "control_perfect"}, "no name": {"weights": "a.pth"}}.get(what, {})
    with pytest.raises(UserError, match=sentence):
        Plan(parse_params(content))


def test_the_same_method_may_be_trained_beside_it() -> None:
    rows = ["ua_mt", {"method": "ua_mt_published", "label": "ua_mt"}]
    plan = Plan(parse_params(params(rows=rows)))
    trained, imported = (plan.runs("tiny", row)[0] for row in ("ua_mt", "ua_mt_published"))
    assert plan.training(trained) == trained and plan.training(imported) == imported and trained != imported


def test_a_rehearsal_needs_no_file() -> None:
    content = params()
    protocol = content["protocols"]["la_small"]
    content["protocols"]["second"] = {**protocol, "initial": {"weights": "other"}}
    small = shrunk(parse_params(content), "tiny")
    assert {name: one.standin for name, one in small.weights.items()} == {"other": True, NAME: True}
