"""Audits beside sha256sum over the same files: of the tables of 1,584 runs, and of one table with large files.

It builds the project in a temporary folder (a quarter of an hour): the files of every job are small and their scores
are drawn, but rows, tables and lineage records are written by the project's own code. Costs are seconds on the clock.
In a second project, of one table, files have the sizes of real label maps and of a V-Net's weights, so that reading is
most of the work; its costs are processor seconds, in turns. ``--tiny`` has one table, and small files.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import whole_project
from measuring import Row, alternate, main

BUILD = "--build"  # what a call of this script in the project's folder does
AUDIT = [sys.executable, "-m", "semiseg", "audit"]
HASHING = ["find", "data", "results", "-type", "f", "-exec", "sha256sum", "{}", "+"]
TABLES = 11  # of 48 methods and 3 seeds
CASES = [f"case{number:02}" for number in range(20)]
REPEATS = 3


class Sizes(NamedTuple):
    """Bytes of the files of a project: of a volume, and of the weights of a run."""

    volume: int
    weights: int


SMALL = Sizes(8, 4096)  # what counts is the number of files
LARGE = Sizes(400_000, 37_800_000)  # of these there are 2,900 and 126


def rows(tiny: bool) -> list[Row]:
    return [*_of_many_files(1 if tiny else TABLES), _of_large_files(SMALL if tiny else LARGE)]


def _of_large_files(sizes: Sizes) -> Row:
    """A full audit of one table with files of these sizes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "large")
        audit = [*AUDIT, *_built(folder, 1, sizes)]
        ours, theirs = alternate(
            lambda: _seconds(folder, audit), lambda: _seconds(folder, HASHING), repeats=REPEATS, clock=_of_children
        )
    target = "at most 1.3x the floor"
    return Row("audit of large files: s", ours, theirs, "sha256sum of every file", theirs, "sha256sum", target)


def _of_children() -> float:
    """Processor time of all processes that have ended, in seconds."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _built(folder: Path, tables: int, sizes: Sizes) -> list[str]:
    """The tables of a new project in this folder, all built."""
    whole_project.copy_project(folder)
    targets = [f"results/{table}.csv" for table in whole_project.write_params(folder, tables)]
    whole_project.run(folder, [sys.executable, str(Path(__file__).resolve()), BUILD, *map(str, sizes), *targets])
    time.sleep(3)  # an audit does not remember files of the last two seconds
    return targets


def _of_many_files(tables: int) -> list[Row]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "whole")
        targets = _built(folder, tables, SMALL)
        audit, hashing = [*AUDIT, *targets], _seconds(folder, HASHING)
        found = {
            "audit": ("", _seconds(folder, audit)),
            "audit --quick": ("at most 5 s", _seconds(folder, [*audit, "--quick"])),
            "audit --quick of one table": ("", _seconds(folder, [*AUDIT, targets[0], "--quick"])),
        }
    return [
        Row(f"{what}: s", cost, hashing, "sha256sum of every file", hashing, "sha256sum", target)
        for what, (target, cost) in found.items()
    ]


def _seconds(folder: Path, command: list[str]) -> float:
    """Time of a call. RuntimeError if the call fails: an untouched project is proven."""
    begin = time.perf_counter()
    done = subprocess.run(
        command, cwd=folder, env=whole_project.environment(folder), stdout=subprocess.DEVNULL, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command[:5])} failed")
    return time.perf_counter() - begin


def build(sizes: Sizes, targets: list[str]) -> None:
    """In a project's folder, under its package: do all jobs behind these tables, the costly ones in name only."""
    from semiseg.graph.graph import Graph
    from semiseg.graph.job import Job
    from semiseg.graph.plan import Plan
    from semiseg.graph.specs import as_text
    from semiseg.jobs.run import Call, run
    from semiseg.params.reading import read

    graph = Graph(Plan(read(Path("params.yaml"))))
    jobs: dict[str, Job] = {job.main: job for target in targets for job in graph.chain(target)}
    for job in jobs.values():
        spec, files = json.loads(as_text(job.spec)), [Path(output) for output in job.outputs.values()]
        files[0].parent.mkdir(parents=True, exist_ok=True)
        inputs = [Path(path) for path in job.read]
        run(Call(job.rule, spec, inputs, files), lambda job=job, spec=spec: _work(job.rule, spec, job, sizes))
    runs = sum(job.rule == "train" for job in jobs.values())
    print(f"{len(targets)} tables, {runs} runs, {len(jobs)} jobs with a lineage record each")


