"""params.yaml: what is wrong is named by its key path, with what is allowed."""

import copy
import re

import pytest
from support import ROOT, params_yaml

from semiseg.base.controls import is_control
from semiseg.base.errors import UserError
from semiseg.data.split_lists import read_list
from semiseg.graph.plan import Plan, Run
from semiseg.graph.specs import Specs, as_text
from semiseg.params.config import Params, Supervised
from semiseg.params.reading import parse_params, read, schema_text
from semiseg.params.reference import reference

GOOD = params_yaml.content()


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
        r"protocols\.la\.trainin is not a known key; did you mean training\? \(allowed there: inference, .*training\)$",
    ),
    "a missing key": (
        "protocols/la/training/patch",
        ...,
        r"protocols\.la\.training\.patch is missing: expected 3 x whole number > 0$",
    ),
    "a negative spacing": (
        "preparations/demo/steps/2/spacing",
        [5.0, -5.0, 6.0],
        r"preparations\.demo\.steps\.2\.spacing\.1: expected a number > 0, found -5\.0$",
    ),
    "an unknown step": (
        "preparations/demo/steps/0/step",
        "resampel",
        r"preparations\.demo\.steps\.0\.step: unknown step 'resampel'; known: clip, .*; did you mean resample, ",
    ),
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
        r"tables\.demo\.protocol: unknown protocol 'dem'; did you mean demo\?$",
    ),
    "an unknown split": (
        "tables/demo/split",
        "x",
        r"tables\.demo\.split: unknown split 'x'; known: demo$",
    ),
    "an unknown method": ("tables/demo/rows", ["cpps"], r"tables\.demo\.rows: unknown method 'cpps'; did you mean cps"),
    "a mistyped variant": (
        "tables/demo/rows",
        ["dvcl_k5_51"],
        r"tables\.demo\.rows: unknown method 'dvcl_k5_51'; did you mean dvcl_k5_5, ",
    ),
    "a method twice": ("tables/demo/rows", ["cps", "cps"], r"tables\.demo\.rows: the method 'cps' occurs twice"),
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
        r"tables\.demo\.reference: unknown row 'dhc'; known: sup_only",
    ),
    "a paper without printed numbers": (
        "tables/demo/printed",
        [{"paper": "nobody", "table": "1"}],
        r"tables\.demo\.printed\.paper: unknown paper 'nobody'; known: .*crln",
    ),
    "a variant named as a control": (
        "variants/control_cps",
        {"method": "cps", "parameters": {"weight": 0.5}},
        r"variants\.control_cps: names that begin with control_ are those of controls; choose another$",
    ),
    "a variant of a control": (
        "variants/perfect_2",
        {"method": "control_perfect", "parameters": {"weight": 0.5}},
        r"variants\.perfect_2\.parameters\.weight: control_perfect has no such parameter; it has: none",
    ),
    "a variant named as a method": (
        "variants/mt",
        {"method": "cps", "parameters": {"weight": 1.0}},
        r"variants\.mt: a method has",
    ),
    "a stride that leaves gaps": ("protocols/la/inference/stride", [200, 18, 4], r"leaves gaps"),
    "an empty table": (
        "tables/demo/rows",
        [],
        r"tables\.demo\.rows: expected a list of sections with at least 1 entry, found 0",
    ),
    "a path for a name": (
        "tables/demo/split",
        "../x",
        r"tables\.demo\.split: expected a name of letters, digits and _, found",
    ),
    "a word for a number": (
        "protocols/la/training/iterations",
        "forty",
        r"protocols\.la\.training\.iterations: expected a whole number > 0, found 'forty'$",
    ),
    "a part of a step": (
        "protocols/la/training/iterations",
        10.5,
        r"protocols\.la\.training\.iterations: expected a whole number > 0, found 10\.5$",
    ),
    "a truth value for a count": (
        "protocols/la/training/batch/labelled",
        True,
        r"protocols\.la\.training\.batch\.labelled: expected a whole number > 0, found true",
    ),
    "too few sides": (
        "protocols/la/training/patch",
        [112, 112],
        r"protocols\.la\.training\.patch\.2 is missing: expected a whole number > 0$",
    ),
    "a wrong one of two kinds": (
        "preparations/dhc_halved/steps/2/factor",
        [0.5, "half", 1],
        r"preparations\.dhc_halved\.steps\.2\.factor\.1: expected a number > 0, found 'half'$",
    ),
    "a number for a text": ("tables/demo/title", 5, r"tables\.demo\.title: expected text, found 5: put it in quotes$"),
    "a number for a name": ("splits/la", {8: {"list": "la_uamt_8lab"}}, r"splits\.la\.8: .* as the key: .* in quotes$"),
    "nothing for a section": ("datasets/la", None, r"datasets\.la: expected a section, found nothing$"),
    "a scan clipped from top to bottom": (
        "preparations/demo/steps/1/low",
        900,
        r"preparations\.demo\.steps\.1: low must be below high, found low 900 and high 800$",
    ),
    "percentiles out of order": (
        "preparations/dhc/steps/2/low",
        100,
        r"preparations\.dhc\.steps\.2: low must be below high",
    ),
    "margins out of order": (
        "preparations/la/steps/1/margin",
        [20, 20],
        r"preparations\.la\.steps\.1: margin must rise",
    ),
    "a negative seed": ("tables/demo/seeds", [-7], r"tables\.demo\.seeds\.0: expected a whole number >= 0, found -7$"),
    "a fourth axis": (
        "protocols/la/training/augmentation/flip_one_of",
        [0, 3],
        r"augmentation\.flip_one_of\.1: expected a whole number >= 0, <= 2, found 3$",
    ),
    "more steps chosen than there are": (
        "protocols/dhc/training/augmentation/strong",
        {"choose": 3, "steps": [{"step": "blur", "sigma": [0, 1], "probability": 0.5}]},
        r"augmentation\.strong: choose must not exceed the number of steps, found 3 of 1$",
    ),
    "limits of a rotation in falling order": (
        "protocols/dhc/training/augmentation/strong",
        {"choose": 1, "steps": [{"step": "rotate", "axis": 0, "degrees": [15, -15], "probability": 0.5}]},
        r"strong\.steps\.0\.degrees: the first limit must not exceed the second, found \[15\.0, -15\.0\]$",
    ),
    "a zoom to nothing": (
        "protocols/dhc/training/augmentation/strong",
        {"choose": 1, "steps": [{"step": "zoom", "factor": [0, 1], "probability": 0.5}]},
        r"strong\.steps\.0\.factor\.0: expected a number > 0, found 0$",
    ),
    "a probability above 1": (
        "protocols/dhc/training/augmentation/strong",
        {"choose": 1, "steps": [{"step": "gamma", "exponent": [0.7, 1.3], "probability": 70}]},
        r"strong\.steps\.0\.probability: expected a number >= 0, <= 1, found 70$",
    ),
    "a strong step that does not exist": (
        "protocols/dhc/training/augmentation/strong",
        {"choose": 1, "steps": [{"step": "rotation", "axis": 0, "degrees": [0, 1], "probability": 1}]},
        r"strong\.steps\.0\.step: unknown step 'rotation'; known: blur, .*, zoom; did you mean rotate\?",
    ),
    "a momentum that Adam cannot have": ("protocols/demo/training/optimiser/momentum", 1, r"must be below 1, found 1$"),
    "a decay that Adam cannot have": (
        "protocols/demo/training/optimiser",
        {"rule": "adamw", "lr": 0.1, "momentum": 0.9, "beta2": 1, "weight_decay": 0},
        r"beta2 of rule adamw must be below 1, found 1$",
    ),
    "a number of Adam beside SGD": (
        "protocols/dhc/training/optimiser/eps",
        0.1,
        r"eps belongs to rules adam and adamw: remove it, or choose one of them$",
    ),
    "a late rate that does not follow epochs": (
        "protocols/demo/training/schedule/late",
        True,
        r"late belongs to per epoch: remove it, or write lag: 1 for a rate one iteration late$",
    ),
    "Nesterov's momentum of nothing": (
        "protocols/dhc/training/optimiser/momentum",
        0,
        r"nesterov needs a momentum above",
    ),
    "a list that does not exist": (
        "splits/la/8lab/list",
        "la_uamt_9lab",
        r"splits\.la\.8lab\.list: unknown split list 'la_uamt_9lab'; did you mean la_uamt_8lab",
    ),
    "a dataset that does not exist": (
        "datasets/btv",
        {},
        r"datasets\.btv: unknown dataset 'btv'; .* did you mean btcv\?$",
    ),
    "splits of no dataset": ("splits/btv", {}, r"splits\.btv: unknown dataset 'btv'"),
    "two rows with one label": (
        "tables/demo/rows",
        [{"method": "cps", "label": "A"}, {"method": "mt", "label": "A"}],
        r"tables\.demo\.rows: the label 'A' occurs twice; give each once$",
    ),
    "a label that is another row's name": (
        "tables/demo/rows",
        ["cps", {"method": "mt", "label": "cps"}],
        r"tables\.demo\.rows: the label 'cps' occurs twice",
    ),
    "a protocol of a row that does not exist": (
        "tables/demo/rows",
        [{"method": "cps", "protocol": "demmo"}],
        r"tables\.demo\.rows\.cps\.protocol: unknown protocol 'demmo'; .*did you mean demo",
    ),
    "a row that is prepared otherwise than its table": (
        "tables/la_8/rows",
        [{"method": "ua_mt", "protocol": "dhc"}],
        r"tables\.la_8\.rows\.ua_mt\.protocol: dhc has preparation dhc, expected la as la of the table, because the"
        r" rows of a table are measured alike: choose a protocol that has it$",
    ),
    "a row that is the same as none": (
        "tables/demo/rows",
        ["cps", {"method": "mt", "same_as": "cpss"}],
        r"tables\.demo\.rows\.mt\.same_as: unknown row 'cpss'; known: cps, mt; did you mean cps",
    ),
    "a row that is the same as another method": (
        "tables/demo/rows",
        ["cps", {"method": "mt", "same_as": "cps"}],
        r"tables\.demo\.rows\.mt\.same_as: mt is mt and cps is cps, which are not the same computation: name a row of"
        r" mt, or remove same_as$",
    ),
    "rows that are the same as each other": (
        "tables/demo/rows",
        [{"method": "cps", "same_as": "cps"}],
        r"tables\.demo\.rows\.cps\.same_as: cps has no runs of its own: name the row that is trained$",
    ),
    "a second name of a method for the same runs": (
        "tables/demo/rows",
        ["sup_only", "sup_only_fully"],
        r"tables\.demo\.rows\.sup_only_fully: has the runs of the row sup_only: give it another split, protocol or"
        r" checkpoint, or write same_as: sup_only$",
    ),
    "a row with another row's runs and a split": (
        "tables/demo/rows",
        ["cps", {"method": "mt", "same_as": "cps", "split": "demo"}],
        r"tables\.demo\.rows\.1: a row that is same_as cps has its runs: remove split$",
    ),
    "a seed twice": ("tables/demo/seeds", [7, 8, 7], r"tables\.demo\.seeds: the seed '7' occurs twice"),
    "an organ twice": ("tables/demo/organs", ["Liv", "Liv"], r"tables\.demo\.organs: the organ 'Liv' occurs twice"),
    "a mistyped parameter": (
        "methods/mt",
        {"wieght": 1.0},
        r"mt has no such parameter; it has: .*; did you mean weight\?$",
    ),
}


