"""Leaks of a split that show in its lists alone: names of patients, equal files, cases in two parts, known twins.

The rule ``split`` looks for them on its own; ``semiseg check-split`` compares the scans as well.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from semiseg.base.texts import some
from semiseg.data.split_lists import PARTS
from semiseg.dataset import Dataset

Parts = Mapping[str, Sequence[str]]
Severity = Literal["serious", "warning", "note"]
SEVERITIES = ("serious", "warning", "note")
SIDES = {"labelled": "train", "unlabelled": "train", "val": "val", "test": "test"}


@dataclass(frozen=True)
class Finding:
    """A fault of a split, or a fact worth knowing. serious: results on this split are misleading."""

    severity: Severity
    kind: str
    cases: tuple[str, ...]
    text: str


def leaks(kind: Dataset, parts: Parts, hashes: Mapping[str, str], twins: Sequence[Sequence[str]]) -> list[Finding]:
    """Leaks of a split that no scan must be read for, serious ones first.

    hashes: case id -> hash of its image's file. twins: groups of case ids of one scan, by the list's own notes.
    """
    found = [
        *twice(parts),
        *(same := list(_same_file(parts, hashes))),
        *known_twins(parts, twins, same),
        *patients_on_both_sides(kind, parts),
    ]
    return sorted(found, key=lambda one: SEVERITIES.index(one.severity))


def twice(parts: Parts) -> Iterator[Finding]:
    """Cases that are in two parts."""
    for first, second in combinations(PARTS, 2):
        both = tuple(case for case in parts[first] if case in set(parts[second]))
        if both:
            text = f"cases that are both {first} and {second} ({len(both)}): {some(both)}"
            yield Finding("warning" if SIDES[first] == SIDES[second] else "serious", "same case", both, text)


def _same_file(parts: Parts, hashes: Mapping[str, str]) -> Iterator[Finding]:
    cases: dict[str, list[str]] = {}
    for case in _every_case(parts):
        if case in hashes:
            cases.setdefault(hashes[case], []).append(case)
    for same in (group for group in cases.values() if len(group) > 1):
        text = f"{' and '.join(with_part(parts, case) for case in same)} show the same scan: identical files"
        yield Finding(severity_of(parts, same), "same scan", tuple(same), text)


def known_twins(parts: Parts, twins: Sequence[Sequence[str]], seen: Sequence[Finding]) -> Iterator[Finding]:
    """Twins in the list's notes, but for those that the scans have shown."""
    pairs = {frozenset(one.cases) for one in seen}
    for group in twins:
        if all(frozenset(pair) in pairs for pair in combinations(group, 2)):
            continue
        shown = ", ".join(with_part(parts, case) for case in group)
        text = f"{shown} show the same scan, according to the list's notes"
        yield Finding(severity_of(parts, group), "known twins", tuple(group), text)


def patients_on_both_sides(kind: Dataset, parts: Parts) -> Iterator[Finding]:
    """Patients with scans in two of training, validation and test."""
    scans: dict[str, list[str]] = {}
    for case in _every_case(parts):
        scans.setdefault(kind.patient(case), []).append(case)
    for patient, cases in scans.items():
        if len(cases) > 1 and len(_sides(parts, cases)) > 1:
            shown = ", ".join(with_part(parts, case) for case in cases)
            yield Finding(
                "serious", "patient on both sides", tuple(cases), f"patient {patient} is on both sides: {shown}"
            )


def _places(parts: Parts, case: str) -> list[str]:
    return [part for part in PARTS if case in parts[part]]


def with_part(parts: Parts, case: str) -> str:
    """A case with the parts that it is in, for a message."""
    return f"{case} ({' and '.join(_places(parts, case))})"


def _sides(parts: Parts, cases: Sequence[str]) -> set[str]:
    return {SIDES[part] for case in cases for part in _places(parts, case)}


def severity_of(parts: Parts, cases: Sequence[str]) -> Severity:
    """Serious if the cases are on two of the sides training, validation and test."""
    return "serious" if len(_sides(parts, cases)) > 1 else "warning"


def _every_case(parts: Parts) -> list[str]:
    return list(dict.fromkeys(case for part in PARTS for case in parts[part]))
