"""A table's values per case (``results/TABLE.cases.csv``): scores as text, its reader, and scores from it again.

One line per row of the table, seed, convention, test case and organ, with the columns method, seed, convention, case,
organ and the table's means by their names in print. Dice and Jaccard are percent, distances voxels or mm as the
convention has them. An empty field is a value that the convention leaves out.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from semiseg.base.errors import UserError
from semiseg.base.metric_names import METRICS
from semiseg.scoring.averages import Scores
from semiseg.scoring.conventions import CONVENTIONS
from semiseg.scoring.scoring_rules import get_rule

SUFFIX = ".cases.csv"
KEYS = ("method", "seed", "convention", "case", "organ")
FORM = "%.4f"  # two digits more than a table prints, so that its means come out the same
Conventions = Mapping[str, Scores]


def as_csv(rows: Mapping[str, Conventions], seeds: Sequence[int], metrics: Sequence[str]) -> str:
    """The file's text. rows: per row of the table its scores under each convention, a run per seed.

    metrics: the table's metrics by their keys, as ``dice``.
    """
    frames = [
        _lines(scores, seeds, metrics).assign(method=method, convention=convention)
        for method, both in rows.items()
        for convention, scores in both.items()
    ]
    columns = [*KEYS, *(name for metric, name in METRICS.items() if metric in metrics)]
    whole = pd.concat(frames, ignore_index=True)[columns] if frames else pd.DataFrame(columns=columns)
    return whole.to_csv(index=False, float_format=FORM, lineterminator="\n")


def read(path: Path) -> pd.DataFrame:
    """Read such a file; UserError when it is missing, damaged, or names a line twice."""
    again = f"build it with `snakemake --force {path.as_posix().removesuffix(SUFFIX)}.csv`"
    try:
        frame = pd.read_csv(
            path,
            dtype=dict.fromkeys(KEYS, str) | dict.fromkeys(METRICS.values(), float) | {"seed": int},
            keep_default_na=False,  # a case or an organ may be called NA
            na_values={name: [""] for name in METRICS.values()},
        )
    except FileNotFoundError:
        raise UserError(f"{path} is missing, which holds the values per case: {again}") from None
    except ValueError as error:  # pandas' parser errors and wrong types
        raise UserError(f"{path} is no list of values per case ({' '.join(str(error).split())}): {again}") from None
    means = [name for name in METRICS.values() if name in frame]
    if missing := [name for name in KEYS if name not in frame] or ([] if means else ["Dice"]):
        raise UserError(f"{path} lacks the columns {', '.join(missing)}: {again}")
    if others := sorted(set(frame["convention"]) - set(CONVENTIONS)):
        raise UserError(
            f"{path} names the conventions {', '.join(others)}, expected {' and '.join(CONVENTIONS)}: {again}"
        )
    if frame.duplicated(list(KEYS)).any():
        raise UserError(f"{path} holds more than one line for a case and organ of a run: {again}")
    return frame


def scores_of(frame: pd.DataFrame, method: str, convention: str, rule: str) -> Scores:
    """The scores of one row of the table, as `semiseg.scoring.averages.gather` gives them, without counts of organs.

    frame: of ``read``; rule: the convention's scoring rule. Metrics that the table lacks are NaN. The file is not
    checked against the runs that it was made from: the audit does that.
    """
    lines = frame[(frame["method"] == method) & (frame["convention"] == convention)]
    organs, cases = tuple(lines["organ"].unique()), tuple(sorted(lines["case"].unique()))
    seeds = tuple(lines["seed"].unique())
    places = pd.MultiIndex.from_product([seeds, cases, organs])
    metrics = lines.set_index(["seed", "case", "organ"]).reindex(places).reindex(columns=list(METRICS.values()))
    values = metrics.to_numpy(float).reshape(len(seeds), len(cases), len(organs), len(METRICS))
    return Scores(get_rule(rule), cases, organs, values, pd.DataFrame())


def _lines(scores: Scores, seeds: Sequence[int], metrics: Sequence[str]) -> pd.DataFrame:
    """The lines of one row under one convention, without method and convention."""
    runs, cases, organs = scores.values.shape[:3]
    if runs != len(seeds):
        raise UserError(
            f"{runs} runs have scores, expected one of each of the {len(seeds)} seeds: build the table again"
        )
    content = {
        "seed": np.repeat(np.asarray(seeds, int), cases * organs),
        "case": np.tile(np.repeat(np.asarray(scores.cases, object), organs), runs),
        "organ": np.tile(np.asarray(scores.organs, object), runs * cases),
    }
    for place, (metric, name) in enumerate(METRICS.items()):
        if metric in metrics:
            content[name] = scores.values[..., place].ravel()
    return pd.DataFrame(content)
