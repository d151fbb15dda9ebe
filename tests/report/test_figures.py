"""Figures by target: what they show, what they refuse, and the 3D view's geometry."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from support import finished_table, params_yaml, project_folder, warm
from support.finished_table import CASES, table_spec, tabulation

from semiseg.base.errors import UserError
from semiseg.base.files import write_json
from semiseg.cli.main import main
from semiseg.graph.figures import check_figure
from semiseg.jobs.record import write_record
from semiseg.params.table_spec import TableSpec
from semiseg.report.figures.bars import find_panels
from semiseg.report.figures.paired import draw_pairs
from semiseg.report.figures.panels import draw_boxes
from semiseg.report.figures.surfaces import aim, render
from semiseg.report.pictures import Scan
from semiseg.scoring.averages import gather
from semiseg.scoring.paired import pair
from semiseg.stages.figure import figure

FOLDER = Path("results/toy/figures")
MAGIC = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}


def ablation() -> dict:
    """Variants of one method: a weight, a switch, and two parameters at once, in no order."""
    changed = {"high": {"weight": 0.5}, "low": {"weight": 0.1}, "off": {"on": False}, "both": {"n": 50, "m": "all"}}
    own = {"weight": 0.3, "on": True, "n": 25, "m": "half"}
    rows = ["high", "base", "off", "low", "both"]
    return {
        **tabulation(),
        "rows": rows,
        "runs": {name: ["somewhere"] for name in rows},
        "names": {name: [name.upper()] for name in rows},
        "variants": {name: {"base": "base", "changed": change} for name, change in changed.items()},
        "hyper": {name: {**own, **changed.get(name, {})} for name in rows},
    }


def write_rows(dice: dict[str, float]) -> list[Path]:
    paths = []
    for method, mean in dice.items():
        head = {"method": method, "label": method.upper(), "rule": "guidednet", "unit": "voxel", "spread_over": "runs"}
        numbers = {"Dice": mean, "Dice SD": 0.5, "Jaccard": mean - 10, "Jaccard SD": 0.25}
        lines = [
            {**head, **numbers, "convention": "published"},
            {**head, **numbers, "Dice": 1.0, "convention": "sound"},
        ]
        paths.append(Path(f"results/toy/{method}.csv"))
        finished_table.write_table(paths[-1], pd.DataFrame(lines))
    return paths


@pytest.fixture
def project(tmp_path, monkeypatch):
    finished_table.build(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("semiseg.report.figures.case.PIXELS_3D", 60)
    return tmp_path


def drawn(name: str, spec: dict | None = None, rows: list[Path] | None = None) -> str:
    """Text of a figure as SVG, tags left out."""
    out = FOLDER / f"{name}.svg"
    figure(spec or tabulation(), rows or [], out)
    return " ".join(re.findall(r">([^<>]+)</(?:text|tspan)>", out.read_text(encoding="utf-8")))


@pytest.mark.parametrize("name", ["boxes", "curves", f"case_{CASES[1]}"])
@pytest.mark.parametrize("form", MAGIC)
def test_every_form_is_written_and_the_same_inputs_give_the_same_bytes(project, name, form):
    out = FOLDER / f"{name}.{form}"
    figure(tabulation(), [], out)
    first = out.read_bytes()
    assert first.startswith(MAGIC[form])
    figure(tabulation(), [], out)
    assert out.read_bytes() == first


def test_a_case_shows_truth_methods_organs_and_dice_but_no_controls(project):
    text = drawn(f"case_{CASES[1]}")
    for part in ("Truth", "Sup only", "MT &amp; co_1", "axial", "coronal", "sagittal", "3D", "Box box", "Rod rod"):
        assert part in text
    assert "perfect" not in text and "empty" not in text
    assert "Dice 81.2 %" in text and "Dice 62.5 %" in text


def test_dice_is_that_of_the_drawn_seed(project):
    finished_table.build(project, (7, 8))
    scores = Path("results/runs/mt/seed8/cases.csv")
    finished_table.write_table(scores, pd.read_csv(scores).assign(overlap_voxels=0))
    assert "Dice 81.2 %" in drawn(f"case_{CASES[1]}", tabulation((7, 8)))


def test_methods_stand_in_the_order_of_the_table_whatever_the_order_of_keys(project):
    spec = json.loads(json.dumps({**tabulation(), "rows": ["sup_only", "mt"]}, sort_keys=True))
    for name in (f"case_{CASES[1]}", "boxes", "curves"):
        text = drawn(name, spec)
        assert text.index("Sup only") < text.index("MT &amp;"), name


def test_many_methods_go_into_two_blocks(project):
    methods = [f"m{number}" for number in range(10)]
    spec = {**tabulation(), "rows": methods, "names": {name: [f"Method {name}"] for name in methods}}
    spec["runs"] = dict.fromkeys(methods, tabulation()["runs"]["mt"])
    text = drawn(f"case_{CASES[1]}", spec)
    assert text.count("coronal") == 2
    assert text.count("Method m") == 10


def test_a_method_without_a_prediction_is_left_out_with_a_note(project, capfd):
    shutil.rmtree("results/runs/mt/seed7/predictions")
    text = drawn(f"case_{CASES[1]}")
    assert "Left out, as their prediction of this case is not on this machine: MT &amp; co_1." in text
    assert "Left out" in capfd.readouterr().err
    shutil.rmtree("results/runs/sup_only/seed7/predictions")
    with pytest.raises(UserError, match="case case1 of table toy cannot be drawn"):
        drawn(f"case_{CASES[1]}")
    assert len(list(FOLDER.iterdir())) == 1


def record_runs() -> None:
    """The lineage records that a job asks of the runs it reads, with the files that pictures do not need."""
    for run in (Path(folder) for folders in tabulation()["runs"].values() for folder in folders):
        for name in ("cost.json", "predictions.json"):
            write_json(run / name, {})
        made = [run / name for name in ("history.csv", "cost.json", "cases.csv", "predictions.json")]
        write_record("train", {}, {}, [], made, {})


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("case_nobody.png", "table toy has no test case 'nobody'; it has: case0, case1"),
        ("bars.png", "table toy has no row that is a variant"),
        ("boxes.gif", "no known format: end its name in .png, .svg, .pdf"),
        ("pies.png", "unknown figure 'pies'; known: boxes, curves, bars, seconds, case_<case>"),
    ],
)
def test_what_cannot_be_drawn_is_one_sentence_and_status_2(project, capfd, target, sentence):
    record_runs()
    arguments = ["figure", "--spec", json.dumps(tabulation()), "--out", str(FOLDER / target)]
    assert main(arguments) == 2
    assert sentence in capfd.readouterr().err
    assert not list(FOLDER.iterdir())


def test_nothing_finished_is_told(project):
    shutil.rmtree("results/runs")
    for name in ("boxes", "curves"):
        with pytest.raises(UserError, match=r"no run of table toy has .* here: .*`snakemake results/toy\.csv`"):
            drawn(name)


def test_a_case_is_unknown_only_once_there_is_a_split(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check_figure(table_spec(), "case_nobody")
    finished_table.build(tmp_path)
    with pytest.raises(UserError, match="no test case"):
        check_figure(table_spec(), "case_nobody")


def test_panels_follow_the_table_and_bars_the_values():
    weight, switch, both = find_panels(TableSpec.model_validate(ablation()))
    assert weight.parameters == ("weight",)
    assert weight.bars == (((0.1,), "low"), ((0.3,), "base"), ((0.5,), "high"))
    assert switch.bars == (((False,), "off"), ((True,), "base"))
    assert both.parameters == ("m", "n")
    assert both.bars == ((("half", 25), "base"), (("all", 50), "both"))


def test_variants_that_share_a_parameter_stand_in_one_panel():
    """K and K': one variant changes both, the others one each."""
    spec = ablation()
    spec["rows"] = ["base", "first", "second", "third"]
    spec["runs"] = {name: ["somewhere"] for name in spec["rows"]}
    changed = {"first": {"n": 5}, "second": {"weight": 0.5}, "third": {"n": 50, "weight": 0.7}}
    spec["variants"] = {name: {"base": "base", "changed": change} for name, change in changed.items()}
    spec["hyper"] = {name: {"n": 25, "weight": 0.3, **changed.get(name, {})} for name in spec["rows"]}
    (panel,) = find_panels(TableSpec.model_validate(spec))
    assert panel.parameters == ("n", "weight")
    assert panel.bars == (((5, 0.3), "first"), ((25, 0.3), "base"), ((25, 0.5), "second"), ((50, 0.7), "third"))


