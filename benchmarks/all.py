"""Run every benchmark of this folder and print one table: ``python benchmarks/all.py [--page PAGE.md] [SCRIPT ...]``.

Every script that prints rows of ``measuring`` is found by itself and runs in a process of its own, one after the other,
so that none inherits memory, threads or modules of another. A script that fails is a row that says why, and the exit
status is then 1. ``--page`` writes the table, with machine and date, between the two marks of a page.
"""

import argparse
import ast
import datetime
import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path

from measuring import HEAD

from semiseg.jobs.gpu import visible_gpus

HERE = Path(__file__).resolve().parent
BEGIN, END = "<!-- benchmarks: written by `make benchmark` -->", "<!-- end of benchmarks -->"


def scripts() -> list[Path]:
    """The scripts that print rows: those that import them from ``measuring``."""
    return sorted(path for path in HERE.glob("*.py") if path.name != Path(__file__).name and _prints_rows(path))


def _prints_rows(path: Path) -> bool:
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return any(isinstance(node, ast.ImportFrom) and node.module == "measuring" for node in nodes)


def table_of(script: Path) -> tuple[list[str], bool]:
    """The rows that a script prints, without their heading, and whether it ended well."""
    done = subprocess.run([sys.executable, script], capture_output=True, encoding="utf-8")
    lines = done.stdout.splitlines()
    rows = [line for line in lines[lines.index(HEAD) + 2 :] if line.startswith("| ")] if HEAD in lines else []
    if done.returncode == 0:
        return rows, True
    reason = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "no reason given")
    return [*rows, f"| {script.name} | failed: {reason} | | | | | |"], False


def machine() -> str:
    """The machine and the versions that the times depend on, without its name."""
    gpus = visible_gpus()
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("numpy", "torch"))
    return (
        f"{os.cpu_count()} cores ({platform.machine()}), {f'{len(gpus)} GPUs' if gpus else 'no GPU'}; Python"
        f" {platform.python_version()}, {versions}"
    )


def write_page(page: Path, table: list[str]) -> None:
    """Put the table between the marks of the page. SystemExit where it has none."""
    text = page.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        sys.exit(f"{page} has no place for the table: it needs the lines {BEGIN} and {END}")
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    content = "\n".join([f"{today}, {machine()}.", "", *table])
    page.write_text(f"{before}{BEGIN}\n\n{content}\n\n{END}{after}", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scripts", nargs="*", type=Path, metavar="SCRIPT", help="default: all of this folder")
    parser.add_argument("--page", type=Path, help="page to write the table into, e.g. docs/performance.md")
    options = parser.parse_args()
    table, all_well = [HEAD, "| --- " * HEAD.count(" | ") + "| --- |"], True
    print(*table, sep="\n", flush=True)
    for script in options.scripts or scripts():
        rows, well = table_of(script)
        print(*rows, sep="\n", flush=True)
        table += rows
        all_well &= well
    if options.page:
        write_page(options.page, table)
    return 0 if all_well else 1


if __name__ == "__main__":
    sys.exit(main())
