"""A table's values per case: as text, read again, and refused where it is damaged."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.finished_table import score_table

from semiseg.base.errors import UserError
from semiseg.base.metric_names import METRICS
from semiseg.scoring import case_table
from semiseg.scoring.averages import gather
from semiseg.scoring.intervals import confidence
from semiseg.scoring.score import score

RULES = {"published": "dhc", "sound": "sound"}


def text(metrics=tuple(METRICS)) -> str:
    runs = [score_table("mt"), score_table("sup_only")]
    both = {convention: gather(rule, runs, ["Rod", "Box"]) for convention, rule in RULES.items()}
    return case_table.as_csv({"mt": both}, (7, 8), metrics)


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "toy.cases.csv"
    path.write_text(text(), encoding="utf-8")
    return path


def test_each_run_case_and_organ_has_a_line_under_either_convention():
    lines = text(("dice", "jaccard")).splitlines()
    assert lines[0] == "method,seed,convention,case,organ,Dice,Jaccard"
    assert len(lines) == 1 + 2 * 2 * 6 * 2
    assert lines[1] == "mt,7,published,case0,Rod,1.0000,"  # absent, and no Jaccard in this rule
    assert lines[2].startswith("mt,7,published,case0,Box,")
    assert "mt,8,sound,case0,Rod,," in lines


def test_the_means_of_the_lines_are_the_numbers_of_the_table():
    frame = pd.read_csv(io.StringIO(text()))
    for convention, rule in RULES.items():
        summary = score(rule, [score_table("mt"), score_table("sup_only")])
        lines = frame[frame["convention"] == convention]
        for metric in ("dice", "asd"):
            means = lines.groupby(["seed", "organ"])[METRICS[metric]].mean().groupby("seed").mean()
            assert means.mean() == pytest.approx(summary.means[metric], abs=1e-4)


def test_scores_come_back_as_they_were(file):
    frame = case_table.read(file)
    for convention, rule in RULES.items():
        back = case_table.scores_of(frame, "mt", convention, rule)
        whole = gather(rule, [score_table("mt"), score_table("sup_only")], ["Rod", "Box"])
        assert (back.cases, back.organs, back.rule) == (whole.cases, whole.organs, whole.rule)
        np.testing.assert_allclose(back.values, whole.values, atol=5.1e-5)
        pd.testing.assert_frame_equal(confidence(back), confidence(whole), atol=1e-3)


def test_a_row_with_another_number_of_runs_than_seeds_is_refused():
    scores = gather("sound", [score_table("mt")], ["Rod", "Box"])
    with pytest.raises(UserError, match="1 runs have scores, expected one of each of the 2 seeds"):
        case_table.as_csv({"mt": {"sound": scores}}, (1, 2), ("dice",))


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("method,", "row,", r"lacks the columns method: build it with `snakemake --force .*toy.csv`"),
        ("mt,8,sound", "mt,8,strict", "names the conventions strict, expected published and sound"),
        ("mt,8,sound,case0,Rod,", "mt,8,sound,case0,Box,", "more than one line for a case and organ of a run"),
        ("1.0000", "one", "is no list of values per case"),
    ],
)
def test_a_damaged_file_is_refused_in_a_sentence(file, old, new, sentence):
    content = file.read_text(encoding="utf-8")
    assert old in content
    file.write_text(content.replace(old, new), encoding="utf-8")
    with pytest.raises(UserError, match=sentence):
        case_table.read(file)


def test_a_missing_file_comes_with_the_command_that_makes_it(tmp_path):
    with pytest.raises(UserError, match=r"toy.cases.csv is missing, which holds .*`snakemake --force .*toy.csv`"):
        case_table.read(tmp_path / "toy.cases.csv")
