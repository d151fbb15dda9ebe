"""Pictures of the cases in which two rows differ most: truth and both predictions, in slices and in 3D."""

from collections.abc import Sequence
from pathlib import Path

from semiseg.base.errors import UserError
from semiseg.params.table_spec import TableSpec
from semiseg.proof.compare.sides import Side

KEYS = ("first", "second")  # of the two rows in the specification that is drawn
DOTS_PER_INCH = 80


def labels(first: Side, second: Side) -> tuple[str, str]:
    """Names of the two rows that tell them apart: with A and B where they are the same."""
    one, other = first.label, second.label
    return (one, other) if one != other else (f"A: {one}", f"B: {other}")


def pictures(first: Side, second: Side, cases: Sequence[str]) -> tuple[dict[str, str], str]:
    """Per case that can be drawn here its picture as an address (``data:``), and why others cannot be.

    The sentence is empty where all are drawn. The scan is that of the first side.
    """
    from semiseg.report.figures.case import draw_case
    from semiseg.report.figures.saving import as_address

    spec, found, reason = _both(first, second), dict[str, str](), ""
    for case in cases:
        try:
            found[case] = as_address(draw_case(spec, case), DOTS_PER_INCH)
        except UserError as error:
            reason = reason or str(error)
    return found, reason


def missing(first: Side, second: Side, case: str) -> str:
    """Why a case cannot be drawn here and how to change that; nothing where its files are here."""
    spec = _both(first, second)
    maps = [Path(spec.runs[key][0]) / "predictions" / f"{case}.prepared.nii.gz" for key in KEYS]
    if all(file.exists() for file in (Path(spec.prepared), *maps)):
        return ""
    calls = dict.fromkeys(f"`snakemake --forcerun predict -- {side.target}`" for side in (first, second))
    return (
        f"the scan of {case} or a label map of it is not on this machine: predict again with {' and '.join(calls)} in"
        " the project that holds the weights, then compare there"
    )


def _both(first: Side, second: Side) -> TableSpec:
    """The specification of a table of the two rows alone, with absolute paths."""
    names = dict(zip(KEYS, labels(first, second), strict=True))
    changes = {
        "title": f"{names['first']} and {names['second']}",
        "rows": KEYS,
        "names": {key: (name,) for key, name in names.items()},
        "runs": {key: _runs(side) for key, side in zip(KEYS, (first, second), strict=True)},
        "prepared": str(first.folder / first.spec.prepared),
    }
    return first.spec.model_copy(update=changes)


def _runs(side: Side) -> tuple[str, ...]:
    """The folders of the row's runs."""
    return tuple(str(side.folder / run) for run in side.spec.runs[side.chosen])
