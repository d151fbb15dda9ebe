"""Audits of the tables of a project of 1,584 runs, beside sha256sum over the same files.

It builds the project in a temporary folder (a quarter of an hour): the files of every job are small and their scores
are drawn, but rows, tables and lineage records are written by the project's own code. Costs are seconds on the clock.
``--tiny`` has one table.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import whole_project
from measuring import Row, main

BUILD = "--build"  # what a call of this script in the project's folder does
TABLES = 11  # of 48 methods and 3 seeds
CASES = [f"case{number:02}" for number in range(20)]
WEIGHTS = 4096  # bytes: what counts here is the number of files


def rows(tiny: bool) -> list[Row]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "whole")
        whole_project.copy_project(folder)
        names = whole_project.write_params(folder, 1 if tiny else TABLES)
        targets = [f"results/{table}.csv" for table in names]
        whole_project.run(folder, [sys.executable, str(Path(__file__).resolve()), BUILD, *targets])
        time.sleep(3)  # an audit does not remember files of the last two seconds
        audit = [sys.executable, "-m", "semiseg", "audit", *targets]
        hashing = _seconds(folder, ["find", "data", "results", "-type", "f", "-exec", "sha256sum", "{}", "+"])
        found = {
            "audit": ("at most 1.3x the floor", _seconds(folder, audit)),
            "audit --quick": ("at most 5 s", _seconds(folder, [*audit, "--quick"])),
            "audit --quick of one table": ("", _seconds(folder, [*audit[:4], targets[0], "--quick"])),
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


def build(targets: list[str]) -> None:
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
        run(Call(job.rule, spec, inputs, files), lambda job=job, spec=spec: _work(job.rule, spec, job))
    runs = sum(job.rule == "train" for job in jobs.values())
    print(f"{len(targets)} tables, {runs} runs, {len(jobs)} jobs with a lineage record each")


def _work(rule: str, spec: dict[str, object], job: object) -> None:
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
            sized = {name: {"sha256": sha, "bytes": 8} for name, sha in _drawn(main.parent, "nii.gz").items()}
            write_json(main, {"cases": [], "files": sized})
        case "prepare":
            cases = {name: {"file": name, "sha256": sha} for name, sha in _drawn(main.parent, "h5").items()}
            write_json(main, {"cases": cases})
        case "split":
            write_json(
                main, {"labelled": CASES[:4], "unlabelled": CASES[4:12], "val": CASES[12:14], "test": CASES[14:]}
            )
        case "train":
            main.write_bytes(os.urandom(WEIGHTS))
        case "predict":
            write_json(main, {"cases": CASES, "files": _drawn(main.parent / "predictions", "nii.gz")})
        case "evaluate":
            _scores(spec["dataset"], main)
        case "row":
            row(spec, [Path(path) for path in job.inputs["cases"]], Path(job.inputs["split"]), main)
        case "table":
            _tables(job)


def _drawn(folder: Path, suffix: str) -> dict[str, str]:
    """A small file per case, by name: sha256."""
    from semiseg.base.files import sha256

    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{case}.{suffix}" for case in CASES]
    for file in files:
        file.write_bytes(os.urandom(8))
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


def _tables(job: object) -> None:
    """The rows of a table below each other, under each convention."""
    import pandas as pd

    rows = pd.concat([pd.read_csv(path, dtype=str) for path in job.inputs["rows"]])
    for form, convention in (("csv", "published"), (".sound.csv", "sound")):
        rows[rows["convention"] == convention].to_csv(job.outputs[form], index=False)


if __name__ == "__main__":
    build(sys.argv[2:]) if BUILD in sys.argv else main(rows)
