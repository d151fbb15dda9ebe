"""What the pages say about files, commands and messages is so."""

import ast
import io
import os
import re
import shlex
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
import yaml
from rich.console import Console
from support import ROOT, finished_project, params_yaml, project_folder, warm

from semiseg.cli.main import _parser, main
from semiseg.describe.command import describe
from semiseg.graph.graph import Graph
from semiseg.graph.plan import Plan
from semiseg.method import Batch, Context, TrainingTime
from semiseg.params.reading import read

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "config/README.md", *sorted((ROOT / "docs").glob("*.md"))]
IDS = [page.relative_to(ROOT).as_posix() for page in PAGES]
PARAMS = read(ROOT / "params.yaml")
GRAPH = Graph(Plan(PARAMS))
# Built or written by users, so absent in a clone.
MADE = ("src/semiseg/methods/", "src/semiseg/datasets/", "src/semiseg/splits/", "data/", "results/")


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_every_link_leads_somewhere(page):
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8"))
    local = [link for link in links if not link.startswith(("http", "mailto"))]
    assert [link for link in local if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_every_file_that_is_named_exists(page):
    named = re.findall(
        r"`((?:src|tests|workflow|profiles|docs|benchmarks)/[\w./-]+)`", page.read_text(encoding="utf-8")
    )
    assert [name for name in named if not (ROOT / name).exists() and not name.startswith(MADE)] == []


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_every_make_target_that_is_named_exists(page):
    targets = set(re.findall(r"^([a-z]+)[\w ]*:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    targets |= set(re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)[0].split())
    assert set(re.findall(r"`?make ([a-z]+)`", page.read_text(encoding="utf-8"))) <= targets


def commands_of(text: str) -> list[list[str]]:
    """Every command of semiseg, Snakemake and DVC in the code blocks of a page, as words, without comments."""
    blocks = "\n".join(re.findall(r"^```\w*\n(.*?)^```", text, re.M | re.S))
    calls = [part for line in blocks.splitlines() for part in re.sub(r"\s#\s.*", "", line).split("&&")]
    return [shlex.split(call) for call in calls if re.match(r"\s*(semiseg|snakemake|dvc repro|dvc exp run) ", call)]


def examples_of(text: str) -> set[str]:
    """Names that the YAML blocks of a page give to datasets, protocols, tables and the like of its readers."""
    blocks = [yaml.safe_load(block) for block in re.findall(r"^```yaml\n(.*?)^```", text, re.M | re.S)]
    sections = [section for block in blocks if isinstance(block, dict) for section in block.values()]
    return {name for section in sections if isinstance(section, dict) for name in section}


def names_one(words: list[str], examples: set[str]) -> bool:
    """Whether a command names a page's example."""
    return any(name in word for name in examples for word in words)


def check_semiseg(words: list[str], examples: set[str]) -> None:
    """Raise SystemExit unless the verb takes these arguments. What a page's example is named is not looked up."""
    options = _parser().parse_args(words)
    if names_one(words, examples):
        return
    names = Plan(PARAMS)
    for given in (getattr(options, "target", None), *getattr(options, "targets", ()), getattr(options, "table", None)):
        if given is not None and "TABLE" not in str(given):
            assert str(given) in PARAMS.tables or GRAPH.maker(str(given)) is not None, given
    if words[0] == "describe" and words[1] != words[1].upper():
        describe(names, words[1], Console(file=io.StringIO()))


def targets_of(words: list[str]) -> list[str]:
    """The targets of a call of Snakemake, after its parser has taken all its options."""
    from snakemake.cli import get_argument_parser

    options = get_argument_parser().parse_args(words)
    assert all((ROOT / profile).is_dir() for profile in options.profile or ())
    return [target for target in options.targets or () if "<" not in target and "TABLE" not in target]


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_every_command_in_a_block_is_one_that_its_program_takes(page, monkeypatch):
    monkeypatch.chdir(ROOT)
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    text = page.read_text(encoding="utf-8")
    examples = examples_of(text)
    for program, *words in commands_of(text):
        if program == "semiseg":
            check_semiseg(words, examples)
        elif program == "snakemake":
            targets = targets_of(words)
            assert names_one(targets, examples) or all(GRAPH.maker(target) is not None for target in targets), words
        else:
            stage, _, item = words[-1].partition("@")
            assert item in getattr(PARAMS, stages[stage]["foreach"].strip("${}")), words


@pytest.mark.parametrize("file", sorted((ROOT / "src/semiseg").rglob("*.py")) + PAGES, ids=lambda file: file.name)
def test_every_command_that_a_sentence_names_exists(file, capsys):
    """Messages, help texts and pages name verbs of semiseg and options of Snakemake that there are."""
    from snakemake.cli import get_argument_parser

    text = _literals(file)
    for verb in set(re.findall(r"`semiseg ([a-z][a-z-]+)", text)):
        with pytest.raises(SystemExit) as ended:
            main([verb, "--help"])
        assert ended.value.code == 0, verb
    known = get_argument_parser().format_help() if "`snakemake" in text else ""
    for call in re.findall(r"`snakemake ([^`]*)`", text):
        for option in re.findall(r"(?:^| )(--?[a-z][\w-]*)", call):
            assert re.search(rf"(?<![\w-]){option}(?![\w-])", known), call
    capsys.readouterr()


def test_what_show_and_describe_advise_works_without_further_options(monkeypatch):
    """`snakemake results/x.csv` needs no --cores, because profiles/default gives it."""
    monkeypatch.chdir(ROOT)
    shown = io.StringIO()
    for name in ("demo", "flare22_10pct"):
        describe(Plan(PARAMS), name, Console(file=shown, width=200))
    advised = re.findall(r"snakemake (results/\S+)", shown.getvalue())
    assert advised == ["results/demo.csv", "results/flare22_10pct.csv"]
    done = warm.snakemake(ROOT, ["-n", *advised])
    assert done.returncode == 0, done.stderr


def test_the_commonest_errors_are_quoted_as_the_code_raises_them():
    page = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
    table = page.partition("## The most common errors")[2].partition("\n## ")[0]
    quoted = [text for line in table.splitlines() if line.startswith("| `") for text in _quoted(line)]
    source = " ".join(_literals(path) for path in sorted((ROOT / "src/semiseg").rglob("*.py")))
    assert len(quoted) >= 10 and [text for text in quoted if text not in source] == []


def _quoted(line: str) -> list[str]:
    return re.findall(r"`([^`]+)`", line.split("|")[1])


def _literals(path: Path) -> str:
    """The text of a file with string literals that follow each other joined."""
    return re.sub(r"\"\s*f?\"", "", path.read_text(encoding="utf-8"))


METHOD = (ROOT / "docs/add-a-method.md").read_text(encoding="utf-8")


def test_the_page_on_methods_lists_every_block_with_what_it_defines():
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", METHOD, re.M))
    folder = ROOT / "src/semiseg/blocks"
    assert list(rows) == sorted(path.stem for path in folder.glob("*.py") if path.stem != "__init__")
    for module, text in rows.items():
        tree = ast.parse((folder / f"{module}.py").read_text(encoding="utf-8"))
        defined = {each.name: each for each in tree.body if isinstance(each, ast.FunctionDef | ast.ClassDef)}
        for name, arguments in re.findall(r"`(\w+)(?:\(([\w, ]*)\))?`", text):
            found = defined[name]
            if isinstance(found, ast.FunctionDef):
                assert [each.arg for each in (*found.args.args, *found.args.kwonlyargs)] == arguments.split(", "), name


def test_the_page_on_methods_lists_all_that_a_method_can_read():
    for name, kind in {"batch": Batch, "time": TrainingTime, "context": Context}.items():
        own = {key for key, value in vars(kind).items() if isinstance(value, property)}
        listed = re.findall(rf"^\| `{name}\.(\w+)` \| ", METHOD, re.M)
        assert sorted(listed) == sorted({field.name for field in fields(kind)} | own)


def test_the_method_of_the_page_is_planned_by_the_command_of_the_page(tmp_path):
    """The command, as printed, plans one training of ten steps of the printed method, in a folder of its own."""
    source = finished_project.copy_of_source(tmp_path / "copy")
    name, code = re.search(
        r"Write `src/semiseg/(methods/\w+\.py)`.*?^```python\n(.*?)^```", METHOD, re.M | re.S
    ).groups()
    (source / "semiseg" / name).write_text(code, encoding="utf-8")
    row = yaml.safe_load(re.search(r"^```yaml\n(.*?)^```", METHOD, re.M | re.S)[1])
    content = params_yaml.content()
    content["tables"]["demo"]["rows"] += row
    folder = project_folder.new(tmp_path / "project", content)
    command = re.search(r"^\.venv/bin/snakemake (.*--config .*)$", METHOD, re.M)[1]
    call = [sys.executable, "-m", "snakemake", "-n", "-p", *shlex.split(command)]
    surroundings = {**os.environ, "PYTHONPATH": str(source)}
    done = subprocess.run(call, cwd=folder, env=surroundings, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    jobs = re.findall(r"semiseg --log \S+ (\w+) ", done.stdout + done.stderr)
    assert "train" in jobs and not {"predict", "row", "table"} & set(jobs)
    trainings = re.findall(r"semiseg .*train .*", done.stdout + done.stderr)
    (folder,) = re.findall(r"--out (\S+)/weights\.safetensors", trainings[0])
    seeds = {seed for table in PARAMS.tables.values() for seed in table.seeds}
    assert int(folder.rpartition("/seed")[2]) not in seeds, "the trial would replace a finished run"
    assert len(trainings) == 1 and '"iterations":10' in trainings[0].replace(" ", "").replace("\\", "")