def test_a_variant_without_its_method_in_the_table_stands_alone():
    spec = ablation()
    del spec["runs"]["base"]
    assert [name for _, name in find_panels(TableSpec.model_validate(spec))[0].bars] == ["low", "high"]


def test_bars_are_the_published_means(project):
    rows = write_rows({"high": 70.0, "base": 80.0, "off": 75.5, "low": 81.25, "both": 60.0})
    text = drawn("bars", ablation(), rows)
    for part in (
        "weight",
        "m, n",
        "81.2",
        "71.2",
        "75.5",
        "mean Dice",
        "mean Jaccard",
        "(base)",
    ):
        assert part in text
    assert "whiskers: population SD over runs" in text


def test_a_long_name_of_the_only_row_is_not_cut(project):
    spec = {**tabulation(), "rows": ["mt"], "names": {"mt": ["MT with weights of the authors, as published"]}}
    drawing = draw_boxes(TableSpec.model_validate({**spec, "runs": {"mt": spec["runs"]["mt"]}}))
    drawing.draw_without_rendering()
    for axes in drawing.axes:
        (name,) = axes.get_xticklabels()
        box, whole = name.get_window_extent(), axes.figure.bbox
        assert whole.x0 <= box.x0 and box.x1 <= whole.x1 and whole.y0 <= box.y0
        assert name.get_text().replace("\n", " ") == "MT with weights of the authors, as published"


