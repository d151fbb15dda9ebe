"""From params.yaml to runs: which rows a table has, which runs these need, which files they come from.

Snakemake imports this file while it plans, so it imports nothing heavy.
"""

import functools
from dataclasses import dataclass, replace
from typing import Any

from semiseg import catalogue
from semiseg.base.controls import is_control
from semiseg.base.errors import UserError
from semiseg.base.names import unknown
from semiseg.data.split_lists import PARTS, part_counts, read_list
from semiseg.dataset import get_dataset
from semiseg.graph.references import check_references
from semiseg.graph.requirements import Pairing, check_declared, split_does_not_fit, why_not
from semiseg.graph.shown import imported, label, shown_checkpoint, trained
from semiseg.params.config import Params, Protocol
from semiseg.params.data import DatasetOptions, Split
from semiseg.params.preparation import Preparation
from semiseg.params.table import Row, Table
from semiseg.params.weights import Initial
from semiseg.paths import ARCHIVES, PREPARED, ROW, RUN, STANDIN, page_files


@dataclass(frozen=True)
class Run:
    """One training and its prediction, which all tables that need it share. method: a method or a variant.

    checkpoint: how its folder ends, empty for the weights that its protocol keeps by itself.

    Runs that differ at prediction or in the checkpoint alone have the training of one of them (``Plan.training``).
    """

    dataset: str
    protocol: str
    split: str
    method: str
    seed: int
    checkpoint: str = ""

    @property
    def folder(self) -> str:
        """Where the run's results lie."""
        return RUN.format(**vars(self))


