"""Splits: published lists as they were published, drawn ones reproducible, refusals."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from semiseg.base.errors import UserError
from semiseg.base.files import read_json, write_json
from semiseg.data.split import draw
from semiseg.data.split_lists import read_list
from semiseg.dataset import get_dataset
from semiseg.params.data import Drawn
from semiseg.stages.split import split

PARTS = ("labelled", "unlabelled", "val", "test")


def manifest(tmp_path: Path, labelled: list[str], unlabelled: list[str]) -> Path:
    cases = [{"id": name, "image": f"{name}.nii.gz", "label": "x.nii.gz" if name in labelled else None}
             for name in labelled + unlabelled]  # fmt: skip
    files = {case["image"]: {"sha256": case["id"], "bytes": 1} for case in cases}
    write_json(tmp_path / "manifest.json", {"dataset": "phantom", "cases": cases, "files": files, "applied": []})
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


def test_datasets_without_patients_are_drawn_as_they_always_were(tmp_path: Path) -> None:
    """As recorded before patients were kept together: results of earlier draws stay valid."""
    recorded = {
        "labelled": ["a02", "a04", "a05", "a06"],
        "unlabelled": ["a09", "u00", "u01", "u02", "u03"],
        "val": ["a01", "a03"],
        "test": ["a00", "a07", "a08"],
    }
    found = drawn(tmp_path)
    assert {part: found[part] for part in PARTS} == recorded
    assert found["notes"] == [] and found["serious"] == []


def patient(case: str) -> str:
    return case.partition("_")[0]


def test_a_draw_keeps_the_scans_of_a_patient_on_one_side() -> None:
    """100 random collections: patients of one to four scans, some without a label, and parts of random sizes."""
    rng = np.random.default_rng(1)
    done = 0
    for _ in range(100):
        visits = rng.integers(1, 5, 12)
        cases = {f"p{p}_{visit}": bool(rng.random() < 0.8) for p, count in enumerate(visits) for visit in range(count)}
        labelled = sum(cases.values())
        test, val, few = (int(rng.integers(low, max(low + 1, labelled // 4))) for low in (1, 0, 1))
        counts = {"labelled": few, "unlabelled": int(rng.integers(0, 5)), "val": val, "test": test}
        plan = Drawn(**counts, seed=int(rng.integers(99)))
        try:
            parts = draw(plan, cases, "s", patient)
        except UserError as error:
            assert "keeps each of 12 patients" in str(error) or "are left" in str(error)
            continue
        done += 1
        assert {part: len(parts[part]) for part in PARTS} == counts
        assert all(cases[case] for part in ("labelled", "val", "test") for case in parts[part])
        sides = [{patient(case) for case in parts[part]} for part in ("test", "val")]
        sides.append({patient(case) for case in (*parts["labelled"], *parts["unlabelled"])})
        assert len(set.union(*sides)) == sum(map(len, sides))
        assert draw(plan, dict(reversed(cases.items())), "s", patient) == parts
        assert parts["notes"] and "patient" in parts["notes"][0]
    assert done > 80


def test_patients_that_fit_whole_are_taken_before_one_is_divided() -> None:
    cases = {f"p{p}_{visit}": True for p, count in enumerate((2, 3, 2, 1, 1)) for visit in range(count)}
    for seed in range(20):
        parts = draw(Drawn(labelled=2, unlabelled=2, val=2, test=3, seed=seed), cases, "s", patient)
        assert len({case for part in PARTS for case in parts[part]}) == 9


def test_patients_who_cannot_be_kept_together_are_refused() -> None:
    cases = {f"p{p}_{visit}": True for p in range(2) for visit in range(5)}
    with pytest.raises(
        UserError,
        match=r"^s: asks for 2 labelled, 1 unlabelled, 3 val, 2 test cases, and none of 100 draws keeps each of 2 "
        r"patients \(10 cases\) on one side .*: a patient of several scans takes them all to one "
        r"side, so ask for fewer cases$",
    ):
        draw(Drawn(labelled=2, unlabelled=1, val=3, test=2, seed=1), cases, "s", patient)


def test_leaks_of_a_list_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Patients by their names, files that are equal to the byte, and what the list itself notes."""
    listed = read_list("la_uamt_8lab")
    raw = manifest(tmp_path, sorted(case for part in PARTS for case in listed[part]), [])
    content = read_json(raw)
    first, second, third = listed["labelled"][0], listed["test"][0], listed["unlabelled"][0]
    for case in (first, second):
        content["files"][f"{case}.nii.gz"]["sha256"] = "equal"
    write_json(raw, content)
    together = replace(get_dataset("la"), patient=lambda case: "P" if case in (second, third) else case)
    monkeypatch.setattr("semiseg.data.split.get_dataset", lambda name: together)
    split({"dataset": "la", "name": "8lab", "split": {"list": "la_uamt_8lab"}}, raw, tmp_path / "s.json")
    assert read_json(tmp_path / "s.json")["serious"] == [
        f"{first} (labelled) and {second} (test) show the same scan: identical files",
        f"patient P is on both sides: {third} (unlabelled), {second} (test)",
    ]
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and lines[1].startswith("warning: split 8lab of la: patient P is on both sides: ")


@pytest.mark.parametrize(
    ("name", "dataset", "sentence"),
    [
        ("la_mcf_fold1", "la", "show the same scan, according to the list's notes"),
        ("amos_dhc_20p", "amos22", "cases that are both labelled and val"),
    ],
)
def test_known_leaks_of_published_lists_are_told(tmp_path: Path, name: str, dataset: str, sentence: str) -> None:
    listed, case_id = read_list(name), get_dataset(dataset).case_id
    raw = manifest(tmp_path, sorted({case_id(case) for part in PARTS for case in listed[part]}), [])
    split({"dataset": dataset, "name": "s", "split": {"list": name}}, raw, tmp_path / "s.json")
    assert any(sentence in leak for leak in read_json(tmp_path / "s.json")["serious"])


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
