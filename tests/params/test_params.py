"""params.yaml: what is wrong is named by its key path, with what is allowed."""

import copy
import shutil

import pytest
import yaml
from support import ROOT

from semiseg import catalogue
from semiseg.base.errors import UserError
from semiseg.data.split_lists import read_list
from semiseg.graph.plan import Plan, Run
from semiseg.graph.specs import Specs, as_text
from semiseg.params.config import Params, Supervised
from semiseg.params.reading import parse_params, read, schema_text
from semiseg.params.reference import reference

GOOD = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))


def changed(path, value):
    """The project's parameters with one entry changed; ``...`` deletes it."""
    content = copy.deepcopy(GOOD)
    *parents, last = path.split("/")
    place = content
    for part in parents:
        place = place[int(part) if isinstance(place, list) else part]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return content


def test_the_projects_parameters_are_valid_and_plan():
    Plan(parse_params(GOOD))


WRONG = {
    "a mistyped key": (
        "protocols/la/trainin",
        {},
        r"protocols\.la\.trainin is not a known key \(allowed there: .*training",
    ),
    "a missing key": ("protocols/la/training/patch", ..., r"protocols\.la\.training\.patch is missing"),
    "a negative spacing": (
        "preparations/demo/steps/2/spacing",
        [5.0, -5.0, 6.0],
        r"preparations\.demo\.steps\.2\.resample\.spacing\.1: .*greater than 0, found -5\.0",
    ),
    "an unknown step": ("preparations/demo/steps/0/step", "warp", r"preparations\.demo\.steps\.0: .*'orient', 'clip'"),
    "two targets of a resampling": (
        "preparations/demo/steps/2/factor",
        0.5,
        r"steps\.2.*exactly one of spacing, factor",
    ),
    "an unknown table dataset": (
        "tables/demo/dataset",
        "phantm",
        r"tables\.demo\.dataset: unknown dataset 'phantm'; known: .*phantom",
    ),
    "an unknown protocol": (
        "tables/demo/protocol",
        "dem",
        r"tables\.demo\.protocol: unknown protocol 'dem'; known: .*demo",
    ),
    "an unknown split": (
        "tables/demo/split",
        "x",
        r"tables\.demo\.split: dataset phantom_three has no split 'x'; it has: demo$",
    ),
    "an unknown method": ("tables/demo/rows", ["cpps"], r"tables\.demo\.rows: unknown method 'cpps'; known: .*cps"),
    "a mistyped variant": (
        "tables/demo/rows",
        ["dvcl_k5_51"],
        r"tables\.demo\.rows: unknown method 'dvcl_k5_51'; known: .*; did you mean dvcl_k5_5, ",
    ),
    "a method twice": ("tables/demo/rows", ["cps", "cps"], r"tables\.demo\.rows: a method occurs twice"),
    "an unknown organ": ("tables/demo/organs", ["Liv", "Hrt"], r"tables\.demo\.organs: .* no organ 'Hrt'; it has: Liv"),
    "an unknown parameter": (
        "methods/cps",
        {"wieght": 1.0},
        r"methods\.cps\.wieght: cps has no such parameter; it has: weight",
    ),
    "a parameter of another type": (
        "methods/cps",
        {"weight": "a"},
        r"methods\.cps\.weight: expected a value of type float",
    ),
    "a parameter out of its choices": (
        "methods/cps",
        {"cross_rows": "x"},
        r"expected one of all, unlabelled, found 'x'",
    ),
    "a truth value for a number": (
        "methods/cps",
        {"weight": True},
        r"methods\.cps\.weight: expected a value of type float",
    ),
    "a variant equal to its base": (
        "variants/cps_same",
        {"method": "cps", "parameters": {"weight": 0.1}},
        r"variants\.cps_same: equals its method cps",
    ),
    "a variant equal to another": (
        "variants",
        {name: {"method": "cps", "parameters": {"weight": 0.3}} for name in ("cps_one", "cps_two")},
        r"variants\.cps_two: equals variants\.cps_one; keep one",
    ),
    "an unknown parameter of a variant": (
        "variants/cps_x",
        {"method": "cps", "parameters": {"wieght": 1.0}},
        r"variants\.cps_x\.parameters\.wieght: cps has no such parameter; it has: weight",
    ),
    "a reference that is no row": (
        "tables/demo/reference",
        "dhc",
        r"tables\.demo\.reference: 'dhc' is no row of the table; it has: sup_only",
    ),
    "a paper without printed numbers": (
        "tables/demo/printed",
        [{"paper": "nobody", "table": "1"}],
        r"tables\.demo\.printed\.paper: unknown published 'nobody'; known: .*crln",
    ),
    "a variant named as a method": (
        "variants/mt",
        {"method": "cps", "parameters": {"weight": 1.0}},
        r"variants\.mt: a method has",
    ),
    "a stride that leaves gaps": ("protocols/la/inference/stride", [200, 18, 4], r"leaves gaps"),
    "an empty table": ("tables/demo/rows", [], r"tables\.demo\.rows: .*at least 1"),
    "a path for a name": ("tables/demo/split", "../x", r"tables\.demo\.split: .*pattern"),
}


@pytest.mark.parametrize("case", WRONG)
def test_bad_parameters_are_one_clear_sentence(case):
    path, value, sentence = WRONG[case]
    with pytest.raises(UserError, match=sentence):
        Plan(parse_params(changed(path, value)))


