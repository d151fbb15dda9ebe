"""params.yaml in the form in which it is shared: without paths outside the project and without passwords."""

import functools
import json
import re
from bisect import bisect_right
from collections.abc import Iterator
from typing import Any

import yaml

from semiseg.jobs.record import OUTSIDE, shareable

# Replaced in comments: anything like a path from the root, a home folder or a drive, and passwords in addresses.
PATH = re.compile(r"(?<![\w./)>-])(?:~\w*/|[A-Za-z]:\\|/)[\w.-]+[\w./\\-]*")
PASSWORD = re.compile(r"(?<=://)[^\s/@]+@")
COMMENT = re.compile(r"(?:(?<=\s)|^)#.*", re.MULTILINE)
TEXT = "tag:yaml.org,2002:str"
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the one in C gives the same places, fifteen times as fast
Span = tuple[int, int]


@functools.lru_cache(maxsize=1)
def shareable_yaml(text: str) -> str:
    """YAML text in which ``record.shareable`` has replaced every value, with comments without paths and passwords.

    The rest of the text is unchanged. Parameters in records are made shareable in the same way, so an audit accepts
    the shared file as well as the original.
    """
    scalars = list(_scalars(text))
    changes = [
        (span, _anchor(text, span) + json.dumps(shared))
        for span, value in scalars
        if (shared := shareable(value)) != value
    ]
    for start, end in _comments(text, [span for span, _ in scalars]):
        comment = text[start:end]
        shared = PASSWORD.sub("", PATH.sub(OUTSIDE, comment))
        if shared != comment:
            changes.append(((start, end), shared))
    for (start, end), new in sorted(changes, reverse=True):
        text = text[:start] + new + text[end:]
    return text


def _scalars(text: str) -> Iterator[tuple[Span, str]]:
    """Place and text of every scalar, each once, although several aliases may lead to it. Non-strings have no text."""
    loader = LOADER(text)
    while loader.check_event():
        event: Any = loader.get_event()
        span = (event.start_mark.index, event.end_mark.index)
        if isinstance(event, yaml.ScalarEvent):
            yield span, event.value if _is_text(event) else ""


def _is_text(scalar: Any) -> bool:
    """Whether a scalar may be a text: one without quotes that stands for null, ``~``, is no home folder."""
    return scalar.tag in (None, "!", TEXT) and not (scalar.implicit[0] and scalar.value == "~")


def _anchor(text: str, span: Span) -> str:
    """The anchor that YAML counts as part of a scalar. It must stay, because aliases refer to it."""
    found = re.match(r"&\S+\s+", text[slice(*span)])
    return found[0] if found else ""


def _comments(text: str, scalars: list[Span]) -> Iterator[Span]:
    """Places of comments: each from a ``#`` that begins a word outside all scalars to the end of its line."""
    scalars = sorted(scalars)
    starts = [start for start, _ in scalars]
    found = COMMENT.search(text)
    while found:
        before = bisect_right(starts, found.start()) - 1
        inside = before >= 0 and scalars[before][1] > found.start()
        if not inside:
            yield found.span()
        found = COMMENT.search(text, scalars[before][1] if inside else found.end())
