"""The papers' numbers: files in order, the reader's mistakes in one sentence, and what arithmetic finds."""

import subprocess
import sys
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest
from rich.console import Console
from support import ROOT

from semiseg import catalogue
from semiseg.base import sources
from semiseg.base.errors import UserError
from semiseg.cli.main import main
from semiseg.papers.check import claims, jaccard, means, numbers, page, repeats, sanity
from semiseg.papers.check.command import check
from semiseg.papers.check.prints import Print, data, of_tables, prints, read
from semiseg.papers.check.section import Section
from semiseg.papers.reading import HEADER, KEY, find, printed, read_file, read_paper

PAPERS = ("crln", "dvcl", "guidednet", "plbopt", "skcdf")
FILE = sources.PACKAGE / "published" / "guidednet.csv"
FIRST = "1,Sup only,42,0,flare22,Liv,94.21,,,,"  # the first line below the header, up to its note
MEAN = "1,Sup only,42,0,flare22,Dice,68.41,0.58,runs,,"


def small_paper(*lines: str, paper: str = "guidednet", folder: Path) -> list[Print]:
    path = folder / "small.csv"
    path.write_text("\n".join([",".join(HEADER), *lines]) + "\n", encoding="utf-8")
    return prints(read_file(path), paper)


@pytest.fixture(scope="module")
def everything() -> list[Print]:
    return [one for paper in PAPERS for one in read(paper)]


# the files


def test_every_number_of_the_tables_is_there(everything):
    assert catalogue.entries("published") == PAPERS
    shapes = {  # rows times columns of every table, by the papers
        "guidednet": {"1": 21 * 15, "2": 22 * 17, "3": 4 * 15, "4": 5 * 2},
        "dvcl": {"1": 29 * 15, "2": 30 * 17, "3": 28 * 9, "4": 30 * 15, "5": 5 * 2},
        "skcdf": {"1": 15 * 15, "2": 15 * 17, "3": 5 * 15, "4": 4 * 2, "5": 5 * 2},
        "plbopt": {"1": 14 * 15, "2": 14 * 17, "3": 14 * 15, "4": 14 * 17, "5": 10, "6": 10, "7": 12, "8": 72, "9": 8},
        "crln": {"1": 20 * 4, "2": 20 * 4, "3": 27 * 4, "4": 22 * 4, "5": 12 * 4, "6": 16, "7": 12, "8": 12},
    }
    for paper, tables in shapes.items():
        own = Counter(one.table for one in of_tables(everything) if one.paper == paper)
        assert own == tables, paper


def test_numbers_come_as_text_and_as_floats():
    row = find("guidednet", "1", 42, 378).query("row == 'GuidedNet' and column == 'Dice'").iloc[0]
    assert (row["value"], row["value_text"], row["spread"], row["spread_text"]) == (83.64, "83.64", 0.42, "0.42")
    assert (row["labelled"], row["unlabelled"], row["spread_over"]) == (42, 378, "runs")
    trailing = find("dvcl", "1", 42, 42).query("row == 'MT' and column == 'Dice'").iloc[0]
    assert trailing["value_text"] == "77.22"
    assert find("crln", "1").query("row == 'CRLN (last)' and column == '95HD'").iloc[0]["value_text"] == "4.60"


def test_a_block_brings_the_supervised_row_of_its_cases():
    block = printed("guidednet", "1", 42, 378)
    assert list(block.columns[:7]) == ["row", "column", "value", "spread", "spread_over", "flag", "note"]
    assert set(block["row"]) >= {"Sup only", "GuidedNet"} and len(block) == 11 * 15
    assert not block.duplicated(["row", "column"]).any()
    assert "V-Net (Fully)" in set(printed("plbopt", "3", 4, 16)["row"])
    assert "Sup only" in set(printed("guidednet", "2", 90, 90)["row"])
    assert block.query("row == 'GuidedNet' and column == 'Dice'")["value"].item() == 83.64


def test_counts_may_be_left_out_where_a_table_has_one_block():
    assert len(printed("dvcl", "5", None, None)) == 10
    with pytest.raises(UserError, match="table 1 has several blocks: name one of 42:0 flare22; 42:42 flare22"):
        printed("guidednet", "1", None, None)


