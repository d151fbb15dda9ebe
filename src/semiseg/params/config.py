"""params.yaml as typed objects: every knob of every experiment, checked before any job starts.

This file defines the allowed keys and values, ``reading.py`` reads them, ``semiseg.graph`` derives the jobs. The
descriptions go into the JSON schema and the documentation: one sentence each, units and the default's meaning included.
"""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, model_validator

from semiseg.params.augmentation import Augmentation
from semiseg.params.data import DatasetOptions, Split
from semiseg.params.kinds import (
    Fraction,
    Name,
    Natural,
    NotNegative,
    PositiveFloat,
    PositiveInt,
    Strict,
    Three,
    Value,
    addition,
)
from semiseg.params.preparation import Preparation
from semiseg.params.selection import Clock, Selection, Validation
from semiseg.params.table import Table
from semiseg.params.weights import Initial, WeightsFile


class Network(Strict):
    """The backbone that all methods of the protocol share."""

    name: Name = Field(description="name of a file of semiseg/networks, without .py")
    filters: PositiveInt = Field(description="channels of the first level; each deeper level has twice as many")


class BatchSize(Strict):
    """Crops per training step. A method that ignores unlabelled cases fills the whole batch with labelled crops."""

    labelled: PositiveInt = Field(description="labelled crops per step")
    unlabelled: PositiveInt = Field(description="unlabelled crops per step")


class Optimiser(Strict):
    """Stochastic gradient descent, Adam or AdamW, one set of numbers for all networks."""

    rule: Literal["sgd", "adam", "adamw"] = Field(
        "sgd", description="stochastic gradient descent with momentum, Adam, or AdamW (Loshchilov and Hutter 2019)"
    )
    lr: PositiveFloat = Field(description="learning rate of the first step")
    momentum: Fraction = Field(description="momentum of sgd; of adam and adamw the decay of the mean gradient (beta 1)")
    weight_decay: NotNegative = Field(
        description="L2 penalty, added to the gradient; adamw takes lr times it off the weights instead"
    )
    nesterov: bool = Field(False, description="Nesterov's momentum; sgd only")
    beta2: Fraction = addition(0.999, "decay of the mean squared gradient; adam and adamw only")
    eps: PositiveFloat = addition(1e-8, "number in the denominator of a step; adam and adamw only")

    @model_validator(mode="after")
    def _momentum_fits_rule(self) -> "Optimiser":
        if self.rule != "sgd" and self.nesterov:
            raise ValueError("nesterov belongs to rule sgd: remove it, or choose sgd")
        for name in ("momentum", "beta2"):
            if self.rule != "sgd" and getattr(self, name) == 1:
                raise ValueError(f"{name} of rule {self.rule} must be below 1, found 1")
        for name in ("beta2", "eps"):
            if self.rule == "sgd" and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name} belongs to rules adam and adamw: remove it, or choose one of them")
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs a momentum above 0, found 0")
        return self


class Schedule(Strict):
    """Learning rate over time. t: iterations (or epochs) that are over; T: those of the whole training."""

    rule: Literal["poly", "step", "constant"] = Field(
        description="poly: lr (1 - t / T)^power; step: lr factor^(t // every); constant: lr"
    )
    per: Clock = Field("iteration", description="what t counts")
    lag: Literal[-1, 0, 1] = Field(
        0,
        description="t is reduced by this number, but never below 0 (as in official code); -1 where that code counts"
        " the step before it sets the rate",
    )
    late: bool = addition(
        False, "for per epoch: the first iteration of an epoch has the rate of the epoch before (as in official code)"
    )
    power: PositiveFloat = Field(0.9, description="for rule poly: the exponent")
    every: PositiveInt = Field(2500, description="for rule step: iterations or epochs between two cuts")
    factor: PositiveFloat = Field(0.1, description="for rule step: the learning rate is multiplied by it at each cut")
    warmup: Natural = addition(
        0, "first iterations or epochs, in which the rate rises evenly to lr; the rule counts t from their end"
    )
    warmup_from: Fraction | None = addition(
        None,
        "part of lr with which the warm-up begins, to reach lr right after it (as in RCPS); default: it begins with lr"
        " / warmup and has lr in its last iteration or epoch",
    )
    floor: NotNegative = addition(0.0, "the learning rate is never below it")
    length: PositiveInt | None = addition(
        None,
        "for rule poly: T in iterations or epochs, where the training ends before the schedule; default: its length",
    )

    @model_validator(mode="after")
    def _keys_fit(self) -> "Schedule":
        if self.late and self.per != "epoch":
            raise ValueError("late belongs to per epoch: remove it, or write lag: 1 for a rate one iteration late")
        if self.length is not None and self.rule != "poly":
            raise ValueError(f"length belongs to rule poly: remove it from rule {self.rule}")
        if self.warmup_from is not None and not self.warmup:
            raise ValueError("warmup_from belongs to a warm-up: remove it, or give warmup")
        return self