def test_bars_of_one_run_speak_of_no_whiskers(project):
    rows = write_rows({"high": 70.0, "base": 80.0, "off": 75.5, "low": 81.25, "both": 60.0})
    for path in rows:
        finished_table.write_table(path, pd.read_csv(path).assign(**{"Dice SD": np.nan, "Jaccard SD": np.nan}))
    text = drawn("bars", ablation(), rows)
    assert "Rule guidednet" in text and "whiskers" not in text


def test_panels_of_several_methods_are_named_as_their_rows(project):
    spec = ablation()
    spec["variants"]["both"]["base"] = "off"
    spec["variants"]["low"]["base"] = "elsewhere"
    rows = write_rows({"high": 70.0, "base": 80.0, "off": 75.5, "low": 81.25, "both": 60.0})
    text = drawn("bars", spec, rows)
    assert "BASE: weight" in text and "OFF: m, n" in text
    assert "elsewhere: weight" in text, "it is no row of the table, so it has no label"


def test_bars_of_a_rule_without_jaccard(project):
    rows = write_rows({"high": 70.0, "base": 80.0, "off": 75.5, "low": 81.25, "both": 60.0})
    for path in rows:
        finished_table.write_table(path, pd.read_csv(path).assign(Jaccard=np.nan))
    assert "Jaccard" not in drawn("bars", ablation(), rows)


# --- the 3D view: axes of a scan run to the patient's left, back and feet ---------------------------------------------


def ball(radius_mm: float, spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> Scan:
    sides = [int(2 * radius_mm / step) + 8 for step in spacing]
    grid = np.stack(np.meshgrid(*map(np.arange, sides), indexing="ij"), -1) - (np.array(sides) - 1) / 2
    return Scan((np.linalg.norm(grid * spacing, axis=-1) <= radius_mm).astype(np.uint8), spacing)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.8, 0.8, 3.0)])
def test_a_ball_is_a_disc_of_its_size_lit_from_the_upper_left(spacing):
    scan = ball(20.0, spacing)
    camera = aim([scan], 120)
    picture = render(scan, {1: "#ffffff"}, camera)
    area = float(picture[..., 3].sum()) * camera.pixel**2
    assert area == pytest.approx(np.pi * 20**2, rel=0.04)
    rows, columns = np.nonzero(picture[..., 3] > 0.5)
    assert np.ptp(rows) == pytest.approx(np.ptp(columns), rel=0.06)
    middle, off = np.array(picture.shape[:2]) // 2, int(10 / camera.pixel)
    upper_left, lower_right = picture[tuple(middle - off)], picture[tuple(middle + off)]
    assert upper_left[0] > lower_right[0] + 0.2


