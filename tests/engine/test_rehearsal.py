"""Rehearsals: the parameters of every table shrink to something that can be planned, and two tables are built.

`make rehearse` builds the others.
"""

import csv
from pathlib import Path

import pytest
from support import ROOT, finished_project, params_yaml, prepared_cases, project_folder, warm

from semiseg.base.errors import UserError
from semiseg.base.files import read_json, sha256
from semiseg.dataset import get_dataset
from semiseg.engine.rehearsal import FIRST, ITERATIONS, shrunk
from semiseg.graph.plan import Plan, Run
from semiseg.graph.specs import Specs
from semiseg.learning.build import choose_runtime
from semiseg.params.reading import read
from semiseg.stages.prepare import prepare
from semiseg.stages.raw import build_raw
from semiseg.stages.split import split
from semiseg.stages.train import train

PARAMS = read(ROOT / "params.yaml")
AMOS, PANCREAS = "amos_5pct", "pancreas_12"
ROWS = {AMOS: ("control_perfect",), PANCREAS: ("ua_mt", "control_perfect")}
TRAINED = Run("amos22", "dhc_amos", "dhc_5p", "cps", 0)


def fits(protocol):
    """Whether a crop holds a window."""
    pairs = zip(protocol.inference.window, protocol.training.patch, strict=True)
    return all(window <= side for window, side in pairs)


@pytest.mark.parametrize("table", PARAMS.tables)
def test_every_table_shrinks_to_a_plan_on_official_cases(table):
    small = shrunk(PARAMS, table)
    plan, wanted = Plan(small), PARAMS.tables[table]
    protocol, original = small.protocols[wanted.protocol], PARAMS.protocols[wanted.protocol]
    assert list(small.tables) == [table] and small.tables[table].rows == wanted.rows
    assert small.preparations[protocol.preparation] == PARAMS.preparations[original.preparation]
    for name, each in small.protocols.items():
        first = PARAMS.protocols[name]
        assert fits(each) or each.inference == first.inference
        assert fits(each) or not fits(first)
        type(each.inference).model_validate(each.inference.model_dump())  # the stride leaves no gaps
        overlaps = [len({one.inference.stride, one.inference.window}) for one in (each, first)]
        assert overlaps[0] == overlaps[1]  # windows overlap where those of the protocol do
    same = original.inference.window == original.training.patch
    assert not same or protocol.inference.window == protocol.training.patch
    assert protocol.scoring == original.scoring
    assert protocol.training.iterations in (None, ITERATIONS)
    assert plan.row_files(table) == Plan(PARAMS).row_files(table)
    standin = small.datasets[wanted.dataset].standin
    if standin is not None:
        official = {case for part in get_dataset(wanted.dataset).parts for case in part.cases}
        assert set(standin.cases) <= official
        splits = {row.split or wanted.split for row in wanted.rows}
        most = len(splits) * sum(getattr(FIRST, part) for part in ("labelled", "unlabelled", "val", "test"))
        assert len(standin.cases) <= most


def test_an_unknown_table_is_told():
    with pytest.raises(UserError, match="unknown table 'amos_6pct'; did you mean amos_5pct, "):
        shrunk(PARAMS, "amos_6pct")


@pytest.fixture(scope="module")
def amos(tmp_path_factory):
    """AMOS22 is downloaded, CT and MR are mixed, and every case has a label, unlabelled ones included."""
    folder = tmp_path_factory.mktemp("amos")
    content = shrunk(PARAMS, AMOS).model_dump(mode="json")
    content["tables"][AMOS] |= {"rows": list(ROWS[AMOS]), "reference": None}
    content["protocols"][TRAINED.protocol]["training"]["patch"] = [16, 32, 32]
    project_folder.write_params(folder, content)
    finished_project.build(folder, f"results/{AMOS}.csv")
    finished_project.build(folder, f"{TRAINED.folder}/weights.safetensors")
    return folder


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    """The command on a table of Pancreas-CT, which is downloaded as DICOM series."""
    content = params_yaml.content()
    content["tables"] = {PANCREAS: content["tables"][PANCREAS] | {"rows": list(ROWS[PANCREAS])}}
    folder = project_folder.new(tmp_path_factory.mktemp("pancreas") / "project", content)
    result = warm.run(folder, ["semiseg", "rehearse", PANCREAS, "--cores", "2"])
    return result, folder / "rehearsal" / PANCREAS


