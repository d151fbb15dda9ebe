"""What is odd about a table, and the numbers of finished tables that say how much it matters."""

import copy
import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support import params_yaml, prepared_cases

from semiseg.base.errors import UserError
from semiseg.data.store import write_case
from semiseg.describe.oddities import Oddities
from semiseg.describe.table import page
from semiseg.graph.plan import Plan
from semiseg.params.reading import parse_params

WHOLE = parse_params(params_yaml.content())
PLAN = Plan(WHOLE)
VIEWS = Path("results/la_small.views.csv")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def odd(table: str) -> str:
    return " | ".join(Oddities(PLAN, table).sentences)


def write_views(path: Path, **changes: str) -> None:
    """Two lines of a row and one of a control."""
    row = {"method": "ua_mt", "label": "UA-MT", "published": "80.00", "sound": "79.00", "missed": "0", **changes}
    lines = [
        {**dict.fromkeys(row, "9"), "method": "control_empty", "column": "95HD", "missed": "2"},
        {**row, "column": "Dice"},
        {**row, "column": "95HD", "published": "13.84", "sound": "17.30", "missed": "1"},
    ]
    path.parent.mkdir(exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(lines[1]))
        writer.writeheader()
        writer.writerows([{name: line.get(name, "") for name in lines[1]} for line in lines])


def test_the_left_atrium_tables_have_all_four_and_they_come_first():
    sentences = Oddities(PLAN, "la_8").sentences
    starts = (
        "Test scans are cropped around their true label",
        "8 of 27 rows show the checkpoint that is best on the test list itself: TraCoCo (best), CRLN (best), DTC",
        "Distances (ASD and 95HD) are in voxels, not mm, and an empty prediction counts as distance 0.",
        "One scan stands under several names: 0RZDK210BSMWAA6467LU (labelled) and CMPXO4J23G58J53Q98SZ (unlabelled)",
    )
    assert len(sentences) == 4 and all(map(str.startswith, sentences, starts))
    assert " here " not in odd("la_8").lower(), "nothing is built in this folder"
    heads = [str(block) for block in page(WHOLE, "la_8")]
    assert heads.index("what is odd about it") == 2, "after title and facts"


def test_a_table_tells_only_what_is_true_of_it():
    assert not Oddities(PLAN, "demo").sentences and not Oddities(PLAN, "synapse_20pct").sentences[1:]
    assert "test list" not in odd("la_8_val") and "cropped" in odd("la_8_val")
    assert "image0025 (test) and image0070 (unlabelled)" in odd("pancreas_6") and "several" not in odd(
        "pancreas_6_open"
    )
    content = copy.deepcopy(params_yaml.content())
    content["tables"]["brats19_25"]["split"] = "25lab_test25"
    assert "25 cases of the split are both validation and test." in Oddities(
        Plan(parse_params(content)), "brats19_25"
    ).sentences  # fmt: skip


def test_finished_tables_of_the_dataset_give_the_numbers():
    write_views(VIEWS)
    assert odd("la_8").count(" here ") == 1
    distance = "In la_small here UA-MT has 95HD 13.84 voxels so, and 17.30 mm by the sound rule; 3 empty predictions in"
    assert distance in odd("la_8")
    gain = {"published_optimism": "0.52", "published_optimism_low": "0.10", "published_optimism_high": "0.90"}
    write_views(Path("results/la_16.views.csv"), **gain)
    adds = "In la_16 here it adds 0.52 Dice on average, most 0.52 [0.10, 0.90] (UA-MT)."
    assert adds in odd("la_8") and adds in odd("la_16") and "In la_small here UA-MT" in odd("la_8")
    assert "In la_16 here UA-MT has" in odd("la_16"), "its own numbers first"
    assert " here " not in odd("pancreas_6"), "of another dataset"


def test_what_the_crop_leaves_of_the_scans_that_are_here():
    folder = Path("data/prepared/la/la")
    folder.mkdir(parents=True)
    made = prepared_cases.case(1)
    larger = replace(made.geometry, raw_shape=(48, 48, 24), raw_affine=np.diag([2.0, 1, 1, 1]))
    write_case(folder / "a.h5", replace(made, geometry=larger))
    entries = {"a": {"file": "a.h5"}, "gone": {"file": "b.h5"}}
    (folder / "index.json").write_text(json.dumps({"cases": entries}), encoding="utf-8")
    assert "gives away where the organ is. Here 25 % of a scan is left (median)." in odd("la_8")
    write_case(folder / "a.h5", made)
    assert "Here " not in odd("la_8"), "prepared from scans that were cut by their publisher"


def test_views_of_no_table_are_refused():
    VIEWS.parent.mkdir()
    VIEWS.write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(
        UserError, match=r"la_small\.views\.csv has not the columns of a table's views: build the table"
    ):
        odd("la_8")
