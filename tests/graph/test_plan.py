"""What `semiseg plan` says: counted work, measured runs, disk, and what is there already."""

import copy
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from support import ROOT, finished_project, params_yaml, project_folder
from torch.utils.flop_counter import FlopCounterMode

from semiseg.cli.main import main
from semiseg.describe.cost import COUNTED, TableView
from semiseg.describe.counts import steps_of
from semiseg.graph.plan import Plan
from semiseg.graph.specs import Specs
from semiseg.graph.split_lists import list_state
from semiseg.learning.counting import count, count_parameters, count_whole
from semiseg.learning.estimate import Step, _count, prepared_voxels, shipped, work
from semiseg.learning.work import Work
from semiseg.network import build
from semiseg.params.reading import parse_params, read

CONTENT = params_yaml.content()


def spec(plan, table="demo", method="cps", **training):
    found = Specs(plan).train(plan.runs(table, method)[0])
    return {**found, "training": {**found["training"], **training}}


def work_of(content, classes: int, kept: Path) -> Work:
    return work({"row": Step(content, classes)}, kept, 1, "count")["row"]


@pytest.fixture
def plan():
    return Plan(read(ROOT / "params.yaml"))


def test_work_grows_with_crops_and_voxels_and_counts_once(plan, tmp_path):
    small = work_of(spec(plan, patch=[16, 16, 32], batch={"labelled": 1, "unlabelled": 1}), 14, tmp_path)
    files = list(tmp_path.iterdir())
    large = work_of(spec(plan, patch=[32, 32, 64], batch={"labelled": 2, "unlabelled": 2}), 14, tmp_path)
    assert list(tmp_path.iterdir()) == files, "the same method, network and code are counted once"
    assert large.operations == pytest.approx(16 * small.operations, rel=1e-3)
    assert small.memory < large.memory < 16 * small.memory, "weights do not grow with the crop"
    assert small.parameters == large.parameters == 2 * work_of(spec(plan, method="sup_only"), 14, tmp_path).parameters


def test_the_counts_of_every_row_come_with_the_package(plan):
    steps, kept = steps_of(plan), shipped()
    assert steps.keys() == kept.keys(), "a training step does other work now: run `make counts`"
    step = next(step for step in steps.values() if (step.spec["method"], step.classes) == ("mt", 4))
    for new, old in zip(_count(step), kept[step.key], strict=True):
        assert (new.operations, new.parameters) == (old.operations, old.parameters)
        assert new.memory == pytest.approx(old.memory, rel=0.01)


def test_a_plan_of_rows_that_come_with_the_package_loads_no_torch(project):
    script = "import sys; from semiseg.cli.main import main; assert main(['plan', 'amos_10pct']) == 0"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", f"{script}; print('torch' in sys.modules)"]
    done = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8", check=True)
    assert done.stdout.endswith("False\n") and not Path(COUNTED).exists()


@pytest.mark.parametrize("method", ["mt", "guidednet"])
def test_small_crops_scaled_are_what_a_large_crop_takes(plan, tmp_path, method):
    crop = (32, 64, 96)
    row = spec(plan, method=method, patch=crop, batch={"labelled": 1, "unlabelled": 1})
    scaled, whole = work_of(row, 4, tmp_path), count(row, 4, crop)
    assert scaled.operations == pytest.approx(whole.operations, rel=0.01)
    assert scaled.memory == pytest.approx(whole.memory, rel=0.05)


def test_weights_that_depend_on_the_crop_are_counted_for_the_protocols_own(plan):
    """SKCDF's global attention maps p positions of the deepest map to p: a kernel of p x p weights and p offsets."""
    steps = {
        skcm: Step(
            {
                **Specs(plan).train(plan.runs("synapse_20pct", "skcdf")[0]),
                "hyper": {"skcm": skcm},
                "network": {"name": "vnet", "filters": 2},
            },
            3,
        )
        for skcm in (True, False)
    }
    assert steps[True].patch == [64, 128, 128] and steps[True].has_weights_of_patch
    assert not steps[False].has_weights_of_patch
    small, large = _count(steps[True])
    positions = 4 * 8 * 8
    assert small.parameters == large.parameters == count_parameters(steps[True].spec, 3, (64, 128, 128))
    of_crop = 2 * 2 * 4
    assert small.parameters - count(steps[True].spec, 3, (32, 32, 64)).parameters == (positions - of_crop) * (
        positions + of_crop + 1
    )
    longer = {**steps[True].spec, "training": {**steps[True].spec["training"], "patch": [64, 128, 160]}}
    assert Step(longer, 3).key != steps[True].key


def test_frozen_weights_are_stored_but_not_trained(plan):
    """AutoSAM trains its prompt network alone, and a run holds SAM as well. A student is kept without its teacher."""
    sam = {**Specs(plan).train(plan.runs("crln_t8", "autosam")[0]), "network": {"name": "sam", "filters": 2}}
    counted = count_whole(sam, 2)
    assert counted.stored > 4 * counted.parameters > 0
    student = _count(Step({**Specs(plan).train(plan.runs("la_small", "ua_mt")[0])}, 2))[0]
    assert student.stored == pytest.approx(4 * student.parameters, rel=0.01), "and what batch norm keeps"