def test_files_that_are_missing_or_not_yaml(tmp_path):
    with pytest.raises(UserError, match=r"nothing\.yaml is missing"):
        read(tmp_path / "nothing.yaml")
    (tmp_path / "bad.yaml").write_text("a: [1,\n")
    with pytest.raises(UserError, match=r"bad\.yaml is not valid YAML"):
        read(tmp_path / "bad.yaml")
    (tmp_path / "tag.yaml").write_text("a: !!python/object/apply:os.system ['true']\n")
    with pytest.raises(UserError, match=r"tag\.yaml is not valid YAML"):
        read(tmp_path / "tag.yaml")


def test_the_page_of_all_keys_is_up_to_date_and_describes_each():
    page = (ROOT / "docs/params.md").read_text(encoding="utf-8")
    assert page == reference(), "config.py changed: run `make schema`"
    assert [line for line in page.splitlines() if line.startswith("| `") and line.endswith("|  |")] == []


def test_the_schema_file_is_up_to_date():
    stored = (ROOT / "workflow/schemas/params.schema.json").read_text(encoding="utf-8")
    assert stored == schema_text(), "config.py changed: run `make schema`"


def test_supervised_losses_of_the_configuration_are_those_of_the_code():
    from semiseg.blocks.losses import SUPERVISED

    assert set(Supervised.__args__) == set(SUPERVISED)


def test_a_row_whose_file_holds_no_method_is_refused(tmp_path, monkeypatch):
    package = tmp_path / "semiseg"
    shutil.copytree(catalogue.PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    (package / "methods/fixmatch.py").write_text("x = 1\n")
    monkeypatch.setattr(catalogue, "PACKAGE", package)
    for function in (catalogue.entries, catalogue.source_of, catalogue._twin):
        monkeypatch.setattr(catalogue, function.__name__, function.__wrapped__)
    with pytest.raises(UserError, match=r"semiseg/methods/fixmatch\.py must define exactly one Method, it defines 0"):
        Plan(parse_params(changed("tables/demo/rows", ["fixmatch"])))
    variant = {"fixmatch_low": {"method": "fixmatch", "parameters": {"threshold": 0.5}}}
    with pytest.raises(UserError, match=r"fixmatch\.py must define exactly one Method, it defines 0"):
        Plan(parse_params(changed("variants", variant)))


def test_scoring_rules_of_the_configuration_exist():
    from semiseg.scoring.scoring_rules import RULES

    assert {protocol["scoring"] for protocol in GOOD["protocols"].values()} <= set(RULES)


def test_a_variant_wins_over_its_protocol_and_that_over_everywhere():
    content = changed("methods", {"cps": {"weight": 0.2, "cross_rows": "unlabelled"}})
    content["protocols"]["demo"]["methods"] = {"cps": {"weight": 0.3}}
    content["variants"]["cps_strong"] = {"method": "cps", "parameters": {"weight": 0.5}}
    plan = Plan(parse_params(content))
    assert plan.hyper("la", "cps") == {"weight": 0.2, "cross_rows": "unlabelled"}
    assert plan.hyper("demo", "cps") == {"weight": 0.3, "cross_rows": "unlabelled"}
    assert plan.hyper("demo", "cps_strong") == {"weight": 0.5, "cross_rows": "unlabelled"}
    assert Specs(plan).train(Run("phantom_three", "demo", "demo", "cps_strong", 0))["method"] == "cps"


def test_rows_of_two_tables_that_are_the_same_run_share_it():
    plan = Plan(parse_params(GOOD))
    assert plan.runs("flare22_10pct", "sup_only") == plan.runs("flare22_50pct", "sup_only")
    assert plan.runs("flare22_10pct", "mt") != plan.runs("flare22_50pct", "mt")


def test_training_does_not_depend_on_how_tables_are_scored():
    run = Run("phantom_three", "demo", "demo", "cps", 1337)
    before = as_text(Specs(Plan(parse_params(GOOD))).train(run))
    assert as_text(Specs(Plan(parse_params(changed("protocols/demo/scoring", "dhc")))).train(run)) == before
    assert as_text(Specs(Plan(parse_params(changed("protocols/demo/training/iterations", 7)))).train(run)) != before


def test_a_split_depends_on_the_content_of_its_list():
    specs = Specs(Plan(parse_params(GOOD)))
    assert specs.split("la", "8lab")["list_sha256"] != specs.split("la", "16lab")["list_sha256"]
    assert "list_sha256" not in specs.split("phantom_three", "demo")


def test_an_unknown_split_list_is_named():
    specs = Specs(Plan(parse_params(changed("splits/la/8lab", {"list": "la_uamt_9lab"}))))
    with pytest.raises(UserError, match=r"splits\.la\.8lab\.list: unknown split 'la_uamt_9lab'; known: .*la_uamt_8lab"):
        specs.split("la", "8lab")


def test_a_supervised_row_learns_from_the_labelled_cases_of_its_table():
    """A row may have a split of its own, so that two tables share a run; its labelled, val and test cases are equal."""
    params = parse_params(GOOD)
    plan, found = Plan(params), 0
    for name, table in params.tables.items():
        for row in table.rows:
            if not plan.labelled_only(row.method):
                continue
            found += 1
            own, whole = (params.splits[table.dataset][split] for split in (row.split or table.split, table.split))
            if own.list is None or whole.list is None:
                assert own == whole
                continue
            lists = read_list(own.list), read_list(whole.list)
            assert all(lists[0][part] == lists[1][part] for part in ("labelled", "val", "test")), name
    assert found > 15


def test_every_key_has_a_description():
    schema = Params.model_json_schema()
    sections = {**schema["$defs"], "Params": schema}
    keys = [
        (section, key, one.get("description", ""))
        for section, it in sections.items()
        for key, one in it.get("properties", {}).items()
    ]
    assert len(keys) > 100
    assert [(section, key) for section, key, text in keys if len(text) < 10] == []
