"""Splits: published lists as they were published, drawn ones reproducible, refusals."""

from pathlib import Path
from typing import Any

import pytest

from semiseg.errors import UserError
from semiseg.files import read_json, write_json
from semiseg.splits import list_names, read_list
from semiseg.stages.split import split

PARTS = ("labelled", "unlabelled", "val", "test")
COUNTS = {
    "la_uamt_8lab": (8, 72, 0, 20),
    "la_uamt_16lab": (16, 64, 0, 20),
    "flare22_guidednet_10p": (42, 378, 14, 14),
    "flare22_guidednet_50p": (42, 42, 14, 14),
}


def manifest(tmp_path: Path, labelled: list[str], unlabelled: list[str]) -> Path:
    cases = [{"id": name, "image": f"{name}.nii.gz", "label": "x.nii.gz" if name in labelled else None}
             for name in labelled + unlabelled]  # fmt: skip
    write_json(tmp_path / "manifest.json", {"dataset": "d", "cases": cases, "files": {}, "applied": []})
    return tmp_path / "manifest.json"


def names(prefix: str, count: int) -> list[str]:
    return [f"{prefix}{index:02d}" for index in range(count)]


def drawn(tmp_path: Path, **changes: Any) -> dict[str, Any]:
    plan = {"labelled": 4, "unlabelled": 5, "val": 2, "test": 3, "seed": 7, **changes}
    raw = manifest(tmp_path, names("a", 10), names("u", 4))
    split({"dataset": "d", "name": "s", "split": {"draw": plan}}, raw, tmp_path / "s.json")
    return read_json(tmp_path / "s.json")


@pytest.mark.parametrize("name", COUNTS)
def test_published_lists(tmp_path: Path, name: str) -> None:
    parts = read_list(name)
    assert tuple(len(parts[part]) for part in PARTS) == COUNTS[name]
    everyone = [case for part in PARTS for case in parts[part]]
    assert len(set(everyone)) == len(everyone)
    assert parts["source"] and parts["notes"]
    raw = manifest(tmp_path, everyone, [])
    split({"dataset": "d", "name": "s", "split": {"list": name}}, raw, tmp_path / "s.json")
    result = read_json(tmp_path / "s.json")
    assert all(result[part] == parts[part] for part in PARTS)  # order as published
    split({"dataset": "d", "name": "s", "split": {"list": name, "without_unlabelled": True}}, raw, tmp_path / "s.json")
    assert read_json(tmp_path / "s.json")["unlabelled"] == []


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
    with pytest.raises(UserError, match=r"unknown split list 'la_9lab'; known: .*la_uamt_8lab"):
        split({**spec, "split": {"list": "la_9lab"}}, raw, tmp_path / "s.json")


def test_every_list_file_is_sound() -> None:
    assert set(COUNTS) <= set(list_names())
    for name in list_names():
        read_list(name)
