"""Rule ``row``: one row of a table, from the scores of its runs, under both conventions."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from semiseg.base.errors import UserError
from semiseg.base.files import read_json, write_text
from semiseg.base.metric_names import METRICS
from semiseg.params.table_spec import RowSpec, read_spec
from semiseg.scoring.cases import read_cases
from semiseg.scoring.conventions import scoring_rules
from semiseg.scoring.score import score
from semiseg.scoring.scoring_rules import Spread


def row(content: Mapping[str, Any], cases: Sequence[Path], split: Path, out: Path) -> None:
    """Write the two lines of a row (``as_csv``)."""
    write_text(out, as_csv(content, cases, split))


def as_csv(content: Mapping[str, Any], cases: Sequence[Path], split: Path) -> str:
    """The two lines of a row: one scored by the published rule of its protocol, one by the sound rule.

    content: a ``RowSpec`` as JSON. cases: one cases.csv per seed. split: the row also gives the numbers of labelled and
    unlabelled training cases, and no unlabelled ones where the method ignores them.
    Organ columns hold the mean Dice in percent. Numbers have two decimals; an undefined number is an empty field.
    Raises UserError when a score table is missing, damaged, or lacks an organ of the table.
    """
    spec, parts = read_spec(RowSpec, content, "the row's specification"), read_json(split)
    runs = [_read(path, spec.organs) for path in cases]
    head = {"method": spec.method, "label": spec.label}
    spreads = {"published": spec.spread}
    data = {"labelled": len(parts["labelled"]), "unlabelled": 0 if spec.labelled_only else len(parts["unlabelled"])}
    lines = [
        {**head, "convention": convention, "rule": rule, **data, **_scored(rule, spreads.get(convention), runs, spec)}
        for convention, rule in scoring_rules(spec.published).items()
    ]
    return pd.DataFrame(lines).to_csv(index=False, float_format="%.2f")


def _scored(rule: str, spread: Spread | None, runs: list[pd.DataFrame], spec: RowSpec) -> dict[str, Any]:
    summary = score(rule, runs, spread, spec.organs)
    line: dict[str, Any] = {organ: summary.organs.loc[organ, "dice"] for organ in spec.organs}
    for metric in spec.metrics:
        line[METRICS[metric]] = summary.means[metric]
        line[f"{METRICS[metric]} SD"] = summary.spreads[metric]
    counts = {"seeds": len(runs), "n": summary.cases, "absent": summary.absent, "missed": summary.missed}
    counts["false_positive"] = summary.false_positive
    return {**line, "unit": summary.unit, "spread_over": summary.spread_over, **counts}


def _read(path: Path, organs: Sequence[str]) -> pd.DataFrame:
    """The score table of a run. Raises UserError where it lacks an organ of the result table."""
    frame = read_cases(path)
    known = frame["organ"].unique().tolist()
    if lacking := [organ for organ in organs if organ not in known]:
        has = ", ".join(known) or "none"
        raise UserError(f"{path} has no scores for {', '.join(lacking)} (it has: {has}): correct the table's organs")
    return frame
