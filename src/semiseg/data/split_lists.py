"""Split lists as data: one YAML file per list, case names in the published order, and their reader.

Every file holds ``source`` (a list of texts), ``notes`` (caveats), ``counts`` and the four parts. Optional keys:
``kind``, published or ours; ``instead``, the nearest sound list; ``twins``, groups of names of one and the same scan;
``shared``, how many cases two parts have in common (a leak of the published list, which is kept).
"""

from collections import Counter
from collections.abc import Mapping
from importlib.resources import files
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictStr, ValidationError

from semiseg.base.errors import UserError
from semiseg.base.names import unknown
from semiseg.base.texts import some
from semiseg.params.data import Split
from semiseg.params.sentences import sentences
from semiseg.params.yaml_1_2 import line_of, load

PARTS = ("labelled", "unlabelled", "val", "test")
Part = Literal["labelled", "unlabelled", "val", "test"]
Text = Annotated[StrictStr, Field(min_length=1)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Shared(_Section):
    parts: tuple[Part, Part]
    cases: int


class _List(_Section):
    kind: Literal["published", "ours"] | None = None
    source: Annotated[list[Text], Field(min_length=1)]
    notes: list[Text] = []
    instead: Text | None = None
    twins: list[list[Text]] = []
    shared: list[_Shared] = []
    counts: Mapping[Part, int]
    labelled: Annotated[list[Text], Field(min_length=1)]
    unlabelled: list[Text]
    val: list[Text]
    test: Annotated[list[Text], Field(min_length=1)]


def read_list(name: str) -> dict[str, Any]:
    """The content of the split list of this name, with defaults filled in.

    Raises UserError for a file that is no list, whose counts and parts disagree, or where a case occurs twice.
    """
    entry = files("semiseg.splits").joinpath(f"{name}.yaml")
    if not entry.is_file():
        raise unknown("split list", name, list_names())
    return parse_list(name, entry.read_text(encoding="utf-8"))


def parse_list(name: str, text: str) -> dict[str, Any]:
    """The content of a split list's text, checked as in ``read_list``."""
    found = load(text, f"split list {name}")
    try:
        content = _List.model_validate(found).model_dump()
    except ValidationError as error:
        path, sentence = sentences(error, found, _List.model_json_schema())[0]
        raise UserError(f"split list {name}, line {line_of(text, path)}: {sentence}; correct the file") from None
    for part in PARTS:
        found, stated = len(content[part]), content["counts"].get(part)
        if found != stated:
            raise UserError(f"split list {name}: {part} has {found} cases, its counts say {stated}: correct the file")
        if twice := [case for case, times in Counter(content[part]).items() if times > 1]:
            raise UserError(f"split list {name}: {part} names {some(twice)} more than once: correct the file")
    _check_shared(name, content)
    _check_twins(name, content)
    return content


def list_names() -> list[str]:
    """Names of all split lists."""
    found = (Path(entry.name) for entry in files("semiseg.splits").iterdir())
    return sorted(path.stem for path in found if path.suffix == ".yaml")


def _check_shared(name: str, content: Mapping[str, Any]) -> None:
    stated = {frozenset(shared["parts"]): shared["cases"] for shared in content["shared"]}
    for first, second in combinations(PARTS, 2):
        both = [case for case in content[first] if case in set(content[second])]
        if len(both) != stated.get(frozenset((first, second)), 0):
            raise UserError(
                f"split list {name}: {len(both)} cases are both {first} and {second} ({some(both)}), its key shared "
                f"says {stated.get(frozenset((first, second)), 0)}: correct the file"
            )


def _check_twins(name: str, content: Mapping[str, Any]) -> None:
    known = {case for part in PARTS for case in content[part]}
    for group in content["twins"]:
        if len(group) < 2 or not known.issuperset(group):
            raise UserError(
                f"split list {name}: twins {some(group)} must be two or more of its cases: correct the file"
            )


def part_counts(split: Split) -> dict[str, int]:
    """Number of cases in each part of a split, by its list or its draw."""
    if split.list is not None:
        counts = dict(read_list(split.list)["counts"])
    else:
        assert split.draw is not None  # Split holds exactly one of the two
        counts = {part: getattr(split.draw, part) for part in PARTS}
    if split.first is not None:
        counts = {part: min(counts[part], getattr(split.first, part)) for part in PARTS}
    return counts
