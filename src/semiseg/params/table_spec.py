"""The specifications of the rules ``row``, ``table`` and ``figure``: what a job of theirs is given, beside its files.

``semiseg.graph.specs`` fills them in from params.yaml. A command line (``--spec``) and a lineage record hold them as
JSON; ``read_spec`` and ``as_json`` are the only way from one form to the other.
"""

from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from pydantic import ValidationError

from semiseg.base.errors import UserError
from semiseg.base.metric_names import Metric
from semiseg.params.config import Hypers, Inference, Network, Training
from semiseg.params.kinds import Strict, addition
from semiseg.params.preparation import Preparation
from semiseg.params.selection import Selection
from semiseg.params.sentences import sentences
from semiseg.params.table import Checkpoint, Printed
from semiseg.params.weights import Initial


class RowSpec(Strict):
    """What a row of a table depends on beside its input files, which are the scores of its runs.

    organs: abbreviations in the table's order. published: the scoring rule of the protocol. labelled_only: the row's
    method ignores unlabelled cases, so that the row prints none.
    """

    method: str
    label: str
    dataset: str
    organs: tuple[str, ...]
    metrics: tuple[Metric, ...]
    published: str
    labelled_only: bool
    spread: Literal["bootstrap"] | None = addition(None, "as in the table")


class Collection(Strict):
    """The dataset as a page names it."""

    title: str
    modality: str
    citation: str


class Organ(Strict):
    """One organ of a table. id: its label in the prepared cases."""

    id: int
    name: str
    abbreviation: str


class Change(Strict):
    """What a variant changes. base: its method."""

    base: str
    changed: Hypers


class Difference(Strict):
    """A key in which the protocol of a row is not the table's. own, table: values as JSON holds them, None for none."""

    key: str
    own: Any
    table: Any


class OwnProtocol(Strict):
    """The protocol of a row that is not trained by the table's, and all in which the two differ for it."""

    name: str
    differences: tuple[Difference, ...]


class ShownCheckpoint(Strict):
    """The weights that a row shows where they are not those that its protocol keeps by itself.

    selection: when and how they were scored; None for the last ones. last: the row that shows the last weights of the
    same training; None where the table has none, or where the row shows them itself.
    """

    rule: Checkpoint
    selection: Selection | None
    last: str | None


class TableSpec(Strict):
    """What a table, its page and its figures depend on.

    Methods are named as the rows are: by the method, or by the variant.

    published: the scoring rule of the protocol. rows: every row that the table should have. names: per row its label,
    then its other names in print. printed: blocks of the papers' tables; printed_sha256: per paper the hash of its file
    of printed numbers. reference: the row that others are tested against. skipped, failed: rows that are not built, and
    why: the protocol cannot serve them, or their jobs failed. variants: rows that are variants. hyper: per row all
    hyperparameters. own_protocols: of the rows that are trained by another protocol than the table's. checkpoints: of
    the rows that show other weights than their protocol keeps by itself. same_as: per row that shows the runs of
    another row again, that row. runs: per row that is built the folders of its runs, one per seed. trained_elsewhere:
    the folders of the trainings, of rows that differ at prediction or in the checkpoint alone from the runs that made
    their weights. pretrainings: of rows whose trainings start from the weights of other runs, the folders of these, the
    last one first, for each seed. brought: of rows that have or start from weights that the user has brought, the name
    of their file. imported: those of them that are not trained. split, prepared: paths of the table's split and of the
    index of its prepared cases.
    """

    table: str
    title: str
    paper: str | None
    dataset: str
    collection: Collection
    organs: tuple[Organ, ...]
    metrics: tuple[Metric, ...]
    seeds: tuple[int, ...]
    protocol: str
    published: str
    preparation: Preparation
    intensities: str = addition("stored", "as in the protocol")
    network: Network
    training: Training
    inference: Inference
    initial: Initial | None = addition(None, "as in the protocol")
    rows: tuple[str, ...]
    names: Mapping[str, tuple[str, ...]]
    printed: tuple[Printed, ...]
    printed_sha256: Mapping[str, str]
    reference: str
    skipped: Mapping[str, str]
    failed: Mapping[str, str]
    variants: Mapping[str, Change]
    hyper: Mapping[str, Hypers]
    own_protocols: Mapping[str, OwnProtocol]
    checkpoints: Mapping[str, ShownCheckpoint] = addition({}, "rows with other weights than their protocol's own")
    same_as: Mapping[str, str]
    runs: Mapping[str, tuple[str, ...]]
    trained_elsewhere: Mapping[str, tuple[str, ...]]
    pretrainings: Mapping[str, tuple[tuple[str, ...], ...]] = addition({}, "per run the folders of its pre-trainings")
    brought: Mapping[str, str] = addition({}, "the name of the file of weights behind a row")
    imported: tuple[str, ...] = addition((), "rows that are not trained")
    split: str
    prepared: str

    @property
    def abbreviations(self) -> list[str]:
        """The organs' abbreviations, in the table's order: names of columns."""
        return [organ.abbreviation for organ in self.organs]

    def trainings(self, method: str) -> tuple[str, ...]:
        """The folders with the weights of a row's runs, their history and cost; none for a row that is not built."""
        return self.trained_elsewhere.get(method, self.runs.get(method, ()))

    def label(self, method: str) -> str:
        """A row's name in this table."""
        return self.names[method][0]


Kind = TypeVar("Kind", bound=Strict)


def read_spec(kind: type[Kind], content: Any, origin: str) -> Kind:
    """A specification from what JSON held. Raises UserError naming every wrong key; origin: where the JSON stands."""
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        wrong = "; ".join(sentence for _, sentence in sentences(error, content, kind.model_json_schema()))
        raise UserError(f"{origin} is no specification of this version ({wrong}): build the table again") from None


def as_json(spec: Strict) -> dict[str, Any]:
    """The specification as JSON holds it."""
    return spec.model_dump(mode="json")


def as_whole_json(spec: Strict) -> dict[str, Any]:
    """The specification as JSON, with the keys that records leave out because they have their default values."""
    parts = {name: getattr(spec, name) for name in type(spec).model_fields}
    whole = {name: as_whole_json(part) for name, part in parts.items() if isinstance(part, Strict)}
    return {**parts, **as_json(spec), **whole}