WORDS_OF_PYDANTIC = r"[Ii]nput|valid (integer|number|string)|Extra|Value error|pattern|greater than|literal"


@pytest.mark.parametrize("case", WRONG)
def test_bad_parameters_are_one_clear_sentence(case):
    path, value, sentence = WRONG[case]
    with pytest.raises(UserError, match=sentence) as refused:
        Plan(parse_params(changed(path, value)))
    assert not re.search(WORDS_OF_PYDANTIC, str(refused.value)) and "\n" not in str(refused.value)


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


def test_no_training_stands_under_two_names():
    """Runs of all tables that differ in their folder alone would be trained twice."""
    plan = Plan(parse_params(GOOD))
    runs = dict.fromkeys(run for table in GOOD["tables"] for method in plan.served(table)
                         for run in plan.runs(table, method) if not is_control(plan.base(run.method)))  # fmt: skip
    seen: dict[str, Run] = {}
    for run in runs:
        spec = Specs(plan).train(run) | {"hyper": plan.effective(run.protocol, run.method)}
        data = (plan.split(run.dataset, run.split).model_dump(), plan.prepared(run.dataset, run.protocol))
        first = seen.setdefault(f"{as_text(spec)} {data}", run)
        assert first == run, f"{run.folder} is the training of {first.folder}"


