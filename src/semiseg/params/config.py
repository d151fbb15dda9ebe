"""params.yaml as typed objects: every knob of every experiment, checked before any job starts.

This file says what may be written, ``reading.py`` beside it reads it, ``semiseg.graph`` says what follows from it.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from semiseg.params.kinds import CaseId, Fraction, Name, Strict, Three, Value
from semiseg.params.preparation import Preparation


class GenerateOptions(Strict):
    """How a synthetic dataset is drawn."""

    seed: int = Field(description="seed of anatomy, deformation and noise")
    labelled: PositiveInt = Field(description="cases with a label map")
    unlabelled: Annotated[int, Field(ge=0)] = Field(description="cases without one")
    size: PositiveInt = Field(description="in-plane voxels of the raw images")


class StandinOptions(Strict):
    """A synthetic twin in place of the real collection: `semiseg rehearse` writes this."""

    seed: int
    cases: tuple[CaseId, ...] = Field(description="official case ids to draw")


class DatasetOptions(Strict):
    """Where a dataset comes from on this machine, or how it is drawn."""

    source: str | None = Field(None, description="folder or archive with the user's own copy, imported by rule raw")
    mirror: str | None = Field(None, description="base address that serves <host>/<path> of the open files instead")
    generate: GenerateOptions | None = Field(None, description="for synthetic datasets")
    standin: StandinOptions | None = None

    @model_validator(mode="after")
    def _one_origin(self) -> "DatasetOptions":
        if sum(value is not None for value in (self.source, self.generate, self.standin)) > 1:
            raise ValueError("give at most one of source, generate, standin")
        return self


class Counts(Strict):
    """Cases of each part of a split."""

    labelled: PositiveInt
    unlabelled: Annotated[int, Field(ge=0)]
    val: Annotated[int, Field(ge=0)]
    test: PositiveInt


class Drawn(Counts):
    """A split drawn once from the dataset's cases."""

    seed: int


class Split(Strict):
    """Which cases train, validate and test: an official list by name, or drawn."""

    list: Name | None = Field(None, description="a file of semiseg/splits")
    draw: Drawn | None = None
    first: Counts | None = Field(None, description="only the first cases of each part, for rehearsals")
    without_unlabelled: bool = Field(False, description="labelled cases alone, for supervised rows")

    @model_validator(mode="after")
    def _one_origin(self) -> "Split":
        if (self.list is None) == (self.draw is None):
            raise ValueError("give exactly one of list, draw")
        return self


class Network(Strict):
    """The backbone that all methods of the protocol share."""

    name: Name = Field(description="a file of semiseg/networks")
    filters: PositiveInt = Field(description="channels of the first level")


class BatchSize(Strict):
    """Crops per step."""

    labelled: PositiveInt
    unlabelled: PositiveInt


class Optimiser(Strict):
    """Stochastic gradient descent or Adam, one set of numbers for all networks."""

    rule: Literal["sgd", "adam"] = "sgd"
    lr: PositiveFloat
    momentum: Fraction = Field(description="of Adam: decay of the mean gradient; its square's decay is 0.999")
    weight_decay: Annotated[float, Field(ge=0)]
    nesterov: bool = False

    @model_validator(mode="after")
    def _nesterov_is_sgd(self) -> "Optimiser":
        if self.rule == "adam" and self.nesterov:
            raise ValueError("nesterov belongs to rule sgd")
        return self


class Schedule(Strict):
    """Learning rate over time. ``lag``: the rate of step (or epoch) t is computed from t - lag."""

    rule: Literal["poly", "step", "constant"]
    per: Literal["iteration", "epoch"] = "iteration"
    lag: Literal[0, 1] = 0
    power: PositiveFloat = 0.9
    every: PositiveInt = Field(2500, description="for rule step: iterations or epochs between two cuts")
    factor: PositiveFloat = Field(0.1, description="for rule step: what a cut multiplies with")


class Ramp(Strict):
    """exp(-5 (1 - min(t, length)/length)^2), t = (counter - lag) // every; no length: the whole training."""

    per: Literal["iteration", "epoch"] = "iteration"
    every: PositiveInt = 1
    length: PositiveInt | None = None
    lag: Literal[0, 1] = 0


class Augmentation(Strict):
    """Random changes of the volume before the crop, in this order. Axes count the stored array's axes from 0."""

    rot90: bool = Field(False, description="rotation by k x 90 degrees, k in 0..3, in the plane of axes 0 and 1")
    flip_one_of: tuple[int, ...] = Field((), description="always one flip, along one of these axes")
    flip_each: tuple[int, ...] = Field((), description="each of these axes flipped with probability 0.5")


