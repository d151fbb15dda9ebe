"""What the site shows of single test cases: their scores, worst first, and their scans."""

import base64
import gzip
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support import finished_project

from semiseg.cli.main import main
from semiseg.jobs.record import read_record
from semiseg.params.table_spec import TableSpec, read_spec
from semiseg.paths import SITE, record_path
from semiseg.report.pictures import Scan
from semiseg.report.site import volumes
from semiseg.report.site.cases import read_case_scores, worst_case
from semiseg.scoring.cases import read_cases


def build() -> None:
    assert main(finished_project.arguments(finished_project.graph().maker(SITE))) == 0


def table_spec() -> TableSpec:
    where = record_path(finished_project.TABLE)
    return read_spec(TableSpec, read_record(where)["params"], where)


def page(name: str) -> str:
    return Path("results/site", name).read_text(encoding="utf-8")


def test_cases_come_worst_first_with_the_numbers_of_their_score_tables(project):
    scores = read_case_scores(table_spec())["cps"]
    runs = [read_cases(Path(f"{finished_project.RUN}/cps/seed{seed}/cases.csv")) for seed in finished_project.SEEDS]
    by_hand = {}
    for run in runs:
        for line in run[run["grid"] == "native"].itertuples():
            both = line.truth_voxels + line.predicted_voxels
            by_hand.setdefault(line.case, []).append(200 * line.overlap_voxels / both)
    expected = {case: np.mean(values) for case, values in by_hand.items()}
    assert list(scores["sound"].values.index) == sorted(expected, key=expected.get)
    assert worst_case(scores) == min(expected, key=expected.get)
    assert scores["sound"].values["Dice"].to_dict() == pytest.approx(expected, abs=1e-4)
    per_run = {str(seed): {} for seed in finished_project.SEEDS}
    for case, values in by_hand.items():
        for seed, value in zip(per_run, values, strict=True):
            per_run[seed][case] = value
    for seed, values in per_run.items():
        assert scores["sound"].runs[seed].to_dict() == pytest.approx(values, abs=1e-4)
    assert list(scores["sound"].runs.index) == list(scores["sound"].values.index)
    assert (scores["published"].unit, scores["sound"].unit) == ("voxel", "mm")


def test_the_page_of_a_row_has_a_column_of_each_run(project):
    build()
    text = page("rows/tiny/cps.html")
    assert all(f"Dice, seed {seed}" in text for seed in finished_project.SEEDS)


def test_the_file_of_cases_gives_what_the_runs_give_and_serves_where_these_are_absent(project):
    spec = table_spec()
    from_runs = read_case_scores(spec)
    lines = [
        {"method": method, "seed": 1, "convention": convention, "case": case, "organ": "LA", **dict(row)}
        for method, both in from_runs.items()
        for convention, scores in both.items()
        for case, row in scores.values.iterrows()
    ]
    pd.DataFrame(lines).to_csv("results/tiny.cases.csv", index=False)
    for method in spec.runs:
        for convention, scores in read_case_scores(spec)[method].items():
            pd.testing.assert_frame_equal(scores.values, from_runs[method][convention].values, check_names=False)
    Path("results/tiny.cases.csv").unlink()
    Path(f"{finished_project.RUN}/cps/seed2/cases.csv").unlink()
    assert read_case_scores(spec)["cps"] == {}
    build()
    assert "The scores of single cases were not on the machine" in page("rows/tiny/cps.html")


def test_a_damaged_file_of_cases_is_named_and_the_site_is_built(project):
    path = Path("results/tiny.cases.csv")
    path.write_text(path.read_text(encoding="utf-8") + '"', encoding="utf-8")
    build()
    assert "cannot be read" in page("index.html")
    assert "results/tiny.cases.csv is no list of values per case" in page("tables/tiny.html")