def test_a_row_of_another_scoring_rule_cannot_stand_in_the_table():
    content = changed("protocols/other", {**GOOD["protocols"]["dhc"], "scoring": "guidednet"})
    content["tables"]["synapse_40pct"]["rows"] = [{"method": "cps", "protocol": "other"}]
    with pytest.raises(UserError, match=r"rows\.cps\.protocol: other has scoring guidednet, expected dhc as dhc of"):
        Plan(parse_params(content))


def test_training_does_not_depend_on_how_tables_are_scored():
    run = Run("phantom_three", "demo", "demo", "cps", 1337)
    before = as_text(Specs(Plan(parse_params(GOOD))).train(run))
    assert as_text(Specs(Plan(parse_params(changed("protocols/demo/scoring", "dhc")))).train(run)) == before
    assert as_text(Specs(Plan(parse_params(changed("protocols/demo/training/iterations", 7)))).train(run)) != before


def test_a_split_depends_on_the_content_of_its_list():
    specs = Specs(Plan(parse_params(GOOD)))
    assert specs.split("la", "8lab")["list_sha256"] != specs.split("la", "16lab")["list_sha256"]
    assert "list_sha256" not in specs.split("phantom_three", "demo")


def test_a_supervised_row_learns_from_the_labelled_cases_of_its_table():
    """A row may have a split of its own, so that two tables share a run; its labelled, val and test cases are equal.

    A fully supervised row learns from all training cases of the table's list.
    """
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
            if (row.label or "").endswith("(fully)"):
                lists[1]["labelled"] = sorted(lists[1]["labelled"] + lists[1]["unlabelled"])
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