def test_what_is_not_there_lists_what_is():
    with pytest.raises(UserError, match="unknown paper 'guided'; known: crln, dvcl"):
        read_paper("guided")
    with pytest.raises(UserError, match=r"guidednet has no table '9' .* it has: 1, 2, 3, 4, text"):
        find("guidednet", "9")
    with pytest.raises(UserError, match=r"table 2: no block with labelled 42, .* it has: 18:0 amos22; 18:162 amos22"):
        find("guidednet", "2", 42)
    with pytest.raises(UserError, match=r"no block with .* dataset btcv"):
        find("guidednet", "2", dataset="btcv")


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (",".join(HEADER), ",".join(HEADER).upper(), r"line 1: expected the header table,row,"),
        (FIRST, f"{MEAN}\n{FIRST}", r"line 16: table '1', row 'Sup only', .* stands in line 2 already: keep one"),
        (FIRST, FIRST.replace(",Liv,", ",Lvr,"), "line 2: unknown column 'Lvr': write one of Liv, "),
        (MEAN, MEAN.replace(",Dice,", ",dice,"), "line 15: unknown column 'dice': write 'Dice'"),
        (FIRST, FIRST.replace("flare22", "flare"), "line 2: unknown dataset 'flare': write one of amos22, "),
        (FIRST, FIRST.replace("94.21,,,", "94.21,,,guess"), "line 2: unknown flag 'guess': write one of reconstructed"),
        (FIRST, FIRST.replace("94.21", "94.2l"), "line 2: value '94.2l' is not a number: write digits"),
        (MEAN, MEAN.replace("0.58", "±0.58"), "line 15: spread '±0.58' is not a number"),
        (FIRST, FIRST.replace("42,0", "42,none"), "line 2: unlabelled is 'none', expected a whole number or nothing"),
        (FIRST, FIRST.replace("94.21", ""), "line 2: an empty value needs the flag lost or blank"),
        (MEAN, MEAN + "\n" + FIRST[:-1].replace("Sup only", "A") + "lost,gone", "line 16: .*only an empty one may"),
        (MEAN, MEAN[:-1] + "doubtful,", "line 15: the flag doubtful has no note: say how"),
        (MEAN, MEAN.replace("runs", ""), "line 15: spread and spread_over stand together"),
        (MEAN, MEAN.replace("runs", "seeds"), "line 15: unknown spread_over 'seeds': write one of runs, bootstrap"),
        (FIRST, FIRST.replace("Sup only", ""), "line 2: table or row is empty: name both"),
        (MEAN, MEAN + ",more", "line 15: 12 fields, expected 11: quote texts that contain a comma"),
        (FIRST, FIRST.replace("Sup only", '"Sup" only'), "line 2: not CSV .*: check the quotes"),
    ],
)
def test_a_damaged_file_is_told_with_line_and_cure(tmp_path, old, new, fault):
    text = FILE.read_text(encoding="utf-8")
    assert text.count(old) >= 1
    path = tmp_path / "guidednet.csv"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(UserError, match=fault) as raised:
        read_file(path)
    assert str(raised.value).startswith(str(path))


