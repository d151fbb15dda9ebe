"""Seconds of a training step of each row: what is timed, in which order, and the figure of it."""

import copy
import csv
from pathlib import Path

import pytest
from support import params_yaml, snakemake_project

from semiseg.base.errors import UserError
from semiseg.graph.graph import Graph
from semiseg.graph.plan import Plan
from semiseg.learning.build import choose_runtime
from semiseg.learning.loop import Trainer
from semiseg.params.reading import parse_params
from semiseg.stages import seconds as stage
from semiseg.stages.figure import figure

TABLE, FIGURE = "results/tiny.seconds.csv", "results/tiny/figures/seconds.svg"


def graph_of(*rows: object) -> Graph:
    content = snakemake_project.alone(snakemake_project.tiny_params(), "tiny")
    content["variants"] = {"cps_best": {"method": "cps", "parameters": {}}}
    content["tables"]["tiny"]["rows"] = list(rows)
    return Graph(Plan(parse_params(content)))


@pytest.fixture(scope="module")
def graph() -> Graph:
    best = {"method": "cps_best", "label": "CPS (best)", "checkpoint": "best_test"}
    return graph_of({"method": "sup_only", "label": "V-Net"}, "cps", best, "control_perfect")


def test_the_steps_of_all_trainings_are_timed_in_turn(graph, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stage, "FIRST", 1)
    monkeypatch.setattr(stage, "REPEATS", 2)
    taken, step = [], Trainer.step

    def noted(self, batch):
        taken.append((self.title, self.state.iteration, tuple(batch.images.shape), len(batch.unlabelled)))
        step(self, batch)

    monkeypatch.setattr(Trainer, "step", noted)
    job = graph.maker(TABLE)
    assert job.rule == "seconds" and not job.read and job.code
    stage.seconds(job.spec, Path(TABLE), choose_runtime("cpu", 1, 1e9))
    assert taken == [
        (label, 3 + number, (known, 1, 32, 32, 16), others)
        for number in range(3)
        for label, known, others in (("V-Net", 4, 0), ("cps", 2, 2))
    ], "one step of each row, then the next of each; the best checkpoint and the control take none"
    with Path(TABLE).open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [(line["method"], line["label"], line["steps"], line["crops"]) for line in lines] == [
        ("sup_only", "V-Net", "2", "4"),
        ("cps", "cps", "2", "4"),
    ]
    assert all(0 < float(line["low"]) <= float(line["seconds"]) <= float(line["high"]) for line in lines)
    assert {(line["patch"], line["network"], line["device"]) for line in lines} == {("32x32x16", "vnet", "CPU")}

    drawn = graph.maker(FIGURE)
    assert drawn.read == [TABLE]
    figure(drawn.spec, [], Path(FIGURE))
    text = Path(FIGURE).read_text(encoding="utf-8")
    assert "V-Net" in text and "in turn on one device (CPU)" in text and "4 of 32x32x16 voxels" in text
    assert f"{float(lines[0]['seconds']):.3f}" in text


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "is missing: build it with `snakemake -f"), ("a,b\n1,2\n", "does not hold seconds of steps"),
     ("method,label,seconds,low,high,steps\nx,y,fast,1,1,2\n", "does not hold seconds of steps")],
)  # fmt: skip
def test_a_figure_of_nothing_measured_is_refused(graph, tmp_path, monkeypatch, content, reason):
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path("results").mkdir()
        Path(TABLE).write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=rf"tiny\.seconds\.csv {reason}"):
        figure(graph.maker(FIGURE).spec, [], Path(FIGURE))


def test_a_table_of_controls_has_no_steps():
    with pytest.raises(UserError, match="tiny has no row that is trained, so there are no steps to time"):
        graph_of("control_perfect").maker(TABLE)


def test_the_figure_in_print_times_six_methods_each_by_its_own_protocol():
    whole = copy.deepcopy(params_yaml.content())
    rows = Graph(Plan(parse_params(whole))).maker("results/crln_fig7.seconds.csv").spec["rows"]
    assert list(rows) == ["ua_mt", "bcp", "caml", "tracoco", "cac4ssl", "crln"]
    assert rows["tracoco"]["train"]["training"]["augmentation"]["second"] == "half_start"
    assert not {"initial", "checkpoints"} & set(rows["bcp"]["train"]) | {"checkpoints"} & set(rows["crln"]["train"])
