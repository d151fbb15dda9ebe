"""What an audit has found, in words, and how bad it is."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum


class Verdict(IntEnum):
    """From good to bad; what is wrong with a file holds for all that was made from it."""

    PROVEN = 0
    STALE = 1  # made by other code or parameters than those here
    UNPROVEN = 2  # nothing tells how it was made
    MISSING = 3
    CHANGED = 4  # not the bytes, or not the number, that was made

    def __str__(self) -> str:
        return self.name.lower()


@dataclass(frozen=True)
class Finding:
    """Something wrong with a file.

    text: what, without the file's name. at: main output of the job that it hangs on; whatever was made from this job's
    outputs shares the verdict. expected, found: sha256, or values, where there are any. cell: row, convention and
    column, where it is about one cell alone.
    """

    verdict: Verdict
    path: str
    text: str
    at: str
    expected: str | None = None
    found: str | None = None
    cell: tuple[str, str, str] | None = None


@dataclass(frozen=True)
class Note:
    """Something worth knowing that changes no verdict, unless the audit is strict. paths: the files it is about."""

    text: str
    paths: tuple[str, ...] = ()


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The worst of some verdicts; proven when there are none."""
    return max(verdicts, default=Verdict.PROVEN)


def short(sha256: str | None) -> str:
    """The first characters of a digest, enough to compare by eye."""
    return sha256[:12] if sha256 else "nothing"
