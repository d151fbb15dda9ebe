"""The shape of the package, as far as the import contract in pyproject.toml (`lint-imports`) cannot check it."""

import ast
import tomllib

import pytest
from support import ROOT

from semiseg.base.sources import PACKAGE

CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
FOLDERS = sorted(path.parent for path in PACKAGE.rglob("__init__.py"))


def test_the_top_level_is_small():
    modules = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "__main__"}
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert len(modules) <= 6, sorted(modules)
    assert len(folders) <= 22, sorted(folders)


def test_the_contract_has_at_most_nine_floors():
    assert [len(contract["layers"]) <= 9 for contract in CONTRACTS if contract["type"] == "layers"] == [True]


@pytest.mark.parametrize("folder", FOLDERS[1:], ids=lambda folder: folder.relative_to(PACKAGE).as_posix())
def test_the_init_of_a_folder_holds_a_docstring_alone(folder):
    tree = ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))
    assert ast.get_docstring(tree)
    assert len(tree.body) == 1


def test_every_folder_with_modules_is_a_package():
    assert {path.parent for path in PACKAGE.rglob("*.py")} == set(FOLDERS)


def test_no_module_imports_the_private_file_of_another_folder():
    for path in PACKAGE.rglob("*.py"):
        room = ".".join(["semiseg", *path.relative_to(PACKAGE).parent.parts])
        for name in filter(lambda name: name.startswith("semiseg."), imported(path)):
            owner, _, file = name.rpartition(".")
            assert not file.startswith("_") or owner == room or "__" in file, f"{path} imports {name}"


def imported(path):
    """Dotted names of the modules that a file imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            if (PACKAGE.parent / node.module.replace(".", "/")).is_dir():
                yield from (f"{node.module}.{alias.name}" for alias in node.names)