def test_the_worst_case_is_that_of_dice_or_of_the_first_mean_in_any_order_of_metrics(project):
    spec = table_spec()
    path = Path("results/tiny.cases.csv")
    lines = pd.read_csv(path, keep_default_na=False, na_values={"ASD": [""], "Dice": [""]})
    low, high = sorted(set(lines["case"]))
    lines["Dice"] = lines["case"].map({low: 10.0, high: 90.0})
    lines["ASD"] = lines["case"].map({low: 1.0, high: 7.0})
    lines.to_csv(path, index=False)
    both = read_case_scores(spec.model_copy(update={"metrics": ("asd", "dice")}))["cps"]
    assert worst_case(both) == low and list(both["sound"].values) == ["ASD", "Dice"]
    lines.drop(columns=["Dice", "Jaccard"]).to_csv(path, index=False)
    distance = read_case_scores(spec.model_copy(update={"metrics": ("asd",)}))["cps"]
    assert worst_case(distance) == high and list(distance["sound"].values) == ["ASD"]


def test_a_prediction_of_another_shape_is_named(project, monkeypatch):
    read_whole = volumes.read_nifti

    def cut(path):
        whole = read_whole(path)
        return replace(whole, array=whole.array[1:])

    monkeypatch.setattr(volumes, "read_nifti", cut)
    build()
    assert "has another shape than the prepared scan, so it is not shown" in page("rows/tiny/cps.html")
    assert "&#34;: true" not in page("rows/tiny/cps.html"), "no case offers its prediction"
    assert not list(Path("results/site/volumes").rglob("prediction.*"))


def test_each_case_has_a_folder_of_its_own_so_that_no_two_scripts_have_one_name(project):
    jobs = volumes.case_jobs(table_spec(), {}, Path("site"))
    assert [job.folder for job in jobs] == [Path("site/volumes/tiny") / job.case for job in jobs] and len(jobs) == 2
    written = volumes.write_case(jobs[0])
    assert {path.name for path in written.files} == {"scan.js", "prediction.cps.js"}
    assert written.predictions == ("cps",) and written.unfit == ()


def unpacked(text: str) -> np.ndarray:
    return np.frombuffer(gzip.decompress(base64.b64decode(text)), np.uint8)


def test_scripts_hold_the_voxels_as_they_are():
    generator = np.random.default_rng(0)
    image, truth, predicted = (
        Scan(array, (1.0, 2.0, 3.0))
        for array in (generator.random((4, 3, 2)), generator.integers(0, 3, (4, 3, 2)), np.ones((4, 3, 2)))
    )
    texts = volumes.scripts("one", image, truth, {"cps": predicted})
    contents = {name: json.loads(re.fullmatch(r"semisegVolume\((.*)\);\n", text)[1]) for name, text in texts.items()}
    assert contents["scan"]["size"] == [4, 3, 2] and contents["scan"]["spacing"] == [1, 2, 3]
    for name, key, array in (("scan", "truth", truth.array), ("prediction.cps", "labels", predicted.array)):
        voxels = unpacked(contents[name][key])
        np.testing.assert_array_equal(voxels.reshape((4, 3, 2), order="F"), array)
    grey = unpacked(contents["scan"]["scan"]).reshape((4, 3, 2), order="F")
    assert grey.min() == 0 and grey.max() == 255
    assert np.unravel_index(grey.argmax(), grey.shape) == np.unravel_index(image.array.argmax(), grey.shape)


def test_a_large_case_is_shown_coarser_and_never_above_the_limit(monkeypatch):
    monkeypatch.setattr(volumes, "MOST_BYTES", 20_000)
    noise = np.random.default_rng(0).random((40, 40, 40))
    scan, labels = Scan(noise, (1.0, 1.0, 2.0)), Scan((noise > 0.5).astype(np.uint8), (1.0, 1.0, 2.0))
    texts = volumes.scripts("one", scan, labels, {"cps": labels})
    assert sum(map(len, texts.values())) <= 20_000
    first = json.loads(texts["scan"].removeprefix("semisegVolume(").removesuffix(");\n"))
    assert first["step"] == 2 and first["spacing"] == [2, 2, 4] and first["size"] == [20, 20, 20]