def test_nothing_is_counted_for_a_control(plan, tmp_path):
    assert work_of(spec(plan, method="control_empty"), 14, tmp_path) == Work(0.0, 0.0, 0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("method", ["sup_only", "mt", "guidednet"])
def test_what_is_counted_without_the_large_operations_is_what_a_whole_step_takes(plan, method):
    """Torch's own counter, and a step in which every operation is done, agree with the quick count."""
    row, crop = spec(plan, method=method), (16, 32, 32)
    quick = count(row, 4, crop)  # comes first, as its look at shapes would be counted too
    with FlopCounterMode(display=False) as counter:
        whole = count(row, 4, crop, real=True)
    assert quick == whole
    assert whole.operations == counter.get_total_flops() > 1e8


def test_fast_precision_takes_the_same_operations_and_less_memory(plan):
    published, fast = spec(plan, method="mt"), spec(plan, method="mt")
    fast["training"] = {**fast["training"], "precision": "fast"}
    assert published["training"]["precision"] == "published" and Step(published, 4).key != Step(fast, 4).key
    full, half = (count(one, 4, (32, 32, 64)) for one in (published, fast))
    assert full.operations == half.operations and full.parameters == half.parameters
    assert 0.4 * full.memory < half.memory < 0.8 * full.memory, "weights and losses stay float32"


def test_operations_of_one_network_and_of_two(plan, tmp_path):
    """A step is a forward pass and a backward pass of twice the work, but for the first layer's input."""
    one = work_of(spec(plan, method="sup_only"), 14, tmp_path).operations
    assert work_of(spec(plan, method="cps"), 14, tmp_path).operations == pytest.approx(2 * one, rel=0.01)
    network = build("unet3d", 1, 14, "default", filters=8)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, 1, 32, 32, 32))
    forward = counter.get_total_flops() / 32**3 * 2 * 16 * 32 * 32  # two crops of 16 x 32 x 32 in a step of the demo
    assert one == pytest.approx(3 * forward, rel=0.02)


def test_terms_on_a_fixed_number_of_voxels_do_not_grow_with_the_crop(plan, tmp_path):
    """DVCL's contrast costs the same whatever the crop, so beside large crops it is little more than CPS."""
    rows = (spec(plan, "flare22_10pct", name) for name in ("dvcl", "cps"))
    contrast, plain = (work_of(row, 14, tmp_path).operations for row in rows)
    assert plain < contrast < 1.2 * plain


def test_prepared_voxels_by_hand():
    steps = [{"step": "clip"}, {"step": "resample", "spacing": [2.0, 2.0, 1.0]}]
    assert prepared_voxels((100, 80, 10), (1.0, 1.0, 5.0), steps) == 50 * 40 * 50
    assert prepared_voxels((100, 80, 10), (1, 1, 5), [{"step": "resample", "shape": [8, 8, 4]}]) == 256
    assert prepared_voxels((100, 80, 10), (1, 1, 5), [{"step": "resample", "factor": 0.5}]) == 10000
    assert prepared_voxels((100, 80, 10), (1, 1, 5), [{"step": "resample", "factor": [0.5, 0.5, 1]}]) == 20000


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The project's parameters, with the first two rows of the tables that are planned here."""
    content = copy.deepcopy(CONTENT)
    for table in ("la_8", "brats19_25"):
        content["tables"][table]["rows"] = content["tables"][table]["rows"][:2]
    project_folder.write_params(tmp_path, content)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said(capsys, *arguments: str) -> str:
    assert main(["plan", *arguments]) == 0
    return " ".join(capsys.readouterr().out.split())


def test_a_plan_before_anything_runs(project, capsys):
    text = said(capsys, "la_8", "--tflops", "10")
    assert "2 of 2 runs, about" in text and "10 TFLOP/s (given)" in text
    assert "V-Net 0 of 1 9,448,866" in text
    assert "estimated" in text and "already there" not in text
    assert "80 prepared cases" not in text and "100 prepared cases" in text and "label maps of 2 runs" in text
    assert "la_uamt_8lab can be formed from the official files: 100 cases, 100 of them on registration" in text


def test_runs_that_share_a_gpu_have_a_range_of_hours_and_the_sum_of_their_memory(project, capsys):
    alone, shared = (said(capsys, "la_8", "--tflops", "0.1", *more) for more in ((), ("--runs-per-gpu", "2")))
    hours = float(re.search(r"2 of 2 runs, about ([0-9.]+) hours", alone)[1])
    found = re.search(r"2 runs per GPU from about (\S+) hours .* to (\S+) hours .*?; (\S+) GiB", shared)
    first, last, memory = map(float, found.groups())
    assert last == hours and first == pytest.approx(hours / 2, abs=0.06)
    rows = [float(each) for each in re.findall(r"(\d+\.\d) estimated", shared)]
    assert memory == pytest.approx(sum(rows) + 2, abs=0.2), "a GiB of each process"
    assert "runs per GPU" not in alone
    assert main(["plan", "la_8", "--runs-per-gpu", "0"]) == 2
    assert "--runs-per-gpu is 0, expected 1 or more" in capsys.readouterr().err