class Ramp(Strict):
    """Weight of the unsupervised terms over time, from exp(-5) to 1.

    The ramp counts steps of its own, t = max(n - lag, 0) // every, where n is the number of iterations (or epochs) that
    are over. Its value is exp(-5 (1 - min(t / length, 1))^2) (Laine and Aila 2017).
    """

    per: Clock = Field("iteration", description="what n counts")
    every: PositiveInt = Field(1, description="iterations or epochs in which the ramp rises by one step")
    length: PositiveInt | None = Field(None, description="steps until it reaches 1; default: the whole training")
    lag: Literal[-1, 0, 1] = Field(
        0,
        description="n is reduced by this number, but never below 0 (as in official code); -1 where that code counts"
        " the step before it reads n",
    )


Supervised = Literal["half_ce_dice_fg", "half_ce_dice_all", "ce_dice_organs", "half_ce_dice_organs"]


class Training(Strict):
    """One training run, whatever the method; exactly one of iterations, epochs."""

    patch: Three = Field(description="sides of a crop in voxels, in the order of the stored axes")
    batch: BatchSize = Field(description="crops per step")
    iterations: PositiveInt | None = Field(None, description="length of the training in steps")
    epochs: PositiveInt | None = Field(None, description="length of the training in epochs")
    extra_epochs: Literal[0, 1] = Field(
        0, description="epochs after the last one that learning rate, ramp and methods count (as in official code)"
    )
    epoch: Literal["labelled", "unlabelled"] | PositiveInt = Field(
        description="the cases whose one pass is an epoch; methods that ignore unlabelled cases count labelled ones. Or"
        " its number of steps, for orders endless and replaced"
    )
    order: Literal[
        "endless", "two_stream", "two_stream_repeated", "two_loaders", "two_loaders_drop_last", "replaced"
    ] = Field(
        "endless",
        description="order of the cases. endless: each list in a random order, then in another one, without end."
        " two_stream (UA-MT, SSL4MIS): an epoch is one order of the labelled list and begins a new order of the"
        " unlabelled one. two_stream_repeated (GuidedNet) and two_loaders (DHC): the labelled list is repeated to the"
        " length of the unlabelled one, so that a case may come twice in a step; two_loaders keeps a smaller last step,"
        " and two_loaders_drop_last (Adsh in DHC, GenericSSL, SKCDF) drops it. replaced (CRLN): each crop is of any"
        " case of its list, whatever came before, so that a case may come twice in a step",
    )
    supervised: Supervised = Field(
        description="supervised loss: cross-entropy plus Dice loss, or half of their sum; the Dice loss of the"
        " foreground as one class (fg), of all classes (all) or of the organs"
    )
    optimiser: Optimiser = Field(description="optimiser of the networks")
    accumulate: PositiveInt = addition(
        1,
        "steps whose gradients are summed, not averaged, before the optimiser of the networks moves; the count restarts"
        " in every epoch, at whose end a smaller rest is lost (as in official code)",
    )
    schedule: Schedule = Field(description="learning rate over time")
    ramp: Ramp = Field(description="weight of the unsupervised terms over time")
    augmentation: Augmentation = Field(description="random changes of crops; {} for none")
    amp: bool = Field(
        False,
        description="whether the official code has half precision (float16) on a GPU; it counts under precision"
        " published, and a CPU always has full",
    )
    precision: Literal["published", "fast"] = Field(
        "published",
        description="published: number formats of the official code (amp). fast: bfloat16, weights channels last and a"
        " fused optimiser on every device, instead of amp; not as published, and refused on a GPU without bfloat16 and"
        " on a CPU without AMX",
    )
    keep_optimiser: bool = addition(
        False,
        "whether a run's weights hold the state of its optimiser too (moments, counts of steps); a run that starts from"
        " them (initial) then goes on with it, else its optimiser begins anew",
    )
    validation: Validation | None = Field(
        None, description="when and how the checkpoint is chosen on the validation cases; default: the last one is kept"
    )
    selection: Selection | None = addition(
        None,
        "when and how weights are scored for rows that show another checkpoint than the protocol's own (`checkpoint` of"
        " a table or a row); default: as validation says. A training without such rows is not scored",
    )

    @model_validator(mode="after")
    def _one_budget(self) -> "Training":
        if (self.iterations is None) == (self.epochs is None):
            raise ValueError("give exactly one of iterations, epochs")
        return self

    @model_validator(mode="after")
    def _epochs_of_the_order(self) -> "Training":
        own = {"two_stream": "labelled"}
        own |= dict.fromkeys(("two_stream_repeated", "two_loaders", "two_loaders_drop_last"), "unlabelled")
        if own.get(self.order, self.epoch) != self.epoch:
            raise ValueError(
                f"order {self.order} has epochs of the {own[self.order]} cases: give epoch: {own[self.order]}"
            )
        return self