def test_a_file_that_cannot_be_read_is_told(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        read_file(tmp_path / "none.csv")
    (tmp_path / "latin.csv").write_bytes("table,row\n1,Müller".encode("latin-1"))
    with pytest.raises(UserError, match=r"latin.csv is not UTF-8 .*: save it as UTF-8"):
        read_file(tmp_path / "latin.csv")
    (tmp_path / "empty.csv").touch()
    with pytest.raises(UserError, match="line 1: expected the header"):
        read_file(tmp_path / "empty.csv")


# arithmetic, on small frames


def test_two_prints_of_a_number():
    assert [numbers.likeness("20.2", other) for other in ("20.20", "20.24", "20.26", "20.31", "20.1")] == [
        "equal",
        "rounded",
        "cut off",
        "different",
        "different",
    ]
    assert numbers.likeness("20.26", "20.2") == "cut off"
    assert (numbers.step("83.10"), numbers.step("5")) == (Decimal("0.01"), 1)
    assert numbers.gain("Dice", "81.5", "80") == Decimal("1.5") == numbers.gain("ASD", "8.5", "10")


def test_a_mean_agrees_within_rounding_only(tmp_path):
    def rows(name: str, mean: str) -> list[str]:
        organs = [f"9,{name},6,6,mmwhs,{organ},80.00,,,," for organ in ("MYO", "LA", "LV", "RA", "RV", "AA", "PA")]
        return [*organs, f"9,{name},6,6,mmwhs,Dice,{mean},,,,"]

    small = small_paper(
        *rows("exact", "80.00"), *rows("rounded", "80.01"), *rows("off", "80.02"), *rows("far", "79"), folder=tmp_path
    )
    section = means.check(small)
    assert section.summary == "4 rows: 2 agree, 2 differ."
    assert [line[2:] for line in section.lines] == [
        ("far", "79", "80.000", "+1.000"),
        ("off", "80.02", "80.000", "-0.020"),
    ]
    part = [one for one in small if one.row == "far" and one.column != "PA"]
    assert means.check(part).summary.startswith("0 rows")  # without all organs there is nothing to compare


def test_jaccard_bounds_are_those_of_jensen(tmp_path):
    low, high = jaccard.bounds(Decimal(80), Decimal(0))
    assert (float(low), high) == (pytest.approx(100 * 0.8 / 1.2), 80)
    low, high = jaccard.bounds(Decimal(100), Decimal(1))
    assert (float(low), high) == (pytest.approx(100 * 0.995 / 1.005), 100)
    assert jaccard.bounds(Decimal(0), Decimal(1)) == (0, Decimal("0.5"))

    def pair(name: str, dice: str, index: str) -> list[str]:
        return [f"1,{name},8,72,la,Dice,{dice},,,,", f"1,{name},8,72,la,Jaccard,{index},,,,"]

    small = small_paper(*pair("fits", "80.00", "66.67"), *pair("low", "80.00", "66.60"), folder=tmp_path)
    assert [line[2] for line in jaccard.check(small).lines] == ["low"]
    small = small_paper(*pair("fits", "80.00", "80.00"), *pair("high", "80.00", "80.02"), folder=tmp_path)
    assert [line[2] for line in jaccard.check(small).lines] == ["high"]


def test_the_same_row_in_two_papers_is_compared(tmp_path):
    one = small_paper("1,SASSNet,42,378,flare22,Dice,80.26,0.5,runs,,", folder=tmp_path)
    two = small_paper(
        "1,SASSnet,42,420,flare22,Dice,80.2,1.5,runs,,",
        "1,SASSnet,42,42,flare22,Dice,70.0,,,,",
        paper="dvcl",
        folder=tmp_path,
    )
    section = repeats.check(one + two)
    assert section.lines == (
        ("flare22", "42:378", "SASSNet", "Dice", "guidednet 1", "±0.5", "dvcl 1", "±1.5", ""),
        ("flare22", "42:378", "SASSNet", "Dice", "guidednet 1", "80.26", "dvcl 1", "80.2", "cut off"),
    )


def test_supervised_rows_are_one_row_wherever_they_stand(tmp_path):
    one = small_paper("2,Sup only,18,0,amos22,Dice,45.24,,,,", folder=tmp_path)
    two = small_paper("2,3D U-Net,18,162,amos22,Dice,45.25,,,,", paper="dvcl", folder=tmp_path)
    assert [line[-1] for line in repeats.check(one + two).lines] == [""]


def test_a_row_printed_twice_is_one_method(everything):
    (name,) = {one.method for one in everything if one.row.startswith("LG-ER")}
    assert name == "lger"


def test_equal_numbers_under_two_names_are_told_once_they_are_two(tmp_path):
    lines = [f"5,{row},8,72,la,{column},1.5,,,," for row in "AB" for column in ("ASD", "95HD")]
    assert repeats.twins(small_paper(*lines, folder=tmp_path)).summary == "Such pairs of rows: 1."
    assert (
        repeats.twins(small_paper(*lines[1:], folder=tmp_path)).summary == "Such pairs of rows: 0."
    )  # one shared column
    assert (
        repeats.twins(small_paper(*lines[:3], lines[3].replace("1.5", "1.6"), folder=tmp_path)).summary
        == "Such pairs of rows: 0."
    )


def test_distances_and_ranges(tmp_path):
    small = small_paper(
        "1,A,8,72,la,ASD,7.25,,,,",
        "1,A,8,72,la,95HD,1.25,,,,",
        "1,B,8,72,la,ASD,1.25,,,,",
        "1,B,8,72,la,95HD,107.25,,,,",
        "1,C,8,72,la,Dice,100.1,,,,",
        "1,D,8,72,la,Jaccard,-1,,,,",
        folder=tmp_path,
    )
    assert [line[2:] for line in sanity.distances(small).lines] == [
        ("C", "Dice 100.1", "outside its range"),
        ("A", "ASD 7.25, 95HD 1.25", "ASD is above 95HD"),
        ("D", "Jaccard -1", "outside its range"),
    ]


def test_counts_must_add_up_to_a_training_set(tmp_path):
    small = small_paper(
        "4,A,9,9,btcv,Dice,50,,,,",
        "4,A,2,12,btcv,Dice,50,,,,",
        "4,F,18,0,btcv,Dice,50,,,,",
        paper="dvcl",
        folder=tmp_path,
    )
    assert [line[1:4] for line in sanity.sizes(small).lines] == [("table 4, btcv 2:12", "14", "18")]


CLAIM = dict.fromkeys(("where", "text_row"), "") | {
    "paper": "crln",
    "labelled": "8",
    "unlabelled": "72",
    "dataset": "la",
    "table": "1",
}


def claim(kind: str, row: str, column: str, against: str, told: str = "") -> dict[str, str]:
    return {**CLAIM, "claim": kind, "row": row, "column": column, "against": against, "text_column": told}


def claimed(monkeypatch: pytest.MonkeyPatch, *own: dict[str, str]) -> None:
    monkeypatch.setattr(claims, "data", lambda name: list(own))


TABLE = [
    *(f"1,{row},8,72,la,Dice,{dice},,,," for row, dice in (("A", "80.0"), ("B", "82.0"), ("C", "82.0"))),
    *(f"1,{row},8,72,la,ASD,{asd},,,," for row, asd in (("A", "5.0"), ("B", "4.0"), ("C", "3.0"))),
]


def test_claims_of_order_follow_the_metric(tmp_path, monkeypatch):
    small = small_paper(*TABLE, paper="crln", folder=tmp_path)
    claimed(monkeypatch, claim("better", "B", "Dice;ASD", "*"), claim("not better", "C", "Dice;ASD", "A"))
    section = claims.orders(small)
    assert section.summary == "6 comparisons: 2 bear the text out, 4 do not."
    assert [line[3:] for line in section.lines] == [
        ("Dice", "B 82.0", "C 82.0", "equal"),
        ("ASD", "B 4.0", "C 3.0", "worse by 1.0"),
        ("Dice", "C 82.0", "A 80.0", "better by 2.0"),
        ("ASD", "C 3.0", "A 5.0", "better by 2.0"),
    ]
    claimed(monkeypatch, claim("better", "B", "Dice;ASD", "* - C"))
    assert claims.orders(small).lines == ()


@pytest.mark.parametrize(("told", "lines"), [("2.0", 0), ("2.1", 0), ("2.2", 1), ("-2.0", 1)])
def test_differences_of_the_text_agree_within_rounding(tmp_path, monkeypatch, told, lines):
    small = small_paper(*TABLE, f"text,B,8,72,la,asd reduction,{told},,,,", paper="crln", folder=tmp_path)
    claimed(monkeypatch, claim("by", "C", "ASD", "worst other", "asd reduction") | {"text_row": "B"})
    assert len(claims.values(small).lines) == lines
    best = small_paper(*TABLE, "text,B,8,72,la,asd reduction,1.0,,,,", paper="crln", folder=tmp_path)
    claimed(monkeypatch, claim("by", "C", "ASD", "best other", "asd reduction") | {"text_row": "B"})
    assert claims.values(best).lines == ()


def test_numbers_of_the_text_are_looked_up_in_the_tables(tmp_path, monkeypatch):
    claimed(monkeypatch)
    text = ["text,A,8,72,la,Dice,80,,,,", "text,B,8,72,la,Dice,28.0,,,,", "text,Z,8,72,la,Dice,10,,,,"]
    section = claims.values(small_paper(*TABLE, *text, paper="crln", folder=tmp_path))
    assert [line[2:] for line in section.lines] == [("B", "Dice", "28.0", "82.0", "table 1, la 8:72")]
    assert section.summary.endswith("Numbers of the text that no table has: 1.")


def test_a_claim_about_nothing_is_told(tmp_path, monkeypatch):
    small = small_paper(*TABLE, paper="crln", folder=tmp_path)
    claimed(monkeypatch, claim("better", "B", "Jaccard", "A"))
    with pytest.raises(UserError, match=r"names Jaccard of 'B' in crln, table 1, la 8:72, which .*crln.csv lacks"):
        claims.orders(small)
    claimed(monkeypatch, claim("by", "B", "Dice", "A", "dice gain"))
    with pytest.raises(UserError, match=r"names 'dice gain' of 'B', which table text of .*crln.csv lacks"):
        claims.values(small)


# the findings


def found(section: Section, *parts: str) -> bool:
    return any(all(part in line for part in parts) for line in section.lines)


def test_the_notes_name_rows_that_exist(everything):
    names = {(one.paper, one.table, one.row) for one in everything}
    anywhere = {(one.paper, one.row) for one in everything}
    for line in data("rows"):
        key = (line["paper"], line["table"], line["row"])
        assert key in names if line["table"] else (line["paper"], line["row"]) in anywhere, line
    described = {(line["paper"], line["dataset"]) for line in data("counts")}
    assert {(one.paper, one.dataset) for one in everything} == described
    assert {line["claim"] for line in data("claims")} == {"better", "not better", "by"}


def test_means_that_do_not_follow_from_their_organs(everything):
    section = means.check(everything)
    assert section.lines[0] == ("plbopt", "table 1, btcv 2:18", "DHC", "28.6", "25.362", "-3.238")
    assert found(section, "guidednet", "table 2, amos22 18:162", "MagicNet", "65.31", "66.176")
    assert found(section, "skcdf", "table 1, btcv 4:16", "CLD", "41.07")
    amos = [line for line in section.lines if line[0] in ("guidednet", "dvcl")]
    assert all("amos22" in line[1] for line in amos) and len(amos) == 47  # of 52; FLARE, BTCV and MMWHS agree


def test_numbers_that_differ_between_papers(everything):
    section = repeats.check(everything)
    assert found(section, "btcv", "4:16", "CLD", "LAG", "skcdf 1", "0.0", "plbopt 3", "5.0")
    assert found(section, "flare22", "42:42", "DHC", "Jaccard", "±1.26", "±0.26")
    assert found(section, "flare22", "42:378", "Spl", "guidednet 3", "91.86")
    assert sum(line[-1] == "" for line in section.lines) == 7
    assert found(repeats.twins(everything), "Only Mutual Correction", "H*W/100")


def test_text_that_its_tables_do_not_bear_out(everything):
    section = claims.values(everything)
    assert found(section, "guidednet", "GuidedNet", "Dice", "82.13", "83.12")
    assert found(section, "guidednet", "smallest dice gain", "1.90", "+2.89")
    assert found(section, "skcdf", "dice gain", "7.17", "+6.17")
    orders = claims.orders(everything)
    assert found(orders, "plbopt", "Compact Watershed 28.5", "worse by 0.1")
    assert found(orders, "guidednet", "R.kid", "3D-CGMM 93.87", "better by 1.16")


def test_swapped_distances_and_odd_counts(everything):
    (swapped,) = sanity.distances(everything).lines
    assert swapped == ("crln", "table 3, pancreas_ct 12:50", "CAC4SSL", "ASD 7.25, 95HD 1.25", "ASD is above 95HD")
    odd = [line[1] for line in sanity.sizes(everything).lines]
    assert {"table 4, btcv 2:12", "table 4, btcv 12:12", "table 1, flare22 42:420"} <= set(odd)
    assert len(sanity.flags(everything).lines) == sum(one.flag not in ("", "cited") for one in everything)


def test_the_page_is_up_to_date():
    written = (ROOT / "docs/published-numbers.md").read_text(encoding="utf-8")
    assert written == page.markdown(page.sections(PAPERS)), (
        "run `semiseg published check --write docs/published-numbers.md`"
    )


def test_the_terminal_shows_what_the_page_shows(capsys):
    console = Console(width=160)
    check(["guidednet", "dvcl", "dvcl"], console=console)
    shown = capsys.readouterr().out
    for section in page.sections(["guidednet", "dvcl"]):
        assert section.title in shown
        assert section.summary[:60] in shown
    assert "dvcl: 1657 values and 244 spreads; guidednet: 797 values and 104 spreads" in shown
    assert "plbopt" not in shown


def test_the_verb_is_done_with_findings_and_fails_on_bad_files(tmp_path, capfd, monkeypatch):
    out = tmp_path / "page.md"
    assert main(["published", "check", "crln", "--write", str(out)]) == 0
    assert "CAC4SSL" in out.read_text(encoding="utf-8") and "H\\*W" not in out.read_text(encoding="utf-8")
    assert main(["published", "check", "skcdf"]) == 0
    assert "CLD" in capfd.readouterr().out
    assert main(["published", "check", "gidednet"]) == 2
    assert "unknown paper 'gidednet'; known: crln" in capfd.readouterr().err
    bad = tmp_path / "bad.csv"
    bad.write_text(FILE.read_text(encoding="utf-8").replace("94.21", "94,21", 1), encoding="utf-8")
    monkeypatch.setattr(page, "read", lambda paper: prints(read_file(bad), paper))
    assert main(["published", "check", "guidednet"]) == 2
    assert "line 2: 12 fields" in capfd.readouterr().err


def test_reading_and_checking_need_no_torch():
    loaded = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, semiseg.papers.check.command; print({'torch', 'monai'} & set(sys.modules))",
        ],
        capture_output=True,
        encoding="utf-8",
        check=True,
    ).stdout
    assert loaded.strip() == "set()"


def test_the_key_opens_the_header():
    assert tuple(HEADER[:6]) == KEY
