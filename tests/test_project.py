"""Files that must tell the same story do."""

import ast
import io
import re
import tokenize
import tomllib

import yaml
from support import ROOT

CONDA_NAMES = {"matplotlib": "matplotlib-base", "torch": "pytorch", "snakemake": "snakemake-minimal"}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def name_of(requirement: str) -> str:
    return re.split(r"[ <>=~]", requirement)[0].lower()


def test_the_conda_environment_names_the_packages_of_pyproject():
    listed = yaml.safe_load((ROOT / "workflow/envs/semiseg.yaml").read_text(encoding="utf-8"))["dependencies"]
    wanted = [
        CONDA_NAMES.get(name_of(item), name_of(item)) + item[len(name_of(item)) :] for item in PROJECT["dependencies"]
    ]
    assert sorted(item.replace(" ", "") for item in listed if not item.startswith("python ")) == sorted(wanted)


def test_every_dependency_is_pinned_and_explained():
    pinned = {
        name_of(line)
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if not line.startswith("#")
    }
    explained = (ROOT / "docs/dependencies.md").read_text(encoding="utf-8").lower()
    everything = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"]
    for name in map(name_of, everything):
        assert name in pinned or name.replace("-", "_") in pinned, f"{name} is not in constraints.txt"
        assert name in explained, f"{name} has no reason in docs/dependencies.md"


def test_ci_runs_exactly_the_readmes_test_command_and_then_other_versions_and_an_ordinary_user():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = [
        line
        for line in (ROOT / ".ci/run").read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    ]
    tamperings = "SEMISEG_TAMPERINGS=20 .venv/bin/pytest tests/proof/test_tampering.py"
    coverage = "SEMISEG_COVERAGE=whole .venv/bin/pytest tests/scoring/test_coverage.py"
    assert commands[-5:] == ["make test", tamperings, coverage, "make lowest newest", ".ci/ordinary"]
    assert "\nmake test" in readme


def code_lines(text: str) -> int:
    """Lines that hold code: blank lines, comments and docstrings are not counted."""
    layout = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    lines = {line for token in tokens if token.type not in layout for line in range(token.start[0], token.end[0] + 1)}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            lines -= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    return len(lines)


def test_lines_of_code_are_counted_without_docstrings_comments_and_blank_lines():
    assignment = "A = (\n    1,  # one\n    # two\n)\n"
    function = 'def f():\n    """F."""\n    return """a\nb"""\n'
    assert code_lines(f'"""About.\n\nMore."""\n\n{assignment}\n\n{function}') == 6


def test_files_are_short():
    """A method has at most 90 lines of code, a part of a method 250 lines in all, any other file 300 lines in all."""
    package = ROOT / "src/semiseg"
    for path in package.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if path.parent == package / "methods":
            assert code_lines(text) <= 90, f"methods/{path.name} has more than 90 lines of code: see methods/parts"
        limit = 250 if path.parent == package / "methods/parts" else 300
        assert len(text.splitlines()) <= limit, f"{path} has more than {limit} lines"


def test_no_two_methods_share_six_lines():
    """Six equal lines in a row, lone brackets and imports left out, are a thing that should stand in semiseg/blocks."""
    seen = {}
    for path in sorted((ROOT / "src/semiseg/methods").glob("[a-z]*.py")):
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
        lines = [line for line in lines if re.search(r"\w", line) and not line.startswith(("from ", "import "))]
        for start in range(len(lines) - 5):
            run = "\n".join(lines[start : start + 6])
            assert seen.setdefault(run, path.name) == path.name, f"{path.name} and {seen[run]} share:\n{run}"
