"""Files that must tell the same story do."""

import re
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


def test_ci_runs_exactly_the_readmes_test_command():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = [
        line
        for line in (ROOT / ".ci/run").read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    ]
    assert commands[-1] == "make test" and "\nmake test" in readme


def test_plugin_files_are_short():
    for path in (ROOT / "src").rglob("*.py"):
        limit = 120 if path.parent.name == "methods" else 300
        assert len(path.read_text(encoding="utf-8").splitlines()) <= limit, f"{path.name} is longer than {limit} lines"


def test_no_two_methods_share_six_lines():
    """Six equal lines in a row, lone brackets and imports left out, are a thing that should stand in semiseg/blocks."""
    seen = {}
    for path in sorted((ROOT / "src/semiseg/methods").glob("[a-z]*.py")):
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
        lines = [line for line in lines if re.search(r"\w", line) and not line.startswith(("from ", "import "))]
        for start in range(len(lines) - 5):
            run = "\n".join(lines[start : start + 6])
            assert seen.setdefault(run, path.name) == path.name, f"{path.name} and {seen[run]} share:\n{run}"
