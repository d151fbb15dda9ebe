"""Findings on a split: leaks, patients on both sides, mixed modalities, suspicious intensities, missing organs."""

from collections.abc import Iterator, Mapping, Sequence

from semiseg.base.texts import some
from semiseg.data.checks import AIR_HU, DARKEST_MR, suspicious_darkest
from semiseg.data.split_lists import PARTS
from semiseg.data.splitcheck.facts import Facts
from semiseg.data.splitcheck.leaks import (
    Finding,
    Parts,
    known_twins,
    patients_on_both_sides,
    severity_of,
    twice,
    with_part,
)
from semiseg.data.splitcheck.pairs import Pair
from semiseg.data.splitcheck.similarity import SAME
from semiseg.dataset import Dataset


def findings(
    kind: Dataset, parts: Parts, facts: Sequence[Facts], pairs: Sequence[Pair], twins: Sequence[Sequence[str]]
) -> list[Finding]:
    """All findings, serious ones first. twins: groups of case ids of one scan, by the list's own notes."""
    seen = {one.case: one for one in facts}
    found = [
        *twice(parts),
        *(same := list(_same_scan(kind, parts, seen, pairs))),
        *known_twins(parts, twins, same),
        *patients_on_both_sides(kind, parts),
        *_modalities(kind, parts),
        *_intensities(kind, facts),
        *_organs(kind, parts, seen),
    ]
    return sorted(found, key=lambda one: ("serious", "warning", "note").index(one.severity))


def organ_counts(kind: Dataset, parts: Parts, facts: Sequence[Facts]) -> dict[str, dict[str, int]]:
    """Part -> organ -> number of cases that have it, of the cases whose labels were read."""
    labels = {one.case: one.organs for one in facts if one.organs is not None}
    return {
        part: {organ.abbreviation: sum(organ.id in labels[case] for case in read) for organ in kind.organs}
        for part in PARTS
        if part != "unlabelled" and (read := [case for case in parts[part] if case in labels])
    }


def _same_scan(kind: Dataset, parts: Parts, facts: Mapping[str, Facts], pairs: Sequence[Pair]) -> Iterator[Finding]:
    for pair in pairs:
        cases = (pair.one, pair.other)
        equal = facts[pair.one].content == facts[pair.other].content
        if not equal and pair.score < SAME:
            continue
        may = f"may show the same scan: similarity {pair.score:.3f}, and {SAME} is suspicious"
        how = "show the same scan: identical voxels" if equal else may
        severity = severity_of(parts, cases)
        text = f"{with_part(parts, pair.one)} and {with_part(parts, pair.other)} {how}"
        if not equal and kind.patient(pair.one) == kind.patient(pair.other):
            severity = "note" if severity == "warning" else severity
            text += ", of one patient by their names"
        yield Finding(severity, "same scan", cases, text)


def _modalities(kind: Dataset, parts: Parts) -> Iterator[Finding]:
    if kind.modality_of is None:
        return
    counts: dict[str, dict[str, int]] = {}
    for part in PARTS:
        for case in parts[part]:
            of_part = counts.setdefault(kind.modality_of(case), {})
            of_part[part] = of_part.get(part, 0) + 1
    if len(counts) > 1:
        shown = "; ".join(
            f"{modality}: " + ", ".join(f"{count} {part}" for part, count in of_part.items())
            for modality, of_part in sorted(counts.items())
        )
        yield Finding("warning", "mixed modalities", (), f"modalities are mixed: {shown}")


def _intensities(kind: Dataset, facts: Sequence[Facts]) -> Iterator[Finding]:
    modality = kind.modality_of or (lambda case: kind.modality)
    suspicious = [one.case for one in facts if suspicious_darkest(modality(one.case), one.darkest)]
    if bright := tuple(case for case in suspicious if modality(case) == "CT"):
        text = f"scans called CT without air, nothing below {AIR_HU} HU ({len(bright)}): {some(bright)}"
        yield Finding("warning", "odd intensities", bright, text)
    if dark := tuple(case for case in suspicious if modality(case) != "CT"):
        text = f"scans called MRI with values below {DARKEST_MR}, as CT has ({len(dark)}): {some(dark)}"
        yield Finding("warning", "odd intensities", dark, text)


def _organs(kind: Dataset, parts: Parts, facts: Mapping[str, Facts]) -> Iterator[Finding]:
    for part in ("labelled", "val", "test"):
        labels = {case: facts[case].organs for case in parts[part] if facts[case].organs is not None}
        for organ in kind.organs:
            lacking = tuple(case for case, organs in labels.items() if organs is not None and organ.id not in organs)
            if lacking and len(lacking) == len(labels):
                text = f"no {part} case (of {len(labels)}) has the {organ.name}"
                yield Finding("warning", "missing organ", lacking, text)
            elif lacking:
                text = f"{organ.name} is missing in {len(lacking)} of {len(labels)} {part} cases: {some(lacking)}"
                yield Finding("note", "missing organ", lacking, text)