class Plan:
    """Checked parameters and everything that follows from them."""

    def __init__(self, params: Params) -> None:
        self.params = params
        self._skipped = functools.cache(self._why_skipped)
        self.counts = functools.cache(lambda dataset, split: part_counts(self.split(dataset, split)))
        check_references(params)

    def table(self, name: str) -> Table:
        """A table by name; UserError lists the known ones."""
        if name not in self.params.tables:
            raise unknown("table", name, sorted(self.params.tables))
        return self.params.tables[name]

    def row(self, table: str, method: str) -> Row:
        """A row of a table by its method; UserError lists the table's rows."""
        rows = {row.method: row for row in self.table(table).rows}
        if method not in rows:
            raise unknown("row", method, rows, f"table {table}")
        return rows[method]

    def runs(self, table: str, method: str) -> list[Run]:
        """The runs of one row, a run per seed; those of the other row where it is the same as one."""
        definition, row = self.table(table), self.row(table, method)
        if row.same_as is not None:
            return self.runs(table, row.same_as)
        return [self._run(definition, row, seed) for seed in definition.seeds]

    def _run(self, table: Table, row: Row, seed: int) -> Run:
        protocol, split = row.protocol or table.protocol, row.split or table.split
        name, shown = trained(self.params, row.method), shown_checkpoint(self.params, table, row)
        return Run(table.dataset, protocol, split, name, seed, "" if shown is None else f"_{shown}")

    def training(self, run: Run) -> Run:
        """The run whose training makes the weights of a run: itself, unless another one differs at prediction or in the
        checkpoint alone.

        The method's own run counts first, then those of its variants in the order of params.yaml.
        """
        base = self.base(run.method)
        alike = (base, *(name for name, variant in self.params.variants.items() if variant.method == base))
        wanted = self._trained_with(run.protocol, run.method)
        first = next(name for name in alike if self._trained_with(run.protocol, name) == wanted)
        return replace(run, method=first, checkpoint="")

    def further(self, training: Run) -> tuple[str, ...]:
        """The checkpoints that a training keeps beside that of its protocol, because rows of any table show them."""
        alike = self._with_checkpoints.get(self._without_variant(training), ())
        return tuple(sorted({run.checkpoint.removeprefix("_") for run in alike if self.training(run) == training}))

    @functools.cached_property
    def _with_checkpoints(self) -> dict[Run, list[Run]]:
        """The runs of all tables that show another checkpoint than their protocol's, by ``_without_variant``."""
        rows = ((table, row) for table in self.params.tables.values() for row in table.rows if row.same_as is None)
        shown = ((table, row) for table, row in rows if row.checkpoint or table.checkpoint)
        found: dict[Run, list[Run]] = {}
        for run in (self._run(table, row, seed) for table, row in shown for seed in table.seeds):
            if run.checkpoint:
                found.setdefault(self._without_variant(run), []).append(run)
        return found

    def _without_variant(self, run: Run) -> Run:
        return replace(run, method=self.base(run.method), checkpoint="")

    def trainings(self, table: str) -> dict[str, Run]:
        """Per row that is built and no other row's runs again, by its label, the training of its first run."""
        rows = (self.row(table, method) for method in self.served(table))
        own = (row for row in rows if row.same_as is None)
        return {label(self.params, row): self.training(self.runs(table, row.method)[0]) for row in own}

    def _trained_with(self, protocol: str, method: str) -> tuple[dict[str, Any], str | None]:
        return catalogue.of_training(self.base(method), self.effective(protocol, method)), self.imported(method)

    def initial(self, run: Run) -> Run | None:
        """The run whose weights a run starts from; None where it starts from others, or is not trained."""
        given = self._initial(run)
        if given is None or given.method is None or given.protocol is None:
            return None
        return self.training(replace(run, protocol=given.protocol, method=given.method))

    def imported(self, method: str) -> str | None:
        """The name of the file of weights with which a variant predicts; None for what is trained."""
        return imported(self.params, method)

    def origin(self, weights: str) -> str:
        """Where a file of weights comes from; empty where params.yaml does not say."""
        known = self.params.weights.get(weights)
        return "" if known is None or known.source is None else known.source

    def initial_weights(self, run: Run) -> str | None:
        """The name of the file of weights that a run starts from; None where it starts from others."""
        given = self._initial(run)
        return None if given is None else given.weights

    def _initial(self, run: Run) -> Initial | None:
        is_trained = not is_control(self.base(run.method)) and self.imported(run.method) is None
        return self.protocol(run.protocol).initial if is_trained else None

    def brought(self, run: Run) -> str | None:
        """The name of the file of weights that a run has, or that it or its first pre-training starts from; or None."""
        first = [self.training(run), *self.pretrainings(self.training(run))][-1]
        return self.imported(first.method) or self.initial_weights(first)

    def pretrainings(self, run: Run) -> list[Run]:
        """The pre-trainings behind a run, each after the run that starts from its weights."""
        before = self.initial(run)
        return [] if before is None else [before, *self.pretrainings(before)]

    def skipped(self, table: str) -> dict[str, str]:
        """Rows that their protocol cannot serve, each with the reason.

        Raises UserError for a row whose method declares what no protocol could serve.
        """
        return dict(self._skipped(table))

    def _why_skipped(self, table: str) -> dict[str, str]:
        definition = self.table(table)
        runs = {row.method: self.runs(table, row.method)[0] for row in definition.rows}
        for run in runs.values():
            for training in (run, *self.pretrainings(run)):
                check_declared(self.base(training.method))
        reasons = {row: self._why_not(run) for row, run in runs.items()}
        return {method: reason for method, reason in reasons.items() if reason is not None}

    def _why_not(self, run: Run) -> str | None:
        """The reason why a run or a pre-training behind it cannot be done; None where both can."""
        given, named, before = self.protocol(run.protocol), (run.protocol, run.method), self.initial(run)
        if before is not None and (reason := self._why_not(before)):
            return f"its pre-training {before.method} cannot be done: {reason}"
        base, classes = self.base(run.method), len(get_dataset(run.dataset).organs) + 1
        trained = given.network, given.training, given.inference
        scaled = given.intensities == "minmax"
        pretrained = self._initial(run) is not None or self.imported(run.method) is not None
        pair = Pairing(base, self.hyper(*named), classes, *trained, self.wrapped(*named), pretrained, scaled)
        return why_not(pair)

    def served(self, table: str) -> list[str]:
        """Methods of the rows that are built. UserError if none can be served, or if a row's split cannot serve it."""
        definition, skipped = self.table(table), self.skipped(table)
        built = [row.method for row in definition.rows if row.method not in skipped]
        if not built:
            raise UserError(f"table {table} has no row that its protocol can serve: {'; '.join(skipped.values())}")
        for method in built:
            first = self.runs(table, method)[0]
            for run in (first, *self.pretrainings(first)):
                if reason := self._split_does_not_fit(run):
                    raise UserError(f"table {table}, row {method}: split {run.split} does not serve, since {reason}")
        return built

    def _split_does_not_fit(self, run: Run) -> str | None:
        """The reason why the split of a run cannot serve its method or the method that this one wraps; else None."""
        if self.imported(run.method) is not None:
            return None
        if run.checkpoint == "_best_validation" and not self.counts(run.dataset, run.split)["val"]:
            return "it has no validation cases, on which the checkpoint best_validation is chosen"
        counts, training = self.counts(run.dataset, run.split), self.protocol(run.protocol).training
        wrapped = self.wrapped(run.protocol, run.method)
        together = [self.base(run.method), *([] if wrapped is None else [wrapped["method"]])]
        reasons = (split_does_not_fit(counts, training, each) for each in together if not is_control(each))
        return next((reason for reason in reasons if reason is not None), None)

    def row_files(self, table: str) -> list[str]:
        """The rows of a table that are built, in its order."""
        return [ROW.format(table=table, method=method) for method in self.served(table)]

    def page_files(self, table: str) -> list[str]:
        """Files that the page of a table reads beside its rows: curves, boxes, pictures and cost of every run."""
        runs = (run for method in self.served(table) for run in self.runs(table, method))
        return page_files((self.training(run).folder, run.folder) for run in runs)

    def protocol(self, name: str) -> Protocol:
        """A protocol by name; UserError lists the known ones."""
        if name not in self.params.protocols:
            raise unknown("protocol", name, sorted(self.params.protocols))
        return self.params.protocols[name]

    def base(self, method: str) -> str:
        """The method behind a row: a variant's method, or the method itself."""
        variant = self.params.variants.get(method)
        base = variant.method if variant else method
        catalogue.require("methods", base, others=self.params.variants)
        return base

    def labelled_only(self, method: str) -> bool:
        """Whether the method behind a row ignores unlabelled cases: a supervised row."""
        return bool(catalogue.declared(self.base(method)).get("labelled_only"))

    def hyper(self, protocol: str, method: str) -> dict[str, Any]:
        """A row's deviations from the method's defaults: everywhere, in this protocol, in this variant."""
        base = self.base(method)
        variant = self.params.variants.get(method)
        everywhere, family = self.params.methods.get(base, {}), self.protocol(protocol).methods.get(base, {})
        return {**everywhere, **family, **(variant.parameters if variant else {})}

    def wrapped(self, protocol: str, method: str) -> dict[str, Any] | None:
        """The method that the one behind a row wraps, and its hyperparameters as in a row of its own; None for none.

        Raises UserError for a method that does not exist.
        """
        name = catalogue.wrapped(self.base(method), self.hyper(protocol, method))
        return None if name is None else {"method": self.base(name), "hyper": self.hyper(protocol, name)}

    def effective(self, protocol: str, method: str) -> dict[str, Any]:
        """All hyperparameters of a row: the method's defaults and its deviations."""
        known = catalogue.hyperparameters(self.base(method))
        return {name: value.default for name, value in known.items()} | self.hyper(protocol, method)

    def options(self, dataset: str) -> DatasetOptions:
        """Where a dataset comes from; UserError lists the known ones."""
        get_dataset(dataset)
        return self.params.datasets.get(dataset) or DatasetOptions.model_validate({})

    def raw_inputs(self, dataset: str) -> dict[str, str]:
        """Inputs of the rule ``raw``: the stand-in, and downloaded archives where the publisher is open."""
        options, inputs = self.options(dataset), {}
        if options.standin is not None:
            inputs["standin"] = STANDIN.format(dataset=dataset)
        if get_dataset(dataset).remote is not None and options.source is None and options.generate is None:
            inputs["archives"] = ARCHIVES.format(dataset=dataset)
        return inputs

    def wanted(self, dataset: str) -> list[str] | None:
        """Cases that the splits name, where a collection has a part that is imported on demand; else None."""
        kind, splits = get_dataset(dataset), self.params.splits.get(dataset, {}).values()
        if not any(part.on_demand for part in kind.parts) or any(split.list is None for split in splits):
            return None
        lists = [read_list(split.list) for split in splits if split.list is not None]
        return sorted({kind.case_id(name) for content in lists for part in PARTS for name in content[part]})

    def preparation(self, name: str) -> Preparation:
        """A preparation by name; UserError lists the known ones."""
        if name not in self.params.preparations:
            raise unknown("preparation", name, sorted(self.params.preparations))
        return self.params.preparations[name]

    def split(self, dataset: str, name: str) -> Split:
        """A split of a dataset by name; UserError lists the known ones."""
        known = self.params.splits.get(dataset, {})
        if name not in known:
            raise unknown("split", name, sorted(known), f"dataset {dataset}")
        return known[name]

    def prepared(self, dataset: str, protocol: str) -> str:
        """Path of the index of the prepared cases that a protocol trains on."""
        return PREPARED.format(dataset=dataset, preparation=self.protocol(protocol).preparation)