def test_a_plan_names_what_a_table_needs_beside_hours(project, capsys):
    """Memory as the rules request it, the longest run, and a list that the publisher's files cannot form."""
    shutil.copytree(ROOT / "workflow", project / "workflow")
    text = said(capsys, "brats19_25", "--tflops", "10")
    assert "host memory prepare 4 GB a thread, train 16 GB, predict 16 GB, evaluate 4 GB" in text
    assert float(re.search(r"longest run about ([0-9.]+) hours", text)[1]) > 1
    plan = Plan(read(ROOT / "params.yaml"))
    lists = {name: list_state(plan, name).sentence for name in plan.params.tables}
    assert lists["flare22_10pct"].endswith("table flare22_10pct_open has a list that can be formed")
    assert "which lack 2 of its 82 cases" in lists["pancreas_12"] and "pancreas_12_open" in lists["pancreas_12"]
    assert lists["amos_5pct"].endswith("can be formed from the official files: 360 cases, all are open")
    assert lists["demo"] == "drawn from the cases that are there"


def done() -> int:
    """Number of the tiny table's runs that are done."""
    return len(TableView.of(Plan(read(Path("params.yaml"))), "tiny").trained())


def test_runs_that_are_done_are_not_counted_again(tmp_path_factory, monkeypatch, capsys):
    """A run is done with its parameters, its code and the data behind it."""
    monkeypatch.chdir(finished_project.copy(tmp_path_factory))
    assert "left to train 0 of 2 runs, none" in said(capsys, "tiny") and done() == 4
    content = finished_project.params()
    weight, other_split = copy.deepcopy(content), copy.deepcopy(content)
    weight["methods"]["cps"]["weight"] = 0.3
    other_split["splits"]["phantom_mri"]["tiny"]["draw"]["seed"] = 2
    for edited in (weight, other_split):
        finished_project.write_params(Path(), edited)
        assert done() == (2 if edited is weight else 0)
    finished_project.write_params(Path(), content)
    Path(finished_project.RUN, "cps/seed1/weights.safetensors").unlink()
    assert done() == 3


def test_measured_runs_price_the_others(project, capsys):
    """Without a record a run is not done, but what it measured counts."""
    plan = Plan(parse_params(CONTENT))
    folder = Path(plan.runs("la_8", "sup_only")[0].folder)
    folder.mkdir(parents=True)
    cost = {"device": "Toy GPU", "iterations": 6000, "seconds_per_iteration": 2.0, "parameters": 9_447_000}
    (folder / "cost.json").write_text(json.dumps({**cost, "peak_memory_bytes": 3 * 2**30}))
    (folder / "weights.safetensors").touch()
    state = Path("results/state/la/la/8lab/ua_mt/seed1337/state.safetensors")
    state.parent.mkdir(parents=True)
    state.touch()
    Path("data/raw/la").mkdir(parents=True)
    Path("data/raw/la/manifest.json").touch()
    text = said(capsys, "la_8")
    assert "2 of 2 runs, about" in text and "of finished runs here" in text
    assert "V-Net 0 of 1 9,447,000 2 3.3 3.0 measured: Toy GPU" in text
    assert "raw cases (data/raw/la/manifest.json)" in text
    assert "states of 1 interrupted runs, which will continue" in text


def test_rows_that_cannot_be_served_are_told(project, capsys):
    params = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    params["protocols"]["demo"]["training"]["batch"] = {"labelled": 2, "unlabelled": 3}
    Path("params.yaml").write_text(yaml.safe_dump(params))
    text = said(capsys, "demo")
    assert "rows left out - guidednet: guidednet pairs labelled with unlabelled crops, but the protocol takes 2" in text


def test_an_unknown_table_is_one_sentence(project, capfd):
    assert main(["plan", "dmeo"]) == 2
    assert "unknown table 'dmeo'; did you mean demo?" in capfd.readouterr().err


def test_steps_of_a_protocol_that_counts_epochs():
    """Two crops of each kind in a step: 18 unlabelled cases take nine; four labelled crops of two cases take one.

    The official loop has one epoch more than its 200.
    """
    content = params_yaml.content()
    content["tables"]["synapse_10pct"] |= {"rows": ["ua_mt", "sup_only"], "reference": None}
    view = TableView.of(Plan(parse_params(content)), "synapse_10pct")
    assert [view.iterations(view.runs[method][0]) for method in ("ua_mt", "sup_only")] == [201 * 9, 201]
