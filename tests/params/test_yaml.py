"""params.yaml is read as DVC reads it, and every fault is told with its line."""

import random

import pytest
import yaml
from support import ROOT, project_folder
from support.snakemake_project import snakemake

from semiseg.base.errors import UserError
from semiseg.graph.plan import Plan
from semiseg.params.reading import parse_params, read
from semiseg.params.yaml_1_2 import dump, line_of, load

TEXT = (ROOT / "params.yaml").read_text(encoding="utf-8")
SCALARS = [
    *(
        "1e-05",
        "1e-1",
        "5e-2",
        "1e5",
        "1E5",
        "1.5e5",
        "+.5e-3",
        "1.",
        "-.5",
        "+3",
        "010",
        "0o10",
        "0x1F",
        "1:30",
        "1_000",
    ),
    *("yes", "no", "on", "Off", "true", "False", "null", "~", "2020-01-01", ".inf", "-.INF", "1e", "e5", "0.1.2", "x"),
]


@pytest.mark.parametrize("scalar", SCALARS)
def test_scalars_are_what_dvc_takes_them_for(scalar):
    from dvc.utils.serialize import parse_yaml

    ours, theirs = load(f"a: {scalar}\n", "params.yaml")["a"], parse_yaml(f"a: {scalar}\n", "params.yaml")["a"]
    assert (ours, type(ours)) == (theirs, type(theirs)) or str(theirs) == ours  # a date is left a text


def test_numbers_that_dvc_writes_are_numbers():
    from dvc.utils.serialize import dumps_yaml

    draw = random.Random(0)
    numbers = [draw.choice((1, -1)) * draw.random() * 10 ** draw.randint(-12, 12) for _ in range(300)]
    assert load(dumps_yaml({"numbers": numbers}), "params.yaml") == {"numbers": numbers}


def test_what_is_written_is_read_again():
    content = {"a": "1e5", "b": "yes", "c": [1e-5, "010", "0o7", True, None, "null", "<<", "2020-01-01", "~", ""]}
    assert load(dump(content), "x") == content
    assert load(dump(load(TEXT, "params.yaml")), "x") == yaml.safe_load(TEXT)


@pytest.mark.parametrize("number", ["1e-05", "1e-1", "5e-2"])
def test_numbers_with_an_exponent_are_numbers_everywhere(number):
    text = TEXT.replace("methods: {}", f"methods: {{cps: {{weight: {number}}}}}")
    text = text.replace("lr: 0.05", f"lr: {number}").replace("{lambda_g: 0.1}", f"{{lambda_g: {number}}}")
    params = parse_params(load(text, "params.yaml"), text)
    plan = Plan(params)
    assert plan.hyper("demo", "cps")["weight"] == plan.hyper("demo", "guidednet_lambda_01")["lambda_g"] == float(number)
    assert params.protocols["la_small"].training.optimiser.lr == float(number)
    by_yaml_1_1 = Plan(parse_params(yaml.safe_load(text)))
    assert by_yaml_1_1.hyper("demo", "cps")["weight"] == float(number)


@pytest.mark.parametrize("number", [".nan", ".inf", "-.inf", "1e999", "nan"])
@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        ("methods: {}", "methods: {cps: {weight: NUMBER}}", "methods.cps.weight"),
        ("{lambda_g: 0.1}", "{lambda_g: NUMBER}", "variants.guidednet_lambda_01.parameters.lambda_g"),
        ("lr: 0.0025", "lr: NUMBER", "protocols.la_crln.training.optimiser.lr"),
        ("low: -75", "low: NUMBER", "preparations.dhc.steps.1.low"),
        ("[220, null, null]", "[NUMBER, null, null]", "preparations.openkbp.steps.1.size.0"),
    ],
)
def test_what_is_no_finite_number_is_refused(number, old, new, path):
    text = TEXT.replace(old, new.replace("NUMBER", number), 1)
    assert text != TEXT
    with pytest.raises(
        UserError, match=rf"{path}: expected a (finite number|value of type float).*, found .*(nan|inf)"
    ):
        Plan(parse_params(load(text, "params.yaml"), text))


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("a: 1\nb: 2\na: 3\n", "the key a is given twice, in lines 1 and 3"),
        ("x:\n  a: 1\n  'a': 1\n", "the key a is given twice, in lines 2 and 3"),
        ("x: {q: 1, q: 1}\n", "the key q is given twice, in lines 1 and 1"),
        ("- y: [{q: 1,\n  q: 2}]\n", "the key q is given twice, in lines 1 and 2"),
        ("m: &m {q: 1}\nn: &n {r: 1}\ny:\n  <<: *m\n  <<: *n\n", "the key << is given twice, in lines 4 and 5"),
    ],
)
def test_a_key_given_twice_is_refused_with_both_lines(text, lines):
    with pytest.raises(UserError, match=rf"^params\.yaml: {lines}: keep one of them$"):
        load(text, "params.yaml")


