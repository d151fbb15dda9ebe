"""A tiny table, small enough for a minute, and calls of the real Snakemake as a user makes them."""

from collections.abc import Iterable
from pathlib import Path

from support import params_yaml, warm

TABLE = "results/tiny.csv"


def tiny_params():
    """The project's parameters with one more protocol and table, small enough for a minute."""
    params = params_yaml.content()
    params["datasets"]["phantom_mri"] = {"generate": {"seed": 3, "labelled": 5, "unlabelled": 2, "size": 48}}
    params["splits"]["phantom_mri"] = {
        "tiny": {"draw": {"labelled": 2, "unlabelled": 2, "val": 1, "test": 2, "seed": 1}}
    }
    protocol = params["protocols"]["la_small"]
    protocol["network"]["filters"] = 2
    protocol["training"] |= {"patch": [32, 32, 16], "iterations": 4, "validation": None}
    protocol["inference"] = {"window": [32, 32, 16], "stride": [32, 32, 16]}
    params["tables"]["tiny"] = {
        "title": "Tiny",
        "dataset": "phantom_mri",
        "protocol": "la_small",
        "split": "tiny",
        "seeds": [1],
        "rows": ["sup_only", "cps", "control_perfect", "control_empty"],
        "metrics": ["dice", "jaccard", "asd", "hd95"],
    }
    return params


def alone(content: dict, *tables: str) -> dict:
    """Parameters of these tables alone, because each call reads and checks the whole file."""
    kept = {name: content["tables"][name] for name in tables}
    protocols = {name: content["protocols"][name] for name in _protocols(content, kept.values())}
    datasets = {table["dataset"] for table in kept.values()}
    return content | {
        "datasets": {name: options for name, options in content["datasets"].items() if name in datasets},
        "splits": {name: splits for name, splits in content["splits"].items() if name in datasets},
        "preparations": {
            name: steps
            for name, steps in content["preparations"].items()
            if name in {protocol["preparation"] for protocol in protocols.values()}
        },
        "protocols": protocols,
        "variants": {},
        "tables": kept,
    }


def _protocols(content: dict, tables: Iterable[dict]) -> set[str]:
    """The protocols of tables and of their rows, and those of the pre-trainings that these start from."""
    rows = [row for table in tables for row in (table, *table["rows"]) if isinstance(row, dict)]
    named = {row["protocol"] for row in rows if "protocol" in row}
    starts = (content["protocols"][name].get("initial") or {} for name in named)
    return named | {start["protocol"] for start in starts if "protocol" in start}


def snakemake(folder: Path, *arguments: str):
    """A call as a user makes it; the environment's folder is not on the PATH, as with an unactivated one."""
    return warm.snakemake(folder, ["--cores", "1", *arguments])


def planned(folder: Path, *targets: str) -> dict[str, int]:
    """Jobs per rule of a dry run; empty when there is nothing to do."""
    result = snakemake(folder, "-n", *(targets or [TABLE]))
    assert result.returncode == 0, result.stdout + result.stderr
    lines = (result.stdout + result.stderr).splitlines()
    start = next((i for i, line in enumerate(lines) if line.startswith("job ")), None)
    if start is None:
        assert "Nothing to be done" in result.stdout + result.stderr
        return {}
    counts = {}
    for line in lines[start + 2 :]:
        if not line.strip() or line.startswith("total"):
            break
        rule, count = line.split()
        counts[rule] = int(count)
    return counts
