"""Whether the list of a split can be formed from what the publisher offers, and the list's caveats, in sentences."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from semiseg.base.texts import some
from semiseg.data.split_lists import PARTS, read_list
from semiseg.dataset import get_dataset
from semiseg.graph.plan import Plan
from semiseg.params.config import Params
from semiseg.params.data import Split

WORDS = {"labelled": "labelled", "unlabelled": "unlabelled", "val": "validation", "test": "test"}


@dataclass(frozen=True)
class ListState:
    """Whether a list can be formed. sentence: says it; instead: a table with a list that can be, where there is one."""

    sentence: str
    can_be_formed: bool = True
    instead: str | None = None


def list_state(plan: Plan, table: str) -> ListState:
    """Whether the cases of a table's split are among the files that the publisher offers."""
    one = plan.table(table)
    dataset, split = get_dataset(one.dataset), plan.split(one.dataset, one.split)
    if split.list is None:
        return ListState("drawn from the cases that are there")
    content = read_list(split.list)
    names = list(dict.fromkeys(dataset.case_id(name) for part in PARTS for name in content[part]))
    offered = {case: part for part in dataset.parts for case in part.cases}
    missing = [name for name in names if name not in offered]
    if not offered:
        return ListState(f"{split.list}; what the publisher offers is not known here")
    if missing:
        other = _table_with(plan.params, table, content["instead"])
        lacking = (
            f"{split.list} cannot be formed from the official files, which lack {len(missing)} of its"
            f" {len(names)} cases ({some(missing, 3)})"
        )
        told = f"; table {other} has a list that can be formed" if other else ""
        return ListState(lacking + told, can_be_formed=False, instead=other)
    gated = sum(not offered[name].open for name in names)
    way = "all are open" if not gated else f"{gated} of them on registration"
    return ListState(f"{split.list} can be formed from the official files: {len(names)} cases, {way}")


def caveats(split: Split) -> list[str]:
    """Caveats of a split, in sentences."""
    return [] if split.list is None else caveats_of(read_list(split.list))


def caveats_of(content: Mapping[str, Any]) -> list[str]:
    """Caveats of a split list, in sentences. content: of ``read_list``."""
    notes = list(content["notes"])
    notes += [f"The same scan under several names: {', '.join(group)}." for group in content["twins"]]
    notes += [
        f"{shared['cases']} cases are both {WORDS[shared['parts'][0]]} and {WORDS[shared['parts'][1]]}."
        for shared in content["shared"]
    ]
    if content["instead"] is not None:
        notes.append(f"The nearest sound list is {content['instead']}.")
    return notes


def _table_with(params: Params, table: str, instead: str | None) -> str | None:
    """A table of the same protocol whose split is this list."""
    one = params.tables[table]
    for name, other in params.tables.items():
        same = (other.dataset, other.protocol) == (one.dataset, one.protocol)
        if same and instead is not None and params.splits[other.dataset][other.split].list == instead:
            return name
    return None