def two(near: tuple[slice, slice, slice], far: tuple[slice, slice, slice]) -> Scan:
    labels = np.zeros((40, 40, 40), np.uint8)
    labels[far], labels[near] = 1, 2
    return Scan(labels, (1.0, 1.0, 1.0))


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_what_lies_in_front_hides_what_lies_behind(order):
    scan = two(np.s_[4:36, 2:6, 4:36], np.s_[10:30, 30:36, 10:30])
    colours = {1: "#ff0000", 2: "#0000ff"}
    picture = render(scan, {organ: colours[organ] for organ in order}, aim([scan], 100))
    red, _, blue, opacity = picture[opacity_mask(picture)].mean(0)
    assert blue > 3 * red and opacity > 0.9
    hidden = picture[picture.shape[0] // 2, picture.shape[1] // 2]
    assert hidden[2] > 2 * hidden[0]


def opacity_mask(picture: np.ndarray) -> np.ndarray:
    return picture[..., 3] > 0.5


def test_the_patients_left_is_on_the_right_and_the_head_is_above():
    scan = two(np.s_[28:34, 16:22, 17:23], np.s_[17:23, 16:22, 4:10])  # blue: left; red: head
    picture = render(scan, {1: "#ff0000", 2: "#0000ff"}, aim([scan], 100))
    red, blue = (np.argwhere(opacity_mask(picture) & (picture[..., a] > picture[..., b])) for a, b in ((0, 2), (2, 0)))
    assert blue[:, 1].mean() > red[:, 1].mean()
    assert red[:, 0].mean() < blue[:, 0].mean()


def test_the_camera_stands_left_of_the_front_and_keeps_lengths():
    camera = aim([ball(10.0)], 50)
    np.testing.assert_allclose(camera.turn @ camera.turn.T, np.eye(3), atol=1e-12)
    ahead = camera.turn[2]
    assert ahead[1] > 0.9 and ahead[0] < 0 < ahead[2]  # to the back, from the left, from above


def test_thin_organs_do_not_vanish_and_every_mark_is_in_the_frame():
    labels = np.zeros((50, 30, 40), np.uint8)
    labels[2:48, 15, 20] = 1  # a thread along the patient's width
    scan = Scan(labels, (1.0, 1.0, 1.0))
    picture = render(scan, {1: "#00ff00"}, aim([scan], 100))
    columns = np.flatnonzero((picture[..., 3] > 0.3).any(0))
    assert np.ptp(columns) > 0.75 * picture.shape[1]
    assert columns[0] > 0 and columns[-1] < picture.shape[1] - 1


def test_a_camera_is_shared_by_all_label_maps():
    small, large = np.zeros((60, 60, 60), np.uint8), np.zeros((60, 60, 60), np.uint8)
    small[25:35, 25:35, 25:35], large[5:55, 5:55, 5:55] = 1, 1
    scans = [Scan(array, (1.0, 1.0, 1.0)) for array in (small, large)]
    camera = aim(scans, 80)
    areas = [float(render(scan, {1: "#ffffff"}, camera)[..., 3].sum()) for scan in scans]
    assert areas[1] / areas[0] == pytest.approx(25, rel=0.15)


def test_a_png_is_as_large_as_it_says(project, capfd):
    out = FOLDER / f"case_{CASES[2]}.png"
    figure(tabulation(), [], out)
    inches = [float(number) for number in re.findall(r"[\d.]+(?= x | inches)", capfd.readouterr().err)]
    assert Image.open(out).size == pytest.approx([200 * side for side in inches], abs=11)


# --- the rule ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def workflow(tmp_path_factory):
    content = params_yaml.content()
    return project_folder.new(tmp_path_factory.mktemp("workflow"), content)


def plan(folder: Path, target: str) -> subprocess.CompletedProcess:
    return warm.snakemake(folder, ["--cores", "1", "-n", target])


def test_a_figure_is_planned_from_finished_runs(workflow):
    result = plan(workflow, "results/demo/figures/case_phantom-1.a_b.svg")
    assert result.returncode == 0, result.stderr
    counts = dict(re.findall(r"^(\w+) +(\d+)$", result.stdout + result.stderr, re.M))
    assert counts["figure"] == "1" and counts["evaluate"] == counts["train"] == "6"
    assert "table" not in counts


def test_bars_of_a_table_without_variants_are_refused_before_anything_runs(workflow):
    result = plan(workflow, "results/demo/figures/bars.pdf")
    assert result.returncode != 0
    assert "table demo has no row that is a variant" in result.stdout + result.stderr
    assert "Traceback" not in result.stderr


def test_the_paired_plot_says_what_its_colours_and_dashes_mean():
    one, other = (gather("sound", [finished_table.score_table(name)], ["Rod", "Box"]) for name in ("mt", "sup_only"))
    (legend,) = draw_pairs(pair(one, other), ["MT", "Sup only"], "toy").legends
    looks = {text.get_text(): line for text, line in zip(legend.get_texts(), legend.get_lines(), strict=True)}
    assert list(looks) == ["MT better", "MT worse", "equal"]
    assert [line.get_linestyle() for line in looks.values()] == ["-", "--", ":"]
