"""Splits: published lists as they were published, drawn ones reproducible, refusals."""

from pathlib import Path
from typing import Any

import pytest

from semiseg.base.errors import UserError
from semiseg.base.files import read_json, write_json
from semiseg.data.split_lists import read_list
from semiseg.dataset import get_dataset
from semiseg.stages.split import split

PARTS = ("labelled", "unlabelled", "val", "test")


def manifest(tmp_path: Path, labelled: list[str], unlabelled: list[str]) -> Path:
    cases = [{"id": name, "image": f"{name}.nii.gz", "label": "x.nii.gz" if name in labelled else None}
             for name in labelled + unlabelled]  # fmt: skip
    write_json(tmp_path / "manifest.json", {"dataset": "phantom", "cases": cases, "files": {}, "applied": []})
    return tmp_path / "manifest.json"


def names(prefix: str, count: int) -> list[str]:
    return [f"{prefix}{index:02d}" for index in range(count)]


def drawn(tmp_path: Path, **changes: Any) -> dict[str, Any]:
    plan = {"labelled": 4, "unlabelled": 5, "val": 2, "test": 3, "seed": 7, **changes}
    raw = manifest(tmp_path, names("a", 10), names("u", 4))
    split({"dataset": "phantom", "name": "s", "split": {"draw": plan}}, raw, tmp_path / "s.json")
    return read_json(tmp_path / "s.json")


@pytest.mark.parametrize(("dataset", "name"), [("la", "la_uamt_8lab"), ("btcv", "btcv_magicnet_5lab")])
def test_published_lists(tmp_path: Path, dataset: str, name: str) -> None:
    case_id, listed = get_dataset(dataset).case_id, read_list(name)
    expected = {part: [case_id(case) for case in listed[part]] for part in PARTS}
    raw = manifest(tmp_path, [case for part in PARTS for case in expected[part]], [])
    split({"dataset": dataset, "name": "s", "split": {"list": name}}, raw, tmp_path / "s.json")
    result = read_json(tmp_path / "s.json")
    assert {part: result[part] for part in PARTS} == expected  # order as published, ids as official
    assert result["notes"] == listed["notes"]


def test_a_published_leak_is_kept_as_published(tmp_path: Path) -> None:
    listed = read_list("amos_dhc_20p")
    raw = manifest(tmp_path, sorted({case for part in PARTS for case in listed[part]}), [])
    split({"dataset": "amos22", "name": "s", "split": {"list": "amos_dhc_20p"}}, raw, tmp_path / "s.json")
    result = read_json(tmp_path / "s.json")
    assert len(set(result["val"]) & {*result["labelled"], *result["unlabelled"]}) == 20


@pytest.mark.parametrize(
    ("dataset", "name", "absent", "instead"),
    [
        ("pancreas_ct", "pancreasct_mcnet_6lab", ["PANCREAS_0025", "PANCREAS_0070"], "pancreasct_open_6lab"),
        ("flare22", "flare22_guidednet_10p", ["train_000"], "flare22_open_10p"),
    ],
)
def test_a_list_that_cannot_be_formed_names_the_nearest(
    tmp_path: Path, dataset: str, name: str, absent: list[str], instead: str
) -> None:
    case_id, listed = get_dataset(dataset).case_id, read_list(name)
    everyone = [case_id(case) for part in PARTS for case in listed[part]]
    raw = manifest(tmp_path, [case for case in everyone if case not in absent], [])
    sentence = rf"{len(absent)} of {len(everyone)} cases are not in the raw data .*split list {instead} stands in"
    with pytest.raises(UserError, match=sentence):
        split({"dataset": dataset, "name": "s", "split": {"list": name}}, raw, tmp_path / "s.json")


def test_sixteen_labelled_begin_with_the_eight() -> None:
    eight, sixteen = read_list("la_uamt_8lab"), read_list("la_uamt_16lab")
    assert sixteen["labelled"] == eight["labelled"] + eight["unlabelled"][:8]
    assert sixteen["test"] == eight["test"]


def test_a_drawn_split(tmp_path: Path) -> None:
    parts = drawn(tmp_path)
    assert [len(parts[part]) for part in PARTS] == [4, 5, 2, 3]
    everyone = [case for part in PARTS for case in parts[part]]
    assert len(set(everyone)) == 14
    assert {case for case in parts["unlabelled"] if case.startswith("u")} == set(names("u", 4))  # these first
    assert all(case.startswith("a") for part in ("labelled", "val", "test") for case in parts[part])
    assert drawn(tmp_path) == parts
    assert drawn(tmp_path, seed=8) != parts


def test_more_labelled_cases_keep_the_test_cases(tmp_path: Path) -> None:
    assert drawn(tmp_path, labelled=2)["test"] == drawn(tmp_path)["test"]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"test": 5}, "needs 11 cases with a label, the dataset has 10"),
        ({"unlabelled": 6}, "6 unlabelled cases, 5 are left"),
    ],
)
def test_too_few_cases(tmp_path: Path, changes: dict[str, int], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        drawn(tmp_path, **changes)
    assert not (tmp_path / "s.json").exists()


def test_listed_cases_must_exist_and_have_labels(tmp_path: Path) -> None:
    parts = read_list("la_uamt_8lab")
    spec = {"dataset": "la", "name": "8lab", "split": {"list": "la_uamt_8lab"}}
    everyone = [case for part in PARTS for case in parts[part]]
    raw = manifest(tmp_path, [case for case in everyone if case != parts["test"][3]], [])
    with pytest.raises(UserError, match=f"1 of 100 cases are not in the raw data .{parts['test'][3]}"):
        split(spec, raw, tmp_path / "s.json")
    raw = manifest(tmp_path, [case for case in everyone if case != parts["test"][3]], [parts["test"][3]])
    with pytest.raises(UserError, match=f"without a label .*{parts['test'][3]}"):
        split(spec, raw, tmp_path / "s.json")
    with pytest.raises(UserError, match=r"unknown split list 'la_9lab'; did you mean la_uamt_8lab"):
        split({**spec, "split": {"list": "la_9lab"}}, raw, tmp_path / "s.json")
