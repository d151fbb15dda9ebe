"""Claims in the printed tables: probabilities worked by hand, the rows compared, and what our tables measure."""

import io
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from support import ROOT, finished_table

from semiseg.base.errors import UserError
from semiseg.base.files import write_text
from semiseg.cli.main import main
from semiseg.jobs.record import write_record
from semiseg.papers.check.prints import Print, read
from semiseg.papers.outperformance import between_runs, measured, model, page
from semiseg.papers.outperformance.claims import claims
from semiseg.papers.outperformance.command import show_claims
from semiseg.papers.outperformance.markdown_page import claims_markdown

PAPERS = ("crln", "dvcl", "guidednet", "plbopt", "skcdf")


@pytest.fixture(scope="module")
def everything() -> list[Print]:
    return [one for paper in PAPERS for one in read(paper)]


@pytest.fixture(scope="module")
def found(everything):
    return claims(everything)[0]


def claim(found, paper, table, column, row):
    chosen = [one for one in found if (one.first.paper, one.first.table, one.first.column) == (paper, table, column)]
    (only,) = [one for one in chosen if one.first.row == row]
    return only


# Student's t has closed forms for one, two and three degrees of freedom:
# F1(x) = 1/2 + atan(x) / pi;  F2(x) = 1/2 + x / (2 sqrt(2 + x^2));
# F3(x) = 1/2 + (y / (1 + y^2) + atan(y)) / pi with y = x / sqrt(3).
@pytest.mark.parametrize(
    ("margin", "first", "second", "r", "n", "by_hand"),
    [
        # s^2 = 1 + 1 - 1 = 1, x = -sqrt(2): 1/2 - 0.955317 / pi = 1/2 - 0.304087
        (1.0, 1.0, 1.0, 0.5, 2, 0.195913),
        # s^2 = 4 + 4 - 4 = 4, x = -sqrt(3) 2 / 2 = -1.732051: 1/2 - 1.732051 / (2 sqrt(5)) = 1/2 - 0.387298
        (2.0, 2.0, 2.0, 0.5, 3, 0.112702),
        # s^2 = 9 + 16 - 0 = 25, x = -sqrt(3) 2.5 / 5 = -0.866025: 1/2 - 0.866025 / (2 sqrt(2.75)) = 1/2 - 0.261116
        (2.5, 3.0, 4.0, 0.0, 3, 0.238884),
        # s^2 = 1, x = -2 * 0.866025 = -sqrt(3), y = -1: 1/2 - (1/2 + pi / 4) / pi = 1/2 - 0.159155 - 1/4
        (math.sqrt(3) / 2, 1.0, 1.0, 0.5, 4, 0.090845),
        # s^2 = 4 + 9 - 2 * 0.9 * 6 = 2.2, x = -sqrt(3) / 1.483240 = -1.167749; x^2 = 1.363638
        # 1/2 - 1.167749 / (2 * 1.834022) = 1/2 - 0.318357
        (1.0, 2.0, 3.0, 0.9, 3, 0.181643),
    ],
)
def test_the_probability_is_that_worked_by_hand(margin, first, second, r, n, by_hand):
    assert model.chance(margin, first, second, r, n) == pytest.approx(by_hand, abs=2e-6)


def test_the_printed_claim_of_skcdf_by_hand(found):
    # 64.27 +- 1.36 against 60.88 +- 0.7, three runs, r = 0. Sample variances are 3/2 of the printed ones:
    # s^2 = 1.5 (1.8496 + 0.49) = 3.5094, x = -sqrt(3) 3.39 / 1.873339 = -3.134352, x^2 = 9.824161
    # 1/2 - 3.134352 / (2 sqrt(11.824161)) = 1/2 - 0.455756
    one = claim(found, "skcdf", "1", "Dice", "SKCDF")
    assert (one.second.row, str(one.margin), one.cases) == ("GenericSSL", "3.39", 6)
    assert one.over_runs() == pytest.approx(0.044244, abs=2e-6)
    assert one.approximated == 2  # a spread over runs is none over cases


def test_without_spread_or_margin_nothing_is_left_to_chance_or_all():
    assert model.chance(0.5, 1.0, 1.0, 1.0, 5) == 0.0
    assert model.chance(0.0, 1.0, 1.0, 1.0, 5) == 0.5
    assert model.chance(0.0, 1.0, 2.0, 0.0, 5) == pytest.approx(0.5)


def test_it_is_the_one_sided_p_of_a_paired_t_test():
    from scipy.stats import ttest_rel

    one, other = np.random.default_rng(1).normal((70, 68), 3, size=(9, 2)).T
    r = np.corrcoef(one, other)[0, 1]
    ours = model.chance(one.mean() - other.mean(), one.std(ddof=1), other.std(ddof=1), r, 9)
    assert ours == pytest.approx(ttest_rel(one, other, alternative="greater").pvalue)


