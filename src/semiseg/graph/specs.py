"""The parameters of each rule's job: all that its result depends on beside its input files, and nothing more.

A job's command line and its lineage record hold them as JSON (``--spec``), and the job runs again when they change.
Snakemake imports this file while it plans, so it imports nothing heavy.
"""

import json
from collections.abc import Mapping
from typing import Any

from semiseg import catalogue
from semiseg.base import sources
from semiseg.base.controls import is_control
from semiseg.base.errors import UserError
from semiseg.base.files import sha256
from semiseg.dataset import get_dataset
from semiseg.graph.plan import Plan, Run
from semiseg.graph.shown import label, shown_checkpoint, trained
from semiseg.params.checkpoints import own_checkpoint, scored_as
from semiseg.params.differences import differences
from semiseg.params.table_spec import (
    Change,
    Collection,
    Organ,
    OwnProtocol,
    RowSpec,
    ShownCheckpoint,
    TableSpec,
    as_json,
    as_whole_json,
)
from semiseg.paths import SPLIT

Spec = dict[str, Any]


class Specs:
    """The specifications of a plan's jobs, a method per rule."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.params = plan, plan.params

    def standin(self, dataset: str) -> Spec:
        """Parameters of the rule ``standin``."""
        catalogue.require("standins", dataset, f"datasets.{dataset}.standin")
        options = self.plan.options(dataset).standin
        if options is None:
            raise UserError(f"datasets.{dataset}.standin is not given: `semiseg rehearse TABLE` builds stand-ins")
        return {"dataset": dataset, **as_json(options)}

    def download(self, dataset: str) -> Spec:
        """Parameters of the rule ``download``, which serves the files from the stand-in's folder in a rehearsal."""
        options = self.plan.options(dataset)
        return {"dataset": dataset, "mirror": options.mirror, "standin": options.standin is not None}

    def raw(self, dataset: str) -> Spec:
        """Parameters of the rule ``raw``."""
        options = as_json(self.plan.options(dataset))
        return {
            "dataset": dataset,
            "options": {name: options[name] for name in ("source", "generate")},
            "standin": options["standin"] is not None,
            "wanted": self.plan.wanted(dataset),
        }

    def weights(self, weights: str) -> Spec:
        """Parameters of the rule ``weights``."""
        known = self.params.weights.get(weights)
        kept = {} if known is None else {name: value for name, value in as_json(known).items() if name != "source"}
        return {"name": weights, **kept}

    def prepare(self, dataset: str, preparation: str) -> Spec:
        """Parameters of the rule ``prepare``. UserError lists the known preparations."""
        return {"dataset": dataset, "name": preparation, "preparation": as_json(self.plan.preparation(preparation))}

    def split(self, dataset: str, split: str) -> Spec:
        """Parameters of the rule ``split``. UserError lists the known splits of the dataset."""
        definition = self.plan.split(dataset, split)
        spec = {"dataset": dataset, "name": split, "split": as_json(definition)}
        if definition.list is None:
            return spec
        catalogue.require("splits", definition.list, f"splits.{dataset}.{split}.list")
        return {**spec, "list_sha256": sha256(sources.PACKAGE / "splits" / f"{definition.list}.yaml")}

    def train(self, run: Run) -> Spec:
        """Parameters of the rule ``train``: those of ``predict`` too, because validation slides the same window.

        Hyperparameters that act at prediction alone are left out. ``initial`` is there for a run that starts from the
        weights of another one, or from those of a file; ``checkpoints`` for one that keeps more than its protocol's
        own, and with those that are the best on a list the rule by which they are scored (``training.selection``). A
        run that has the weights of a file has ``weights``, and of the training the patch alone.
        """
        training, further = self.plan.protocol(run.protocol).training, self.plan.further(run)
        if not set(further) - {"last"}:
            training = training.model_copy(update={"selection": None})
        spec = _in_training(self.predict(run))
        if "wrapped" in spec:
            spec["wrapped"] = _in_training(spec["wrapped"])
        if (file := self.plan.imported(run.method)) is not None:
            return {**spec, "seed": run.seed, "patch": list(training.patch), "weights": file}
        checkpoints = {"checkpoints": list(further)} if further else {}
        return {**spec, "seed": run.seed, "training": as_json(training), **self._initial(run), **checkpoints}

    def _initial(self, run: Run) -> Spec:
        before, file = self.plan.initial(run), self.plan.initial_weights(run)
        if before is not None:
            return {"initial": {"method": before.method, "protocol": before.protocol}}
        return {} if file is None else {"initial": {"weights": file}}

    def predict(self, run: Run) -> Spec:
        """Parameters of the rule ``predict``; ``wrapped`` is there for a method that wraps another one.

        ``intensities`` is there where they are not those that are stored, ``checkpoint`` where the weights are not the
        ones that the protocol keeps by itself.
        """
        protocol = self.plan.protocol(run.protocol)
        wrapped = self.plan.wrapped(run.protocol, run.method)
        return {
            "dataset": run.dataset,
            "method": self.plan.base(run.method),
            "hyper": self.plan.hyper(run.protocol, run.method),
            "network": as_json(protocol.network),
            "inference": as_json(protocol.inference),
            **({} if wrapped is None else {"wrapped": wrapped}),
            **({} if protocol.intensities == "stored" else {"intensities": protocol.intensities}),
            **({"checkpoint": run.checkpoint.removeprefix("_")} if run.checkpoint else {}),
        }

    def row(self, table: str, method: str) -> RowSpec:
        """Parameters of the rule ``row``. UserError lists the known tables and rows."""
        definition, row = self.plan.table(table), self.plan.row(table, method)
        every = tuple(organ.abbreviation for organ in get_dataset(definition.dataset).organs)
        return RowSpec(
            method=method,
            label=label(self.params, row),
            dataset=definition.dataset,
            organs=definition.organs or every,
            metrics=definition.metrics,
            published=self.plan.protocol(definition.protocol).scoring,
            labelled_only=self.plan.labelled_only(method),
            spread=definition.spread,
        )

    def seconds(self, table: str) -> Spec:
        """Parameters of the rule ``seconds``: per training of the rows that are built its specification and cases.

        UserError for a table of controls alone.
        """
        plan, dataset, rows = self.plan, self.plan.table(table).dataset, dict[Run, dict[str, Any]]()
        for method in plan.served(table):
            run = plan.training(plan.runs(table, method)[0])
            if run not in rows and not is_control(plan.base(run.method)):
                spec = {name: part for name, part in self.train(run).items() if name not in ("initial", "checkpoints")}
                counts = plan.counts(dataset, run.split)
                cases = {part: counts[part] for part in ("labelled", "unlabelled")}
                label = plan.row(table, method).label or method
                rows[run] = {"method": method, "label": label, "train": spec, "cases": cases}
        if not rows:
            raise UserError(
                f"table {table} has no row that is trained, so there are no steps to time: name another table"
            )
        found = {row.pop("method"): row for row in rows.values()}
        return {"table": table, "classes": len(get_dataset(dataset).organs) + 1, "rows": found}

    def own_protocols(self, table: str) -> dict[str, OwnProtocol]:
        """The protocols of the rows that are not trained by the table's, and in what each differs for its row."""
        shared = self.plan.table(table).protocol
        runs = {row.method: self.plan.runs(table, row.method)[0] for row in self.plan.table(table).rows}
        return {
            method: OwnProtocol(
                name=run.protocol,
                differences=differences(self._trained_by(run.protocol, run), self._trained_by(shared, run)),
            )
            for method, run in runs.items()
            if run.protocol != shared
        }

    def _trained_by(self, protocol: str, run: Run) -> Spec:
        """What a protocol says about a run: network, training, inference, and all hyperparameters."""
        definition = self.plan.protocol(protocol)
        parts = {**as_whole_json(definition), "initial": as_json(definition).get("initial")}
        kept = {name: parts[name] for name in ("intensities", "network", "training", "inference", "initial")}
        kept["training"] = {**kept["training"], "selection": None}  # said where rows show such checkpoints
        return {**kept, "methods": {self.plan.base(run.method): self.plan.effective(protocol, run.method)}}

    def checkpoints(self, table: str) -> dict[str, ShownCheckpoint]:
        """The rows that show another checkpoint than their protocol keeps by itself, of those that are built."""
        plan, definition = self.plan, self.plan.table(table)
        rows = [row for row in definition.rows if row.method in plan.served(table) and row.same_as is None]
        runs = {row.method: plan.runs(table, row.method)[0] for row in rows}
        trained_by = {method: plan.protocol(run.protocol).training for method, run in runs.items()}
        shown = {row.method: shown_checkpoint(self.params, definition, row) for row in rows}
        rules = {method: rule or own_checkpoint(trained_by[method]) for method, rule in shown.items()}
        last = {plan.training(run): method for method, run in runs.items() if rules[method] == "last"}
        return {
            method: ShownCheckpoint(
                rule=rule,
                selection=scored_as(trained_by[method], rule),
                last=None if rule == "last" else last.get(plan.training(runs[method])),
            )
            for method, rule in shown.items()
            if rule is not None
        }

    def table(self, table: str) -> TableSpec:
        """Parameters of the rules ``table`` and ``figure``. UserError lists the known tables."""
        plan, definition = self.plan, self.plan.table(table)
        protocol, dataset = plan.protocol(definition.protocol), get_dataset(definition.dataset)
        chosen = [dataset.organ(name) for name in definition.organs] or dataset.organs
        methods = [row.method for row in definition.rows]
        variants = {
            name: self.params.variants[name] for name in methods if trained(self.params, name) in self.params.variants
        }
        papers = {block.paper for block in definition.printed}
        built = {method: plan.runs(table, method) for method in plan.served(table)}
        return TableSpec(
            table=table,
            title=definition.title,
            paper=definition.paper,
            dataset=definition.dataset,
            collection=Collection(title=dataset.title, modality=dataset.modality, citation=dataset.citation),
            organs=tuple(Organ(id=one.id, name=one.name, abbreviation=one.abbreviation) for one in chosen),
            metrics=definition.metrics,
            seeds=definition.seeds,
            protocol=definition.protocol,
            published=protocol.scoring,
            preparation=plan.preparation(protocol.preparation),
            intensities=protocol.intensities,
            network=protocol.network,
            training=protocol.training.model_copy(update={"selection": None}),
            inference=protocol.inference,
            initial=protocol.initial,
            rows=tuple(methods),
            names={
                row.method: tuple(dict.fromkeys((label(self.params, row), row.label or row.method, *row.printed)))
                for row in definition.rows
            },
            printed=definition.printed,
            printed_sha256={paper: sha256(sources.PACKAGE / "published" / f"{paper}.csv") for paper in papers},
            reference=definition.reference or methods[0],
            skipped=plan.skipped(table),
            failed={},
            variants={name: Change(base=one.method, changed=one.parameters) for name, one in variants.items()},
            hyper={method: plan.effective(plan.runs(table, method)[0].protocol, method) for method in methods},
            own_protocols=self.own_protocols(table),
            checkpoints=self.checkpoints(table),
            same_as={row.method: row.same_as for row in definition.rows if row.same_as is not None},
            runs={method: tuple(run.folder for run in runs) for method, runs in built.items()},
            trained_elsewhere={
                method: tuple(plan.training(run).folder for run in runs)
                for method, runs in built.items()
                if plan.training(runs[0]) != runs[0]
            },
            pretrainings={
                method: tuple(tuple(one.folder for one in plan.pretrainings(plan.training(run))) for run in runs)
                for method, runs in built.items()
                if plan.pretrainings(plan.training(runs[0]))
            },
            brought={method: name for method, runs in built.items() if (name := plan.brought(runs[0])) is not None},
            imported=tuple(method for method in built if plan.imported(method) is not None),
            split=SPLIT.format(dataset=definition.dataset, split=definition.split),
            prepared=plan.prepared(definition.dataset, definition.protocol),
        )


def _in_training(part: Spec) -> Spec:
    """A method with those hyperparameters that act in training."""
    return {**part, "hyper": catalogue.of_training(part["method"], part["hyper"])}


def as_text(spec: Mapping[str, Any]) -> str:
    """A specification as one line of JSON with sorted keys: a job's exact parameters, as they stand in its command."""
    return json.dumps(spec, sort_keys=True, separators=(",", ":"))
