"""A rehearsal: one table with parameters so small that all its jobs take minutes on two CPU cores.

The rehearsal keeps dataset, preparation, methods, losses, schedule rules and scoring of the table. It reduces the
number of cases (the first of each official list, drawn as stand-ins), the patch, the width of the network, the steps,
the overlap of windows and the seeds.
"""

import logging
import subprocess
import sys
from collections.abc import Iterable
from math import ceil
from pathlib import Path
from typing import Any, TypeVar

from semiseg import catalogue
from semiseg.base.errors import UserError
from semiseg.base.files import write_text
from semiseg.data.split_lists import PARTS, read_list
from semiseg.dataset import Dataset, get_dataset
from semiseg.graph.plan import Plan
from semiseg.params.config import Params, Protocol, Training
from semiseg.params.data import Counts, DatasetOptions, Split, StandinOptions
from semiseg.params.selection import Selection
from semiseg.params.weights import WeightsFile
from semiseg.params.yaml_1_2 import dump
from semiseg.paths import TABLE

logger = logging.getLogger(__name__)

FIRST = Counts(labelled=3, unlabelled=4, val=1, test=2)
BATCH, FILTERS, ITERATIONS, EPOCHS = 2, 2, 4, 2
SIDES = (32, 64, 64)  # largest patch: four poolings leave several voxels to normalise, cubes of 32 voxels fill it
STEP = 3 / 4  # of a side that the next window lies further, where windows overlap: they take long
SEED = 1
Rule = TypeVar("Rule", bound=Selection)


def shrunk(params: Params, table: str) -> Params:
    """Parameters of this table alone, on stand-ins and with few steps. Raises UserError for an unknown table."""
    wanted = Plan(params).table(table)
    kind, preparation = get_dataset(wanted.dataset), params.protocols[wanted.protocol].preparation
    protocols = _with_pretraining(
        params, {wanted.protocol, *(row.protocol for row in wanted.rows if row.protocol is not None)}
    )
    names = {wanted.split, *(row.split for row in wanted.rows if row.split is not None)}
    splits = {name: _few_cases(params.splits[kind.name][name]) for name in sorted(names)}
    options = params.datasets.get(kind.name) or DatasetOptions.model_validate({})
    if options.generate is None:
        standin = StandinOptions(seed=SEED, cases=tuple(_cases(kind, splits.values())))
        options = DatasetOptions.model_validate({"standin": standin})
    few = wanted.model_copy(update={"title": f"Rehearsal on stand-ins: {wanted.title}", "seeds": wanted.seeds[:1]})
    return params.model_copy(
        update={
            "datasets": {kind.name: options},
            "preparations": {preparation: params.preparations[preparation]},
            "splits": {kind.name: splits},
            "protocols": {name: _few_steps(params.protocols[name]) for name in sorted(protocols)},
            "weights": _standins(params),
            "tables": {table: few},
        }
    )


def _standins(params: Params) -> dict[str, WeightsFile]:
    """For every file of weights that is named, one that stands for it, because a rehearsal has networks of its own."""
    started = (protocol.initial.weights for protocol in params.protocols.values() if protocol.initial is not None)
    names = {*started, *(variant.weights for variant in params.variants.values())} - {None}
    return {name: WeightsFile(standin=True) for name in sorted(filter(None, names))}


def _with_pretraining(params: Params, names: set[str]) -> set[str]:
    """These protocols, and those of the runs from whose weights their trainings start."""
    initials = (params.protocols[name].initial for name in names)
    more = {initial.protocol for initial in initials if initial is not None and initial.protocol is not None} - names
    return _with_pretraining(params, names | more) if more else names


def _few_cases(split: Split) -> Split:
    """The split with the first cases of its published list. A drawn split stays, because phantoms are small already.

    A list that names cases which the publisher does not offer is replaced by its substitute, where it has one.
    """
    if split.list is None:
        return split
    return split.model_copy(update={"list": read_list(split.list)["instead"] or split.list, "first": FIRST})