class Inference(Strict):
    """Sliding window over a whole volume: the softmax scores of windows that overlap are averaged."""

    window: Three = Field(description="sides of the window in voxels, in the order of the stored axes")
    stride: Three = Field(description="voxels between two windows along each axis; at most the window's side")
    networks: Literal["one", "mean_logits"] = Field(
        "one",
        description="where a method trains several networks: the one that is best on validation (the first without"
        " validation) predicts, or the mean of their logits",
    )
    largest_component: bool = addition(
        False,
        "whether a predicted label map keeps only the largest component of each organ (26 neighbours), as the final"
        " tests of DTC, BCP and SDC-SSL do; validation keeps all",
    )
    border: tuple[Natural, Natural, Natural] = addition(
        (0, 0, 0), "voxels along each axis by which windows see the ends of a scan repeated, as in MA-SAM"
    )

    @model_validator(mode="after")
    def _no_gaps(self) -> "Inference":
        if any(stride > window for stride, window in zip(self.stride, self.window, strict=True)):
            raise ValueError("a stride longer than the window leaves gaps")
        return self


Hypers = Mapping[Name, Value]


class Protocol(Strict):
    """Everything that the papers of one family share."""

    preparation: Name = Field(description="name of an entry of preparations")
    intensities: Literal["stored", "minmax"] = addition(
        "stored",
        "stored: as the preparation left them; minmax (TraCoCo, CRLN): each stored scan from 0 to 1, before crops and"
        " windows are cut from it",
    )
    network: Network = Field(description="the backbone of all methods")
    training: Training = Field(description="crops, budget, losses, optimiser, checkpoint")
    inference: Inference = Field(description="sliding window of validation and prediction")
    initial: Initial | None = addition(
        None, "weights that the trainings of this protocol start from; default: each starts from random ones"
    )
    scoring: Literal["la", "guidednet", "dhc"] = Field(
        description="the scoring rule that made the published numbers; `semiseg describe PROTOCOL` explains it"
    )
    methods: Mapping[Name, Hypers] = Field(
        {}, description="method -> hyperparameters that differ from its defaults in this family"
    )
    notes: tuple[str, ...] = Field((), description="caveats of the published version; `semiseg describe` prints them")


class Variant(Strict):
    """A method with some hyperparameters changed (ablation rows), or a second name of a method."""

    method: Name = Field(description="name of a file of semiseg/methods, without .py")
    parameters: Hypers = Field(
        description="hyperparameters that are changed, and their values; {} for a second name of the method, by which"
        " a table has a further row of it, on another split or by another protocol"
    )
    weights: Name | None = addition(
        None, "the name of a file of weights (see weights), with which the row predicts in place of being trained"
    )


class Params(Strict):
    """The whole of params.yaml."""

    datasets: Mapping[Name, DatasetOptions] = Field(description="dataset -> where it comes from on this machine")
    preparations: Mapping[Name, Preparation] = Field(description="name -> steps from the raw scan to the stored case")
    splits: Mapping[Name, Mapping[Name, Split]] = Field(description="dataset -> name -> which cases train and test")
    protocols: Mapping[Name, Protocol] = Field(description="name -> what the papers of one family share")
    methods: Mapping[Name, Hypers] = Field(
        {}, description="method -> hyperparameters that differ from its defaults in every protocol"
    )
    variants: Mapping[Name, Variant] = Field({}, description="name -> a method with some hyperparameters changed")
    weights: Mapping[Name, WeightsFile] = Field({}, description="name -> what is known of a file that the user brings")
    tables: Mapping[Name, Table] = Field(description="name -> a table; its target is results/NAME.csv")
