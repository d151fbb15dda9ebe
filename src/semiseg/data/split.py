"""The four lists of a split: from an official list, or drawn from a seed."""

from collections.abc import Mapping, Sequence, Set
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from semiseg.base.errors import UserError
from semiseg.base.files import read_json
from semiseg.base.progress import some
from semiseg.data.split_lists import PARTS, read_list
from semiseg.dataset import get_dataset
from semiseg.params.config import Drawn, Split


def resolved(spec: Mapping[str, Any], manifest: Path) -> dict[str, Any]:
    """The content of a split file: dataset, name, source, notes and the four lists."""
    definition = Split.model_validate(spec["split"])
    cases = {case["id"]: case["label"] is not None for case in read_json(manifest)["cases"]}
    where = f"split {spec['name']} of {spec['dataset']}"
    content: dict[str, Any]
    if definition.list is not None:
        content = read_list(definition.list)
    else:
        assert definition.draw is not None  # Split holds exactly one of the two
        content = draw(definition.draw, cases, where)
    case_id = get_dataset(spec["dataset"]).case_id
    parts: dict[str, list[str]] = {part: [case_id(name) for name in content[part]] for part in PARTS}
    shared = {frozenset(both["parts"]) for both in content.get("shared", ())}
    if definition.first is not None:
        parts = {part: names[: getattr(definition.first, part)] for part, names in parts.items()}
    _check(parts, cases, where, shared, content.get("instead"))
    note = {"source": content["source"], "notes": content["notes"]}
    return {"dataset": spec["dataset"], "split": spec["name"], **note, **parts}


def draw(drawn: Drawn, cases: Mapping[str, bool], where: str) -> dict[str, Any]:
    """Draw a split: test, validation and labelled from the cases with a label, unlabelled first from those without.

    cases: name -> has a label. Raises UserError when there are too few.
    """
    rng = np.random.default_rng(drawn.seed)
    labelled, rest = _shuffled(rng, cases, True), _shuffled(rng, cases, False)
    need = drawn.test + drawn.val + drawn.labelled
    if len(labelled) < need:
        raise UserError(f"{where}: needs {need} cases with a label, the dataset has {len(labelled)}: ask for fewer")
    test, labelled = labelled[: drawn.test], labelled[drawn.test :]
    val, labelled = labelled[: drawn.val], labelled[drawn.val :]
    rest += labelled[drawn.labelled :]
    if len(rest) < drawn.unlabelled:
        raise UserError(
            f"{where}: needs {drawn.unlabelled} unlabelled cases, {len(rest)} are left: ask for fewer or get more cases"
        )
    return {
        "source": [f"drawn with seed {drawn.seed}"],
        "notes": [],
        "labelled": sorted(labelled[: drawn.labelled]),
        "unlabelled": sorted(rest[: drawn.unlabelled]),
        "val": sorted(val),
        "test": sorted(test),
    }


def _shuffled(rng: np.random.Generator, cases: Mapping[str, bool], with_label: bool) -> list[str]:
    names = sorted(name for name, has_label in cases.items() if has_label is with_label)
    return [names[index] for index in rng.permutation(len(names))]


def _check(
    parts: Mapping[str, Sequence[str]],
    cases: Mapping[str, bool],
    where: str,
    shared: Set[frozenset[str]],
    instead: str | None,
) -> None:
    """Raise UserError for cases that are missing, doubled, in two parts or without a needed label.

    shared: pairs of parts that have cases in common in the published list; these are kept.
    """
    for part, names in parts.items():
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise UserError(f"{where}: case {twice} is {part} twice: a case belongs to one list")
    for (first, names), (second, others) in combinations(parts.items(), 2):
        both = [] if frozenset((first, second)) in shared else sorted(set(names) & set(others))
        if both:
            raise UserError(f"{where}: case {both[0]} is both {first} and {second}: a case belongs to one list")
    everyone = list(dict.fromkeys(name for names in parts.values() for name in names))
    missing = [name for name in everyone if name not in cases]
    if missing:
        other = "" if instead is None else f"; if you cannot get them, split list {instead} stands in for this one"
        raise UserError(
            f"{where}: {len(missing)} of {len(everyone)} cases are not in the raw data ({some(missing)}): "
            f"import them{other}"
        )
    unlabelled = [name for part in ("labelled", "val", "test") for name in parts[part] if not cases[name]]
    if unlabelled:
        raise UserError(
            f"{where}: cases without a label cannot be labelled, val or test ({some(unlabelled)}): add labels"
        )
