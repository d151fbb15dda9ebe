"""Split lists as data: what they hold, what is odd about them, and which files are refused."""

from typing import Any

import pytest
import yaml
from support import ROOT

from semiseg.base.errors import UserError
from semiseg.data.split_lists import PARTS, list_names, parse_list, read_list
from semiseg.dataset import get_dataset
from semiseg.params.reading import read

COUNTS = {
    "amos_dhc_2p": (4, 212, 24, 120),
    "amos_dhc_full": (216, 0, 24, 120),
    "amos_dhc_5p": (10, 206, 24, 120),
    "amos_dhc_10p": (21, 195, 24, 120),
    "amos_dhc_20p": (38, 154, 24, 120),
    "amos_dhc_20p_sound": (35, 137, 24, 120),
    "amos_guidednet_10p": (18, 162, 60, 60),
    "amos_guidednet_50p": (90, 90, 60, 60),
    "brats19_crln_25lab": (25, 225, 25, 25),
    "brats19_crln_50lab": (50, 200, 25, 25),
    "brats19_ssl4mis_25lab": (25, 225, 25, 60),
    "brats19_ssl4mis_50lab": (50, 200, 25, 60),
    "btcv_dvcl_10p": (2, 16, 6, 6),
    "btcv_dvcl_50p": (9, 9, 6, 6),
    "btcv_magicnet_5lab": (5, 13, 0, 12),
    "btcv_magicnet_7lab": (7, 11, 0, 12),
    "flare22_guidednet_10p": (42, 378, 14, 14),
    "flare22_guidednet_50p": (42, 42, 14, 14),
    "flare22_open_10p": (30, 270, 10, 10),
    "flare22_open_50p": (30, 30, 10, 10),
    "la_mcf_fold0": (16, 64, 0, 20),
    "la_mcf_fold1": (16, 64, 0, 20),
    "la_mcf_fold2": (16, 64, 0, 20),
    "la_mcf_fold3": (16, 64, 0, 20),
    "la_mcf_fold4": (16, 64, 0, 20),
    "la_semisam_8lab_val": (8, 67, 5, 20),
    "la_semisam_16lab_val": (16, 59, 5, 20),
    "la_uamt_4lab": (4, 76, 0, 20),
    "la_uamt_8lab": (8, 72, 0, 20),
    "la_uamt_16lab": (16, 64, 0, 20),
    "mmwhs_dvcl_10p": (2, 10, 4, 4),
    "mmwhs_dvcl_50p": (6, 6, 4, 4),
    "mmwhs_genericssl_ct2mr": (16, 13, 3, 4),
    "mmwhs_genericssl_mr2ct": (16, 13, 3, 4),
    "openkbp_full": (30, 0, 0, 10),
    "openkbp_small": (3, 27, 0, 10),
    "pancreasct_coranet_12lab": (12, 50, 0, 18),
    "pancreasct_mcf_fold0": (12, 50, 0, 20),
    "pancreasct_mcf_fold1": (12, 50, 0, 20),
    "pancreasct_mcf_fold2": (12, 49, 0, 21),
    "pancreasct_mcf_fold3": (12, 49, 0, 21),
    "pancreasct_mcnet_6lab": (6, 56, 0, 20),
    "pancreasct_mcnet_12lab": (12, 50, 0, 20),
    "pancreasct_open_6lab": (6, 55, 0, 19),
    "pancreasct_open_12lab": (12, 49, 0, 19),
    "pancreasct_open_6lab_val": (6, 50, 5, 19),
    "pancreasct_open_12lab_val": (12, 44, 5, 19),
    "synapse_dhc_10p": (2, 18, 4, 6),
    "synapse_dhc_20p": (4, 16, 4, 6),
    "synapse_dhc_40p": (8, 12, 4, 6),
    "synapse_dhc_full": (20, 0, 4, 6),
    "synapse_genericssl_20p": (4, 16, 4, 6),
}
DATASETS = {"amos": "amos22", "synapse": "btcv", "pancreasct": "pancreas_ct"}  # by the first word of a list's name


def cases(name: str, *parts: str) -> list[str]:
    content = read_list(name)
    return [case for part in parts or PARTS for case in content[part]]


def dataset_of(name: str) -> Any:
    word = name.partition("_")[0]
    return get_dataset(DATASETS.get(word, word))


@pytest.mark.parametrize(
    "name", ["synapse_dhc_10p", "synapse_dhc_20p", "synapse_dhc_40p", "amos_dhc_2p", "amos_dhc_5p", "openkbp_small"]
)
def test_a_full_list_labels_all_training_cases_of_the_family(name: str) -> None:
    full = f"{name.rpartition('_')[0]}_full"
    assert cases(full, "labelled") == sorted(cases(name, "labelled", "unlabelled"))
    assert cases(full, "val", "test") == cases(name, "val", "test")


def test_every_list_has_the_counts_of_its_source() -> None:
    assert {name: tuple(len(read_list(name)[part]) for part in PARTS) for name in list_names()} == COUNTS


@pytest.mark.parametrize("name", COUNTS)
def test_a_list_names_cases_that_the_publisher_offers(name: str) -> None:
    """All of them, or the list says which one to take instead."""
    kind, content = dataset_of(name), read_list(name)
    official = {case for part in kind.parts for case in part.cases}
    unknown = {kind.case_id(case) for case in cases(name)} - official
    assert not unknown or content["instead"] is not None
    assert content["notes"] and content["source"]
    with_label = {case for part in kind.parts if part.labelled for case in part.cases}
    if not unknown:
        assert {kind.case_id(case) for case in cases(name, "labelled", "val", "test")} <= with_label