class Validation(Strict):
    """When and on what the checkpoint is chosen. A protocol without this section keeps the last one."""

    every: PositiveInt
    per: Literal["iteration", "epoch"]
    start: Fraction = Field(0.0, description="share of the training before the first validation")
    region: Literal["volume", "centre_crop"]
    absent: Literal["zero", "half"] = Field(description="Dice of an organ that is neither present nor predicted")
    patience: PositiveInt | None = Field(None, description="stop after this many iterations or epochs without gain")


Supervised = Literal["half_ce_dice_fg", "half_ce_dice_all", "ce_dice_organs", "half_ce_dice_organs"]


class Training(Strict):
    """One training run, whatever the method."""

    patch: Three = Field(description="voxels, in the order of the stored axes")
    batch: BatchSize
    iterations: PositiveInt | None = None
    epochs: PositiveInt | None = None
    epoch: Literal["labelled", "unlabelled"] = Field(description="the stream whose one pass is an epoch")
    supervised: Supervised
    optimiser: Optimiser
    schedule: Schedule
    ramp: Ramp
    augmentation: Augmentation
    amp: bool = Field(False, description="half precision on a GPU, as the official code")
    validation: Validation | None = None

    @model_validator(mode="after")
    def _one_budget(self) -> "Training":
        if (self.iterations is None) == (self.epochs is None):
            raise ValueError("give exactly one of iterations, epochs")
        return self


class Inference(Strict):
    """Sliding window: softmax of each window, averaged; ``networks``: each alone (the best is kept) or their mean."""

    window: Three
    stride: Three
    networks: Literal["one", "mean_logits"] = "one"

    @model_validator(mode="after")
    def _no_gaps(self) -> "Inference":
        if any(stride > window for stride, window in zip(self.stride, self.window, strict=True)):
            raise ValueError("a stride longer than the window leaves gaps")
        return self


Metric = Literal["dice", "jaccard", "asd", "hd95"]
Hypers = Mapping[Name, Value]


class Protocol(Strict):
    """Everything that the papers of one family share."""

    preparation: Name
    network: Network
    training: Training
    inference: Inference
    scoring: Literal["la", "guidednet", "dhc"] = Field(description="the published scoring rule")
    methods: Mapping[Name, Hypers] = Field({}, description="parameters of methods that differ in this family")
    notes: tuple[str, ...] = Field((), description="what is odd about the published version; told by `describe`")


class Variant(Strict):
    """A method with some parameters changed (ablation rows)."""

    method: Name
    parameters: Hypers


class Printed(Strict):
    """Where a table's printed numbers stand: a block of a file of semiseg/published."""

    paper: Name = Field(description="a file of semiseg/published")
    table: str = Field(description="the table's number in that paper")
    labelled: int | None = Field(None, description="cases as that table prints them")
    unlabelled: int | None = None


class Row(Strict):
    """One row of a table."""

    method: Name = Field(description="a method or a variant")
    label: str | None = Field(None, description="the row's name; default: the method's")
    printed: tuple[str, ...] = Field((), description="names of the row in print where they are not the label")
    split: Name | None = Field(None, description="default: the table's, or `supervised_split`")


class Table(Strict):
    """One published (or our own) table: rows are methods, columns are organs and means."""

    title: str
    paper: str | None = None
    dataset: Name
    protocol: Name
    split: Name
    supervised_split: Name | None = Field(None, description="split of rows that learn from labelled cases alone")
    seeds: Annotated[tuple[int, ...], Field(min_length=1)]
    rows: Annotated[tuple[Row, ...], Field(min_length=1)]
    reference: Name | None = Field(None, description="the row that others are tested against; default: the first")
    printed: tuple[Printed, ...] = Field((), description="blocks in print; the first that has a row counts")
    organs: tuple[str, ...] = Field((), description="abbreviations in the paper's order; default: the dataset's")
    metrics: Annotated[tuple[Metric, ...], Field(min_length=1)] = ("dice", "jaccard")
    notes: tuple[str, ...] = Field((), description="what is odd about the published version; told by `describe`")

    @model_validator(mode="before")
    @classmethod
    def _short_rows(cls, data: Any) -> Any:
        """A row may be just a method's name."""
        if isinstance(data, Mapping) and isinstance(data.get("rows"), list | tuple):
            rows = [{"method": row} if isinstance(row, str) else row for row in data["rows"]]
            return {**data, "rows": rows}
        return data


class Params(Strict):
    """The whole of params.yaml."""

    datasets: Mapping[Name, DatasetOptions]
    preparations: Mapping[Name, Preparation]
    splits: Mapping[Name, Mapping[Name, Split]] = Field(description="dataset -> split -> definition")
    protocols: Mapping[Name, Protocol]
    methods: Mapping[Name, Hypers] = Field({}, description="deviations from a method's defaults, everywhere")
    variants: Mapping[Name, Variant] = {}
    tables: Mapping[Name, Table]