def test_a_spread_of_bootstrap_means_gives_that_of_cases():
    assert model.over_cases(0.38, "bootstrap", 20) == pytest.approx(0.38 * math.sqrt(20) * math.sqrt(20 / 19))
    assert model.over_cases(2.0, "cases", 5) == pytest.approx(2.0 * math.sqrt(5 / 4))
    assert model.over_cases(2.0, "runs", 5) is None and model.over_cases(2.0, "unstated", 5) is None


def test_what_print_does_not_give_is_approximated_from_the_mean():
    percent, distance = (model.factors()[kind] for kind in ("percent", "distance"))
    assert model.approximate("Dice", 50.0, 4) == pytest.approx(percent * 50 * math.sqrt(4 / 3))
    assert model.approximate("Dice", 100.0, 4) == 0.0
    assert model.approximate("ASD", 3.0, 4) == pytest.approx(distance * 3 * math.sqrt(4 / 3))
    assert 0.1 < percent < 0.15 and 0.4 < distance < 0.6


# which rows are compared


def test_own_rows_are_compared_with_the_second_of_their_part(found):
    last, best = (claim(found, "crln", "1", "Dice", f"CRLN ({kind})") for kind in ("last", "best"))
    assert (last.second.row, best.second.row) == ("RCPS", "MLRPL")  # each among the rows of its checkpoint
    assert claim(found, "crln", "1", "ASD", "CRLN (last)").second.row == "CAC4SSL"  # lower is better
    assert claim(found, "guidednet", "3", "Dice", "KT-CPS + 3D-CGMM").second.row == "3D-CGMM"


def test_a_method_with_the_papers_own_is_compared_with_itself_alone(found):
    pairs = {(one.first.row, one.second.row) for one in found if (one.first.paper, one.first.table) == ("plbopt", "8")}
    assert ("URPC + PLBOpt", "URPC") in pairs and ("DHC + PLBOpt", "DHC") in pairs
    assert all(first == f"{second} + PLBOpt" for first, second in pairs)


def test_supervised_rows_and_equal_numbers_make_no_claim(everything, found):
    assert not any(one.second.supervised for one in found)
    others = claims(everything)[1]
    assert all(one.margin > 0 for one in found) and all(one.margin <= 0 for one in others)
    assert [one.second.value for one in others if one.margin == 0] == ["1.94", "1.46"]


def test_a_paper_that_does_not_describe_its_test_cases_gets_no_probability(found, monkeypatch):
    one = claim(found, "skcdf", "1", "Dice", "SKCDF")
    model.factors()  # kept, because they rest on the counts as well
    monkeypatch.setattr(model, "data", lambda name: [])
    (unknown,), _ = claims([one.first, one.second])
    assert (unknown.cases, unknown.over_cases(0.5), unknown.over_runs()) == (None, None, None)


# spread between runs


def test_one_computation_in_two_rows_shows_the_spread_between_runs(everything):
    section = between_runs.same_computation(everything)
    dice, asd = section.lines
    assert dice[2:6] == ("D -> H -> H 60.90", "H -> H -> D 62.40", "1.50", "1.06")  # 1.50 / sqrt(2)
    assert asd[2:6] == ("D -> H -> H 2.67", "H -> H -> D 1.34", "1.33", "0.94")
    assert "132 of them in two papers: 83 equal, 27 rounded, 22 cut off, 0 different." in section.summary


def test_a_number_that_two_papers_print_otherwise_is_a_second_run(everything):
    changed = [
        replace(one, value="81.10")
        if (one.paper, one.table, one.row, one.column, one.unlabelled) == ("dvcl", "1", "CLD", "Dice", 42)
        else one
        for one in everything
    ]
    lines = between_runs.same_computation(changed).lines
    assert [line[-1] for line in lines].count("one method in two papers") == 1
    assert any("CLD 81.10" in line for line in lines)


def test_margins_below_the_difference_of_two_runs_are_told(everything, found):
    section = between_runs.small_margins(everything, found)
    assert section.summary.startswith("5 claims: the margin of 4 does not exceed")
    assert [line[-1] for line in section.lines if "SKCDF 64.27" in line] == ["above it"]


