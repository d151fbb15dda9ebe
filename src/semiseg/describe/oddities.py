"""What is odd about a table in a few sentences: cut test scans, checkpoints, units of distances, twin scans.

Where tables of the same dataset are built in this folder, their numbers say how much it matters; the table itself comes
first.
"""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from statistics import median
from typing import Any

from semiseg.base.controls import is_control
from semiseg.base.errors import UserError
from semiseg.base.files import read_json
from semiseg.base.metric_names import LOWER_IS_BETTER, METRICS
from semiseg.base.texts import counted, listed
from semiseg.data.split_lists import PARTS, read_list
from semiseg.data.store import read_geometry
from semiseg.graph.plan import Plan
from semiseg.graph.specs import Specs
from semiseg.graph.split_lists import WORDS
from semiseg.params.preparation import CropLabel
from semiseg.params.table import Table
from semiseg.paths import PREPARED, TABLE
from semiseg.scoring.scoring_rule_texts import MISSED_IS_ZERO
from semiseg.scoring.scoring_rules import get_rule

WHOLE = 0.99  # of a scan's volume; what is cut off less than 1 % is not worth a number
Line = Mapping[str, str]  # of a table's views


@dataclass(frozen=True)
class Oddities:
    """The oddities of one table."""

    plan: Plan
    name: str

    @property
    def sentences(self) -> list[str]:
        """All of them; empty where nothing is odd. Raises UserError for a damaged list."""
        return [*self._cut(), *self._chosen(), *self._voxels(), *self._twins()]

    @cached_property
    def _table(self) -> Table:
        return self.plan.table(self.name)

    @cached_property
    def _built(self) -> dict[str, list[Line]]:
        """The views of the tables of this dataset that are here, the table's own first."""
        others = [name for name, one in self.plan.params.tables.items() if one.dataset == self._table.dataset]
        paths = {name: Path(TABLE.format(table=name)).with_suffix(".views.csv") for name in (self.name, *others)}
        return {name: _read(path) for name, path in paths.items() if path.exists()}

    def _cut(self) -> Iterator[str]:
        preparation = self.plan.protocol(self._table.protocol).preparation
        if any(isinstance(step, CropLabel) for step in self.plan.preparation(preparation).steps):
            left = self._left(preparation)
            number = "" if left is None else f" Here {100 * left:.0f} % of a scan is left (median)."
            yield f"Test scans are cropped around their true label, which gives away where the organ is.{number}"

    def _left(self, preparation: str) -> float | None:
        """The part of a scan that the crop leaves, in mm^3, as the median of the prepared cases that are here."""
        index = Path(PREPARED.format(dataset=self._table.dataset, preparation=preparation))
        if not index.exists():
            return None
        files = (index.parent / entry["file"] for entry in read_json(index)["cases"].values())
        shares = [_share(file) for file in files if file.exists()]
        return median(shares) if shares and median(shares) < WHOLE else None

    def _chosen(self) -> Iterator[str]:
        labels = {row.method: row.label or row.method for row in self._table.rows}
        shown = Specs(self.plan).checkpoints(self.name)
        best = [labels[row] for row, one in shown.items() if one.rule == "best_test"]
        if best:
            show = f"{len(best)} of {counted(len(labels), 'row')} {'shows' if len(best) == 1 else 'show'}"
            yield f"{show} the checkpoint that is best on the test list itself: {listed(best)}.{self._optimism()}"

    def _optimism(self) -> str:
        """What the choice on the test list added in the first table here that has such rows."""
        for name, lines in self._built.items():
            found = {
                line["label"]: line for line in lines if line.get("published_optimism") and line["column"] == "Dice"
            }
            if found:
                gains = [float(line["published_optimism"]) for line in found.values()]
                largest = max(found, key=lambda label: float(found[label]["published_optimism"]))
                of = found[largest]
                ends = [of[f"published_optimism_{end}"] for end in ("low", "high")]
                interval = f" [{', '.join(ends)}]" if all(ends) else ""
                return (
                    f" In {name} here it adds {sum(gains) / len(gains):.2f} Dice on average, most"
                    f" {max(gains):.2f}{interval} ({largest})."
                )
        return ""

    def _voxels(self) -> Iterator[str]:
        rule = self.plan.protocol(self._table.protocol).scoring
        distances = [METRICS[metric] for metric in self._table.metrics if METRICS[metric] in LOWER_IS_BETTER]
        if get_rule(rule).unit == "voxel" and distances:
            empty = ", and an empty prediction counts as distance 0" if rule in MISSED_IS_ZERO else ""
            yield f"Distances ({listed(distances)}) are in voxels, not mm{empty}.{self._in_mm(distances)}"

    def _in_mm(self, distances: list[str]) -> str:
        """One distance of one row under both rules, in the first table here that has it."""
        for name, lines in self._built.items():
            for line in lines:
                has_both = bool(line["published"]) and bool(line["sound"])
                if has_both and line["column"] == distances[-1] and not is_control(line["method"]):
                    missed = sum(int(one["missed"] or 0) for one in lines if one["column"] == line["column"])
                    return (
                        f" In {name} here {line['label']} has {line['column']} {line['published']} voxels so, and"
                        f" {line['sound']} mm by the sound rule; {counted(missed, 'empty prediction')} in all rows."
                    )
        return ""

    def _twins(self) -> Iterator[str]:
        split = self.plan.split(self._table.dataset, self._table.split)
        if split.list is None:
            return
        content = read_list(split.list)
        place = {case: WORDS[part] for part in PARTS for case in content[part]}
        for group in content["twins"]:
            yield f"One scan stands under several names: {listed([f'{case} ({place[case]})' for case in group])}."
        for shared in content["shared"]:
            first, second = (WORDS[part] for part in shared["parts"])
            yield f"{counted(shared['cases'], 'case')} of the split are both {first} and {second}."


def _share(file: Path) -> float:
    """The volume of a prepared case as a part of its raw scan's."""
    geometry = read_geometry(file)
    volumes = (
        prod(shape) * prod(float(sum(value**2 for value in column)) ** 0.5 for column in affine[:3, :3].T)
        for shape, affine in ((geometry.shape, geometry.affine), (geometry.raw_shape, geometry.raw_affine))
    )
    stored, raw = volumes
    return float(stored / raw)


def _read(path: Path) -> list[Any]:
    """The lines of a table's views. Raises UserError for a file that lacks their columns."""
    with path.open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    if not lines or {"method", "label", "column", "published", "sound", "missed"} - lines[0].keys():
        raise UserError(f"{path} has not the columns of a table's views: build the table again")
    return lines
