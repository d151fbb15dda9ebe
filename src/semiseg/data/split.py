"""The four lists of a split: from an official list, or drawn from a seed.

A drawn split keeps the scans of a patient on one side of training, validation and test.
"""

from collections.abc import Callable, Mapping, Sequence, Set
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from semiseg.base.errors import UserError
from semiseg.base.files import read_json
from semiseg.base.texts import some
from semiseg.data.split_lists import PARTS, read_list
from semiseg.data.splitcheck.leaks import leaks
from semiseg.dataset import get_dataset
from semiseg.params.data import Drawn, Split

DRAWS = 100  # tries until a draw keeps patients together
TOGETHER = (
    "Scans of a patient are on one side of training, validation and test; scans that this leaves over are unused."
)


def resolved(spec: Mapping[str, Any], manifest: Path) -> dict[str, Any]:
    """The content of a split file: dataset, name, source, notes, the four lists, and ``serious``.

    serious: sentences about leaks between training, validation and test (``semiseg.data.splitcheck.leaks``).
    """
    definition, kind = Split.model_validate(spec["split"]), get_dataset(spec["dataset"])
    listed = read_json(manifest)
    cases = {case["id"]: case["label"] is not None for case in listed["cases"]}
    where = f"split {spec['name']} of {spec['dataset']}"
    content: dict[str, Any]
    if definition.list is not None:
        content = read_list(definition.list)
    else:
        assert definition.draw is not None  # Split holds exactly one of the two
        content = draw(definition.draw, cases, where, kind.patient)
    parts: dict[str, list[str]] = {part: [kind.case_id(name) for name in content[part]] for part in PARTS}
    shared = {frozenset(both["parts"]) for both in content.get("shared", ())}
    if definition.first is not None:
        parts = {part: names[: getattr(definition.first, part)] for part, names in parts.items()}
    _check(parts, cases, where, shared, content.get("instead"))
    hashes = {case["id"]: listed["files"][case["image"]]["sha256"] for case in listed["cases"]}
    used = {case for names in parts.values() for case in names}
    groups = [[kind.case_id(name) for name in group] for group in content.get("twins", ())]
    twins = [kept for group in groups if len(kept := [case for case in group if case in used]) > 1]
    serious = [leak.text for leak in leaks(kind, parts, hashes, twins) if leak.severity == "serious"]
    note = {"source": content["source"], "notes": content["notes"], "serious": serious}
    return {"dataset": spec["dataset"], "split": spec["name"], **note, **parts}


def draw(
    drawn: Drawn, cases: Mapping[str, bool], where: str, patient: Callable[[str], str] = lambda case: case
) -> dict[str, Any]:
    """Draw a split: test, validation and labelled from the cases with a label, unlabelled first from those without.

    cases: name -> has a label. patient: name -> its patient, whose cases are drawn for one side of training, validation
    and test alone. A draw that fails over the patients is repeated with the next random numbers. Raises UserError when
    there are too few cases, or too few once patients are kept together.
    """
    need = drawn.test + drawn.val + drawn.labelled
    with_label = sum(cases.values())
    if with_label < need:
        raise UserError(f"{where}: needs {need} cases with a label, the dataset has {with_label}: ask for fewer")
    if (left := len(cases) - need) < drawn.unlabelled:
        raise UserError(
            f"{where}: needs {drawn.unlabelled} unlabelled cases, {left} are left: ask for fewer or get more cases"
        )
    patients = len({patient(case) for case in cases})
    rng = np.random.default_rng(drawn.seed)
    for _ in range(DRAWS):
        parts = _drawn(drawn, _shuffled(rng, cases, True), _shuffled(rng, cases, False), patient)
        if all(len(parts[part]) == getattr(drawn, part) for part in PARTS):
            notes = [] if patients == len(cases) else [TOGETHER]
            return {"source": [f"drawn with seed {drawn.seed}"], "notes": notes, **parts}
    raise UserError(
        f"{where}: asks for {', '.join(f'{getattr(drawn, part)} {part}' for part in PARTS)} cases, and none of {DRAWS} "
        f"draws keeps each of {patients} patients ({len(cases)} cases) on one side of training, validation and test: a "
        "patient of several scans takes them all to one side, so ask for fewer cases"
    )


def _drawn(
    drawn: Drawn, labelled: Sequence[str], rest: Sequence[str], patient: Callable[[str], str]
) -> dict[str, list[str]]:
    """One try at the four lists, which may come out short. labelled, rest: shuffled cases with and without label."""
    test = _of_whole_patients(labelled, drawn.test, patient)
    labelled = _of_others(labelled, test, patient)
    val = _of_whole_patients(labelled, drawn.val, patient)
    labelled = _of_others(labelled, val, patient)
    rest = [*_of_others(rest, [*test, *val], patient), *labelled[drawn.labelled :]]
    return {
        "labelled": sorted(labelled[: drawn.labelled]),
        "unlabelled": sorted(rest[: drawn.unlabelled]),
        "val": sorted(val),
        "test": sorted(test),
    }


def _of_whole_patients(cases: Sequence[str], count: int, patient: Callable[[str], str]) -> list[str]:
    """The first ``count`` cases, patient by patient.

    A patient with more cases than are wanted still is passed over, and used in part only where no other is left.
    """
    of: dict[str, list[str]] = {}
    for case in cases:
        of.setdefault(patient(case), []).append(case)
    chosen: list[str] = []
    large = []
    for own in of.values():
        if len(chosen) + len(own) <= count:
            chosen += own
        else:
            large += own
    return chosen + large[: count - len(chosen)]


def _of_others(cases: Sequence[str], taken: Sequence[str], patient: Callable[[str], str]) -> list[str]:
    """The cases of patients who have none in ``taken``."""
    patients = {patient(case) for case in taken}
    return [case for case in cases if patient(case) not in patients]


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