@pytest.fixture(scope="module")
def pancreas(command):
    """The project that the command made."""
    result, folder = command
    assert result.returncode == 0, result.stderr[-4000:]
    return folder


def rows(folder: Path, table: str) -> dict[str, dict[str, str]]:
    with (folder / f"results/{table}.csv").open(encoding="utf-8") as file:
        return {row["method"]: row for row in csv.DictReader(file)}


def test_the_command_says_where_its_table_is_and_shows_it(command):
    result, folder = command
    assert f"rehearsal/{PANCREAS}/results/{PANCREAS}.csv is built" in result.stderr
    assert "ua_mt" in result.stdout and list(rows(folder, PANCREAS)) == list(ROWS[PANCREAS])


def test_downloaded_archives_end_in_a_table(amos, pancreas):
    for folder, table, dataset in ((amos, AMOS, "amos22"), (pancreas, PANCREAS, "pancreas_ct")):
        assert list(rows(folder, table)) == list(ROWS[table])
        archives = read_json(folder / f"data/archives/{dataset}/archives.json")["files"]
        assert archives
        for name, entry in archives.items():
            assert sha256(folder / f"data/archives/{dataset}" / name) == entry["sha256"]
        assert "Rehearsal on stand-ins" in (folder / f"results/{table}.html").read_text(encoding="utf-8")


def test_predictions_of_a_dicom_series_lie_in_its_geometry(pancreas):
    from semiseg.data.images import read_nifti

    kind = get_dataset("pancreas_ct")
    manifest = read_json(pancreas / "data/raw/pancreas_ct/manifest.json")
    images = {case["id"]: pancreas / "data/raw/pancreas_ct" / case["image"] for case in manifest["cases"]}
    folder = next(pancreas.glob("results/runs/*/*/*/ua_mt/*/predictions"))
    predictions = [path for path in folder.glob("*.nii.gz") if not path.name.endswith(".prepared.nii.gz")]
    assert len(predictions) == FIRST.test
    for path in predictions:
        image, prediction = kind.read_image(images[path.name.removesuffix(".nii.gz")]), read_nifti(path)
        assert prediction.array.shape == image.array.shape
        assert abs(prediction.affine - image.affine).max() < 1e-3


def test_training_reads_no_label_of_an_unlabelled_case(amos, tmp_path):
    """Delete these labels from the stand-in: the weights are the same to the last bit."""
    specs = Specs(Plan(read(amos / "params.yaml")))
    raw = tmp_path / "raw"
    raw.mkdir()
    unlabelled = set(read_json(amos / "data/splits/amos22/dhc_5p.json")["unlabelled"])
    removed = []
    for path in sorted((amos / "data/raw/amos22").rglob("*.nii.gz")):
        if "labels" in path.parent.name and path.name.removesuffix(".nii.gz") in unlabelled:
            removed.append(path.name)
            continue
        target = raw / path.relative_to(amos / "data/raw/amos22")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(path)
    assert len(removed) == FIRST.unlabelled
    build_raw({**specs.raw("amos22"), "standin": False}, raw)
    index, parts = tmp_path / "prepared" / "index.json", tmp_path / "split.json"
    prepare(specs.prepare("amos22", "dhc"), raw / "manifest.json", index)
    split(specs.split("amos22", "dhc_5p"), raw / "manifest.json", parts)
    entries = read_json(index)["cases"]
    assert [entries[case]["label"] for case in sorted(unlabelled)] == [False] * FIRST.unlabelled
    out = prepared_cases.outputs(tmp_path)
    train(specs.train(TRAINED), index, parts, tmp_path / "state", out, choose_runtime("cpu", 1, 60.0))
    assert sha256(out.weights) == sha256(amos / TRAINED.folder / "weights.safetensors")