@pytest.mark.parametrize(
    ("text", "line", "sign"),
    [
        ("a:\n\u00a0\u00a0b: 1\n", 2, r"U\+00A0 \(no-break space\)"),
        ("a: 1\nb:\u00a02\nc: 3\n", 2, r"U\+00A0 \(no-break space\)"),
        ("a: 1\nb\u200b: 2\n", 2, r"U\+200B \(zero width space\)"),
        ("a: {b: 1,\u3000c: 2}\n", 1, r"U\+3000 \(ideographic space\)"),
    ],
)
def test_signs_that_only_look_like_a_blank_are_named(text, line, sign):
    with pytest.raises(UserError, match=rf"^params\.yaml, line {line}: {sign} stands where YAML needs a plain blank"):
        load(text, "params.yaml")


def test_unusual_blanks_in_texts_and_comments_are_text():
    assert load("a: 20\u00a0% of the scans  # 5\u00a0mm\n", "params.yaml") == {"a": "20\u00a0% of the scans"}


def test_a_key_that_replaces_one_taken_over_is_not_twice():
    text = "m: &m {q: 1, r: 1}\nn: &n\n  <<: *m\n  q: 2\np:\n  <<: *n\n  q: 3\n"
    assert load(text, "x") == {"m": {"q": 1, "r": 1}, "n": {"q": 2, "r": 1}, "p": {"q": 3, "r": 1}}


def test_a_fault_is_told_with_its_line_and_once_where_others_take_it_over(tmp_path):
    bad = TEXT.replace("iterations: 20000", "iterations: forty").replace("    seeds: [7]", "    sedes: [7]")
    (tmp_path / "params.yaml").write_text(bad, encoding="utf-8")
    lines = bad.splitlines()
    first = next(number for number, line in enumerate(lines, 1) if "forty" in line)
    second = next(number for number, line in enumerate(lines, 1) if "sedes" in line)
    with pytest.raises(UserError) as refused:
        read(tmp_path / "params.yaml")
    told = str(refused.value)
    assert f"line {first}: protocols.guidednet.training.iterations: expected a whole number > 0, found 'forty'" in told
    assert f"line {second}: tables.demo.sedes is not a known key; did you mean seeds?" in told
    assert told.count("forty") == 1


def test_the_line_of_a_value_that_an_entry_took_over():
    text = "m: &m\n  q: 1\n  r: 1\nn:\n  <<: *m\n  r:\n    - 5\n    - 6\n"
    places = {("n", "q"): 2, ("n", "r"): 6, ("n", "r", 1): 8, ("n", "nothing"): 4, ("x",): 1}
    assert {path: line_of(text, path) for path in places} == places


def test_snakemake_reads_the_file_in_the_same_way(tmp_path):
    folder = project_folder.new(tmp_path, {}, "params.yaml")
    lines = [*TEXT.splitlines(), "methods:", "  mt: {weight: 5.0}"]
    (folder / "params.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    first = next(number for number, line in enumerate(lines, 1) if line.startswith("methods:"))
    refused = snakemake(folder, "-n", "results/demo.csv")
    assert (
        refused.returncode != 0
        and f"the key methods is given twice, in lines {first} and" in refused.stdout + refused.stderr
    )
    (folder / "params.yaml").write_text(TEXT, encoding="utf-8")
    (folder / "more.yaml").write_text("methods: {mt: {weight: 5.0}}\nmethods: {cps: {weight: 0.2}}\n", encoding="utf-8")
    refused = snakemake(folder, "-n", "results/demo.csv", "--configfile", "more.yaml")
    assert (
        refused.returncode != 0
        and "more.yaml: the key methods is given twice, in lines 1 and 2" in refused.stdout + refused.stderr
    )
    planned = snakemake(folder, "-n", "-p", "results/demo.csv", "--config", "methods={cps: {weight: 1e-05}}")
    assert planned.returncode == 0 and '"hyper":{"weight":1e-05}' in planned.stdout + planned.stderr