def _cases(kind: Dataset, splits: Iterable[Split]) -> list[str]:
    """Official ids of the cases that these splits name."""
    named = [
        name
        for split in splits
        if split.list is not None
        for part in PARTS
        for name in read_list(split.list)[part][: getattr(FIRST, part)]
    ]
    return sorted({kind.case_id(name) for name in named})


def _few_steps(protocol: Protocol) -> Protocol:
    network = protocol.network.model_copy(update={"filters": min(FILTERS, protocol.network.filters)})
    training, inference = _short(protocol.training), protocol.inference
    large = protocol.training.patch
    if all(window <= side for window, side in zip(inference.window, large, strict=True)):
        # some methods need windows of the size of the crops
        window = tuple(min(pair) for pair in zip(inference.window, training.patch, strict=True))
        sides = zip(inference.stride, inference.window, window, strict=True)
        stride = tuple(round(STEP * side) if given < whole else side for given, whole, side in sides)
        inference = inference.model_copy(update={"window": window, "stride": stride})
    return protocol.model_copy(update={"network": network, "training": training, "inference": inference})


def _short(training: Training) -> Training:
    """The training with all intervals of its schedule divided by one factor, so that each of its events happens."""
    factor = 1.0 if training.iterations is None else ITERATIONS / training.iterations
    few: dict[str, Any] = {
        "patch": tuple(min(pair) for pair in zip(training.patch, SIDES, strict=True)),
        "batch": training.batch.model_copy(update={"labelled": BATCH, "unlabelled": BATCH}),
        "iterations": None if training.iterations is None else ITERATIONS,
        "epochs": None if training.epochs is None else EPOCHS,
        "epoch": min(training.epoch, EPOCHS) if isinstance(training.epoch, int) else training.epoch,
        "accumulate": min(training.accumulate, EPOCHS),
        "schedule": training.schedule.model_copy(
            update={
                "length": training.schedule.length and max(1, round(training.schedule.length * factor)),
                "every": max(1, round(training.schedule.every * factor)),
                "warmup": round(training.schedule.warmup * factor),
            }
        ),
        "ramp": training.ramp.model_copy(update={"every": 1, "length": None}),
    }
    if training.validation is not None:
        few["validation"] = _rare(training.validation, factor).model_copy(update={"patience": None})
    if training.selection is not None:
        few["selection"] = _rare(training.selection, factor)
    return training.model_copy(update=few)


def _rare(rule: Rule, factor: float) -> Rule:
    """The rule with two scorings, because scoring whole volumes takes longest."""
    every = 1 if rule.per == "epoch" else max(ceil(rule.every * factor), 2)
    return rule.model_copy(update={"every": every, "first": None})


def rehearse(params: Params, table: str, folder: Path, cores: str) -> Path:
    """Build ``table`` below ``folder`` and return the path of its CSV. Raises UserError when a job fails.

    cores: as Snakemake's option of that name. Finished jobs of an earlier rehearsal are not run again.
    """
    snakefile = Path("Snakefile").resolve()
    if not snakefile.exists():
        raise UserError(f"{snakefile} is missing: run from the project's folder")
    dataset = Plan(params).table(table).dataset
    if get_dataset(dataset).generate is None and dataset not in catalogue.entries("standins"):
        known = ", ".join(catalogue.entries("standins"))
        raise UserError(
            f"table {table} cannot be rehearsed: {dataset} has no stand-in: train a row for ten steps on the data "
            f"themselves (docs/add-a-dataset.md); datasets with a stand-in: {known}"
        )
    text = dump(shrunk(params, table).model_dump(mode="json"))
    write_text(folder / "params.yaml", f"# Written by `semiseg rehearse {table}`.\n{text}")
    target = TABLE.format(table=table)
    command = ["--snakefile", str(snakefile), "--directory", str(folder), "--cores", cores, target]
    done = subprocess.run([sys.executable, "-m", "snakemake", *command], check=False)
    if done.returncode != 0:
        logs = folder / "results" / "logs"
        where = f"its jobs' logs are in {logs}" if logs.is_dir() else "no job ran, and the reason stands above"
        raise UserError(f"the rehearsal of {table} failed: {where}")
    logger.info(f"{folder / target} is built: its numbers come from stand-ins and show only that every job runs")
    return folder / target
