"""Rule ``row``: one row of a table, from the scores of its runs, under both conventions."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from semiseg.errors import UserError
from semiseg.files import atomic, read_json
from semiseg.report.cells import METRICS
from semiseg.scoring import score


def row(spec: Mapping[str, Any], cases: Sequence[Path], split: Path, out: Path) -> None:
    """Write a row's two lines: scored by the published rule of its protocol, and by the sound rule.

    cases: one cases.csv per seed; split: counts of labelled and unlabelled training cases are printed beside the row.
    Organ columns hold the mean Dice in percent; numbers have two decimals, an undefined one is an empty field.
    Raises UserError when a score table is missing, damaged, or lacks an organ of the table.
    """
    parts = read_json(split)
    runs = [_read(path, spec["organs"]) for path in cases]
    head = {"method": spec["method"], "label": spec["label"]}
    data = {part: len(parts[part]) for part in ("labelled", "unlabelled")}
    lines = [
        {**head, "convention": convention, "rule": rule, **data, **_scored(rule, runs, spec), "seeds": len(runs)}
        for convention, rule in (("published", spec["published"]), ("sound", "sound"))
    ]
    with atomic(out) as temporary:
        pd.DataFrame(lines).to_csv(temporary, index=False, float_format="%.2f")


def _scored(rule: str, runs: list[pd.DataFrame], spec: Mapping[str, Any]) -> dict[str, Any]:
    summary = score(rule, runs)
    line: dict[str, Any] = {organ: summary.organs.loc[organ, "dice"] for organ in spec["organs"]}
    for metric in spec["metrics"]:
        line[METRICS[metric]] = summary.means[metric]
        line[f"{METRICS[metric]} SD"] = summary.spreads[metric]
    counts = {"n": summary.cases, "absent": summary.absent, "missed": summary.missed}
    return {**line, "unit": summary.unit, "spread_over": summary.spread_over, **counts}


def _read(path: Path, organs: Sequence[str]) -> pd.DataFrame:
    """A run's score table, the table's organs alone: means are taken over these."""
    try:
        frame = pd.read_csv(path)
    except FileNotFoundError:
        raise UserError(f"{path} is missing: build it with `snakemake {path}`") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not a score table ({error}): delete it and build it again") from None
    if "organ" not in frame:
        raise UserError(f"{path} has no column organ: delete it and build it again")
    absent = sorted(set(organs) - set(frame["organ"]))
    if absent:
        known = ", ".join(frame["organ"].unique())
        raise UserError(f"{path} has no scores for {', '.join(absent)}; it has: {known or 'none'}: correct the organs")
    return frame[frame["organ"].isin(organs)]
