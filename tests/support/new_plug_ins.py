"""New files of methods and networks, in a copy of the package that reads their texts and imports them."""

import importlib
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from semiseg.base import sources

READERS = ("base.sources", "catalogue", "jobs.code_hash", "jobs.code_imports", "jobs.code_text")


@contextmanager
def added(folder: Path, files: Mapping[str, str]) -> Iterator[Path]:
    """Add files, such as ``{"methods/new.py": text}``, to a copy of the package below ``folder``, inside the block."""
    package = folder / "copy/semiseg"
    shutil.copytree(sources.PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    for name, text in files.items():
        (package / name).write_text(text, encoding="utf-8")
    modules = [f"semiseg.{name.removesuffix('.py').replace('/', '.')}" for name in files]
    owners = {owner: importlib.import_module(owner) for owner in {name.rpartition(".")[0] for name in modules}}
    for owner, module in owners.items():
        module.__path__.append(str(package.joinpath(*owner.split(".")[1:])))
    forget()
    try:
        with mock.patch.object(sources, "PACKAGE", package):
            yield package
    finally:
        for module in owners.values():
            module.__path__.pop()
        for name in modules:
            sys.modules.pop(name, None)
        forget()


def forget() -> None:
    """Empty the caches of what was read from the package's files."""
    importlib.invalidate_caches()
    for reader in READERS:
        for function in vars(importlib.import_module(f"semiseg.{reader}")).values():
            if hasattr(function, "cache_clear"):
                function.cache_clear()