@pytest.mark.parametrize("name", [name for name in COUNTS if read_list(name)["instead"]])
def test_what_stands_in_is_sound(name: str) -> None:
    kind, other = dataset_of(name), read_list(read_list(name)["instead"])
    official = {case for part in kind.parts for case in part.cases}
    assert other["instead"] is None and not other["shared"] and not other["twins"]
    assert {kind.case_id(case) for part in PARTS for case in other[part]} <= official


@pytest.mark.parametrize(
    ("name", "whole"),
    [("la_semisam_8lab_val", "la_uamt_8lab"), ("la_semisam_16lab_val", "la_uamt_16lab"),
     ("pancreasct_open_6lab_val", "pancreasct_open_6lab"), ("pancreasct_open_12lab_val", "pancreasct_open_12lab")],
)  # fmt: skip
def test_the_last_five_training_cases_validate_and_all_else_stays(name: str, whole: str) -> None:
    assert cases(name, "labelled", "unlabelled", "val") == cases(whole, "labelled", "unlabelled")
    assert cases(name, "val") == cases(whole, "unlabelled")[-5:]
    assert (cases(name, "labelled"), cases(name, "test")) == (cases(whole, "labelled"), cases(whole, "test"))


def test_params_name_every_list() -> None:
    splits = read(ROOT / "params.yaml").splits.values()
    assert {split.list for named in splits for split in named.values()} - {None} == set(list_names())


def test_odd_facts_are_data() -> None:
    twins = {"PANCREAS_0002", "PANCREAS_0025", "PANCREAS_0070"}
    for name in ("pancreasct_mcnet_6lab", "pancreasct_mcnet_12lab", *(f"pancreasct_mcf_fold{k}" for k in range(4))):
        assert {get_dataset("pancreas_ct").case_id(case) for case in read_list(name)["twins"][0]} == twins
    assert "image0025" in cases("pancreasct_mcnet_6lab", "test")
    assert {"image0002", "image0070"} <= set(cases("pancreasct_mcnet_6lab", "unlabelled"))
    assert not {"image0025", "image0070"} & set(cases("pancreasct_open_12lab"))
    leak = set(cases("amos_dhc_20p", "labelled", "unlabelled")) & set(cases("amos_dhc_20p", "val"))
    assert len(leak) == 20
    assert set(cases("amos_dhc_20p_sound", "labelled", "unlabelled")) == (
        set(cases("amos_dhc_20p", "labelled", "unlabelled")) - leak
    )
    assert not set(cases("amos_dhc_2p", "labelled")) <= set(cases("amos_dhc_5p", "labelled"))  # not nested
    modalities = {get_dataset("amos22").modality_of(case) for case in cases("amos_dhc_10p", "labelled")}  # type: ignore[misc]
    assert modalities == {"CT", "MRI"}
    for name in list_names():
        if name.startswith("la_"):
            assert any("cropped around the true label" in note for note in read_list(name)["notes"])


def test_our_draws_are_nested_and_share_validation_and_test() -> None:
    for few, many in (("btcv_dvcl_10p", "btcv_dvcl_50p"), ("mmwhs_dvcl_10p", "mmwhs_dvcl_50p")):
        assert read_list(few)["kind"] == "ours"
        assert set(cases(few, "labelled")) < set(cases(many, "labelled"))
        assert cases(few, "val", "test") == cases(many, "val", "test")
        assert set(cases(few)) == set(cases(many))


GOOD: dict[str, Any] = {
    "kind": "ours",
    "source": ["drawn up for a test"],
    "notes": [],
    "counts": {"labelled": 2, "unlabelled": 1, "val": 0, "test": 1},
    "labelled": ["a", "b"],
    "unlabelled": ["c"],
    "val": [],
    "test": ["d"],
}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"counts": {"labelled": 3, "unlabelled": 1, "val": 0, "test": 1}}, "labelled has 2 cases, its counts say 3"),
        ({"counts": {"labelled": 2, "unlabelled": 1, "test": 1}}, "val has 0 cases, its counts say None"),
        ({"labelled": ["a", "a"]}, "labelled names a more than once"),
        ({"labelled": [7, "b"]}, r"labelled\.0: expected text, found 7: put it in quotes"),
        ({"test": ["a"]}, "1 cases are both labelled and test"),
        ({"shared": [{"parts": ["labelled", "val"], "cases": 1}]}, "0 cases are both labelled and val"),
        ({"source": []}, r"source: expected a list of texts with at least 1 entry, found 0"),
        (
            {"test": [], "counts": {"labelled": 2, "unlabelled": 1, "val": 0, "test": 0}},
            "test: expected a list of texts with at least 1 entry",
        ),
        ({"kind": "guessed"}, r"kind: expected `published` \| `ours`, found 'guessed'"),
        ({"train": ["e"]}, r"train is not a known key; did you mean twins\? \(allowed there: counts, "),
        ({"val": None}, r"val: expected a list of texts, found nothing"),
        ({"twins": [["a", "e"]]}, "twins .* must be two or more of its cases"),
    ],
)
def test_bad_lists_are_refused(changes: dict[str, Any], sentence: str) -> None:
    assert parse_list("x", yaml.safe_dump(GOOD))["test"] == ["d"]
    with pytest.raises(UserError, match=f"split list x(?:, line \\d+)?: {sentence}"):
        parse_list("x", yaml.safe_dump({**GOOD, **changes}))


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "labelled: [a, b\n", "7", "notes: []\nnotes: []\n"])
def test_files_that_are_no_list(text: str) -> None:
    with pytest.raises(UserError, match="split list x"):
        parse_list("x", text)