def _work(rule: str, spec: dict[str, object], job: object, sizes: Sizes) -> None:
    """Stand in for a job: its files, as its readers want them."""
    from semiseg.base.files import write_json
    from semiseg.stages.row import row

    main = Path(job.main)
    for output in job.outputs.values():
        Path(output).write_text(f"{output}\n", encoding="utf-8")
    match rule:
        case "download":
            write_json(main, {"dataset": spec["dataset"], "files": {}})
        case "raw":
            sized = {
                name: {"sha256": sha, "bytes": sizes.volume}
                for name, sha in _drawn(main.parent, "nii.gz", sizes.volume).items()
            }
            write_json(main, {"cases": [], "files": sized})
        case "prepare":
            cases = {
                name: {"file": name, "sha256": sha} for name, sha in _drawn(main.parent, "h5", sizes.volume).items()
            }
            write_json(main, {"cases": cases})
        case "split":
            write_json(
                main, {"labelled": CASES[:4], "unlabelled": CASES[4:12], "val": CASES[12:14], "test": CASES[14:]}
            )
        case "train":
            main.write_bytes(os.urandom(sizes.weights))
        case "predict":
            write_json(main, {"cases": CASES, "files": _drawn(main.parent / "predictions", "nii.gz", sizes.volume)})
        case "evaluate":
            _scores(spec["dataset"], main)
        case "row":
            row(spec, [Path(path) for path in job.inputs["cases"]], Path(job.inputs["split"]), main)
        case "table":
            _tables(spec, job)


def _drawn(folder: Path, suffix: str, size: int) -> dict[str, str]:
    """A file of this size per case, by name: sha256."""
    from semiseg.base.files import sha256

    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{case}.{suffix}" for case in CASES]
    for file in files:
        file.write_bytes(os.urandom(size))
    return {file.name: sha256(file) for file in files}


def _scores(dataset: object, out: Path) -> None:
    """A score table of drawn numbers."""
    import numpy as np
    import pandas as pd

    from semiseg.dataset import get_dataset
    from semiseg.scoring.cases import COLUMNS, LENGTHS

    organs = [(organ.abbreviation, organ.id) for organ in get_dataset(str(dataset)).organs]
    rng = np.random.default_rng()
    keys = [(case, grid, *organ) for case in CASES for grid in ("prepared", "native") for organ in organs]
    overlaps = rng.integers(500, 1000, len(keys)).tolist()
    lengths = rng.uniform(0, 9, (len(keys), len(LENGTHS))).round(3).tolist()
    lines = [
        [*key, 1000, 1000, overlap, 300, 300, *drawn]
        for key, overlap, drawn in zip(keys, overlaps, lengths, strict=True)
    ]
    pd.DataFrame(lines, columns=list(COLUMNS)).to_csv(out, index=False)


def _tables(content: dict[str, object], job: object) -> None:
    """The rows of a table below each other, under each convention, and its values per case."""
    import pandas as pd

    from semiseg.base.files import write_text
    from semiseg.params.table_spec import TableSpec, read_spec
    from semiseg.report.views import read_scores
    from semiseg.scoring import case_table

    rows = pd.concat([pd.read_csv(path, dtype=str) for path in job.inputs["rows"]])
    for form, convention in (("csv", "published"), (".sound.csv", "sound")):
        rows[rows["convention"] == convention].to_csv(job.outputs[form], index=False)
    spec = read_spec(TableSpec, content, "the table's specification")
    values = case_table.as_csv(read_scores(spec), spec.seeds, spec.metrics)
    write_text(Path(job.main).with_suffix(case_table.SUFFIX), values)


if __name__ == "__main__":
    build(Sizes(*map(int, sys.argv[2:4])), sys.argv[4:]) if BUILD in sys.argv else main(rows)