# correlations of our own tables


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with a record of a table and its values per case: five cases, two rows of known correlation."""
    monkeypatch.chdir(tmp_path)
    spec = finished_table.tabulation() | {
        "dataset": "openkbp",
        "table": "toy",
        "rows": ["mt", "cps"],
        "reference": "mt",
    }
    spec |= {"names": {"mt": ["MT"], "cps": ["CPS"]}, "hyper": {"mt": {}, "cps": {}}, "seeds": [7]}
    spec |= {"runs": {"mt": ["a"], "cps": ["b"]}, "metrics": ["dice"]}
    values = {"mt": (70, 71, 75, 80), "cps": (60, 64, 63, 71)}
    lines = [
        f"{row},7,{convention},case{number},Box,{value}\n"
        for row, own in values.items()
        for convention in ("published", "sound")
        for number, value in enumerate(own)
    ]
    write_text(Path("results/toy.csv"), "method\n")
    write_text(Path("results/toy.cases.csv"), "method,seed,convention,case,organ,Dice\n" + "".join(lines))
    outputs = [Path("results/toy.csv"), Path("results/toy.cases.csv")]
    write_record("table", spec, {}, [], outputs, {})
    return tmp_path


def test_a_correlation_is_measured_in_a_table_of_real_scans(project):
    (table,) = measured.measure(Path())
    r = np.corrcoef((70, 71, 75, 80), (60, 64, 63, 71))[0, 1]
    assert measured.correlation(("cps", "mt"), "Dice", [table]) == (pytest.approx(r), "toy")
    assert measured.correlation(("cps", "dhc"), "Dice", [table]) is None
    assert (table.dataset, table.cases) == ("openkbp", 4)
    (section,) = [one for one in page.sections(["skcdf"], Path()) if one.title == "Measured correlations"]
    assert section.lines == (("toy", "openkbp", "4", "Dice", "1", f"{r:.2f}", f"{r:.2f} to {r:.2f}"),)


def test_values_that_were_changed_measure_nothing(project, capfd):
    path = Path("results/toy.cases.csv")
    path.write_text(path.read_text().replace(",80", ",81"))
    with pytest.raises(UserError, match=r"results/toy\.cases\.csv is not the file that the table's record names"):
        measured.measure(Path())
    assert main(["published", "claims", "skcdf"]) == 2
    assert "`semiseg audit results/toy.csv`" in capfd.readouterr().err


def test_rows_that_never_differ_have_no_correlation():
    same = pd.Series([0.0, 0.0, 0.0, 0.0])
    assert measured._pearson(same, pd.Series([1.0, 2.0, 3.0, 4.0])) is None
    assert measured._pearson(pd.Series([1.0, 2.0]), pd.Series([1.0, 2.0])) is None


# the page and the verb


def test_the_page_is_up_to_date():
    written = (ROOT / "docs/claims.md").read_text(encoding="utf-8")
    assert written == claims_markdown(page.sections(PAPERS, ROOT)), (
        "run `semiseg published claims --write docs/claims.md`"
    )


def test_the_verb_prints_or_writes(tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["published", "claims", "skcdf"]) == 0
    shown = capfd.readouterr().out
    assert "4 claims. Probability of being false above 5%: 2 at r = 0.5 and 1 at r = 0.9 of 4" in shown
    assert main(["published", "claims", "--write", "claims.md"]) == 0
    assert Path("claims.md").read_text(encoding="utf-8").startswith("# Printed claims")
    assert main(["published", "claims", "skdf"]) == 2
    assert "unknown paper 'skdf'" in capfd.readouterr().err


def test_the_first_section_counts_the_claims_of_each_table(found):
    first, second = page.sections(PAPERS, ROOT)[:2]
    assert first.title == "Claims by table" and "137 claims" in first.summary and "not" in first.summary
    *tables, every = [[*line[:2], *map(int, line[2:])] for line in first.lines]
    assert every == ["all", "", *(sum(line[place] for line in tables) for place in (2, 3, 4))]
    own = [one.over_cases(0.5) for one in found if (one.first.paper, one.first.table) == ("crln", "2")]
    assert ["crln", "2", len(own), sum(chance <= 0.05 for chance in own)] in [line[:4] for line in tables]
    assert f"{every[2] - every[3]} at r = 0.5 and {every[2] - every[4]} at r = 0.9 of 137" in second.summary
    text = (ROOT / "docs/claims.md").read_text(encoding="utf-8")
    assert text.index("## Claims by table") < text.index("## The model") < text.index("## Claims\n")


@pytest.mark.parametrize("width", [80, 100, 120, 180])
def test_no_word_is_broken_on_the_terminal(width):
    shown = io.StringIO()
    show_claims(console=Console(file=shown, width=width))
    texts = shown.getvalue()
    known = {
        word
        for one in page.sections(PAPERS, Path())
        for line in [one.heads, *one.lines]
        for word in " ".join(line).split()
    }
    tables = [line for line in texts.splitlines() if line.startswith("  ")]
    assert tables and {word for line in tables for word in line.split()} <= known
    assert texts.splitlines()[-1] == "The model behind these numbers: docs/claims.md"
    for line in page.CLAIMS_LEGEND:
        assert line in [shown.rstrip() for shown in texts.splitlines()]
