"""A synthetic project of full size: all tables of params.yaml, and tables of 48 methods and 3 seeds beside them until
there are 48 x 30 x 3 runs.

Methods beyond those of the package are copies of its files under other names, in a copy of the package. Run as a script
in such a project's folder, under its package, it writes every file that a complete project has, with a line of text in
each, and its lineage records.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent
METHODS, SEEDS = 48, 3
TABLES = 26  # beside those of params.yaml, whose runs make up for the other four
DATASETS = ("flare22", "amos22", "btcv", "mmwhs")
BARE = "--bare"  # what a call of this script in the project's folder writes elsewhere
# After a plan is made, have Snakemake note of every job what it notes when a job has ended, and end.
REMEMBER = """

onstart:
    for job in workflow.dag.jobs:
        workflow.async_run(workflow.persistence.finished(job))
    raise SystemExit(0)
"""


def copy_project(folder: Path) -> None:
    """The workflow, and a package with copies of its methods until there are enough."""
    folder.mkdir()
    shutil.copy(ROOT / "Snakefile", folder)
    for name in ("workflow", "profiles", "src"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    originals = methods(folder)
    for number in range(METHODS - len(originals)):
        name = originals[number % len(originals)]
        files = folder / "src/semiseg/methods"
        shutil.copy(files / f"{name}.py", files / f"{name}_copy{number:02}.py")


def methods(folder: Path) -> list[str]:
    """Names of a project's methods."""
    files = (folder / "src/semiseg/methods").glob("*.py")
    return sorted(path.stem for path in files if not path.stem.startswith("_"))


def write_params(folder: Path, tables: int = TABLES) -> list[str]:
    """params.yaml with the synthetic tables; returns their names. Each has a split, and so all its runs, of its own."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    names = [f"whole_{number:02}" for number in range(tables)]
    for number, name in enumerate(names):
        dataset = DATASETS[number % len(DATASETS)]
        draw = {"labelled": 8, "unlabelled": 40, "val": 4, "test": 20, "seed": number}
        params["splits"][dataset][name] = {"draw": draw}
        params["tables"][name] = {
            "title": f"Synthetic table {number}",
            "dataset": dataset,
            "protocol": "guidednet",
            "split": name,
            "seeds": list(range(SEEDS)),
            "rows": methods(folder),
        }
    (folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    return names


def targets(folder: Path) -> list[str]:
    """All tables of a project."""
    params = yaml.safe_load((folder / "params.yaml").read_text(encoding="utf-8"))
    return [f"results/{name}.csv" for name in params["tables"]]


def complete(folder: Path) -> str:
    """Write every file of the project, and have Snakemake note that it made them. Says how much that is."""
    size = run(folder, [sys.executable, str(Path(__file__).resolve())])
    workflow = (folder / "Snakefile").read_text(encoding="utf-8")
    (folder / "Snakefile.remember").write_text(workflow + REMEMBER, encoding="utf-8")
    run(folder, snakemake("--snakefile", "Snakefile.remember", "--touch", "--forceall", "--", *targets(folder)))
    return size.strip()


def bare(folder: Path, beside: Path) -> None:
    """Beside a complete project, in a new folder, one of the same files and as many jobs, and nothing else of ours.

    Its rules have no parameters, hashes of code, logs or environments. Their inputs are looked up in a list, and
    Snakemake has noted of every job that it has ended.
    """
    beside.mkdir()
    for name in ("data", "results"):
        (beside / name).symlink_to(folder / name)
    run(folder, [sys.executable, str(Path(__file__).resolve()), BARE, str(beside)])
    workflow = (beside / "Snakefile").read_text(encoding="utf-8")
    (beside / "Snakefile.remember").write_text(workflow + REMEMBER, encoding="utf-8")
    run(beside, snakemake("--snakefile", "Snakefile.remember", "--touch", "--forceall", "--", *targets(folder)))


def snakemake(*arguments: str) -> list[str]:
    """A command line of Snakemake in this environment."""
    return [sys.executable, "-m", "snakemake", "--cores", "2", *arguments]


def environment(folder: Path) -> dict[str, str]:
    """Variables under which a project's own copy of the package is imported."""
    return {**os.environ, "PYTHONPATH": str(folder / "src"), "OMP_NUM_THREADS": "1"}


def run(folder: Path, command: Sequence[str]) -> str:
    """What a command printed. RuntimeError with its last words if it failed."""
    done = subprocess.run(command, cwd=folder, env=environment(folder), capture_output=True, encoding="utf-8")
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr[-2000:]}")
    return done.stdout


def _jobs() -> dict[str, Any]:
    """All jobs of the project in this folder by main output, each after those that it needs."""
    from semiseg.graph.graph import Graph
    from semiseg.graph.plan import Plan
    from semiseg.params.reading import read

    graph = Graph(Plan(read(Path("params.yaml"))))
    return {job.main: job for target in targets(Path()) for job in graph.chain(target)}


def write_bare(folder: Path) -> None:
    """Write a Snakefile with the rules of the project in this folder, and a list of the inputs of their jobs."""
    from semiseg.graph.graph import WILDCARDS, WORD
    from semiseg.stages.rules import RULES

    jobs = _jobs()
    (folder / "inputs.json").write_text(json.dumps({main: job.read for main, job in jobs.items()}), encoding="utf-8")
    mains = {name: rule.outputs[0].template for name, rule in RULES.items()}
    names = sorted({name for main in mains.values() for name in re.findall(r"{(\w+)}", main)})
    constraints = "".join(f"    {name}=r'{WILDCARDS.get(name, WORD)}',\n" for name in names)
    rules = (_bare_rule(job, mains[job.rule]) for job in {job.rule: job for job in jobs.values()}.values())
    text = f"import json\n\nINPUTS = json.load(open('inputs.json'))\n\nwildcard_constraints:\n{constraints}"
    (folder / "Snakefile").write_text(text + "".join(rules), encoding="utf-8")


def _bare_rule(job: Any, main: str) -> str:
    """The rule of a job whose main output has this template; its other outputs differ from it in their ends."""
    outputs = []
    for output in job.outputs.values():
        shared = len(os.path.commonprefix([job.main, output]))  # noqa: RUF071 - the ends of names differ, too
        outputs.append(main[: len(main) - len(job.main) + shared] + output[shared:])
    return (
        f"\nrule {job.rule}:\n    input:\n        lambda wildcards: INPUTS[{main!r}.format(**wildcards)],\n"
        f"    output:\n        {', '.join(map(repr, outputs))},\n    shell:\n        'touch {{output}}'\n"
    )


def main() -> None:
    """Write the files of the project in this folder, each after those that it is made from; say how many jobs."""
    from semiseg.jobs.code_hash import module_hashes
    from semiseg.jobs.record import write_record

    jobs = _jobs()
    ended = {"time": {"start": "2026-01-01T00:00:00Z", "end": "2026-01-01T00:00:00Z"}}
    for job in jobs.values():
        for output in map(Path, job.outputs.values()):
            output.parent.mkdir(parents=True, exist_ok=True)
            output.write_text(f"{output}\n", encoding="utf-8")
        read, made = map(Path, job.read), map(Path, job.outputs.values())
        write_record(job.rule, job.spec, module_hashes(*job.modules), list(read), list(made), ended)
    count = Counter(job.rule for job in jobs.values())
    print(f"{count['table']} tables, {count['row']} rows, {count['train']} runs, {len(jobs)} jobs")


if __name__ == "__main__":
    write_bare(Path(sys.argv[2])) if BARE in sys.argv else main()
