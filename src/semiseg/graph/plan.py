"""From params.yaml to jobs: which runs a table needs, and what each rule depends on.

Imported while the workflow is planned, so nothing heavy is imported here.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from semiseg import catalogue
from semiseg.base.errors import UserError
from semiseg.base.files import sha256
from semiseg.data.split_lists import PARTS, read_list
from semiseg.dataset import get_dataset
from semiseg.graph.references import check_references
from semiseg.graph.requirements import why_not
from semiseg.params.config import DatasetOptions, Params, Protocol, Row, Table
from semiseg.paths import ARCHIVES, PREPARED, ROW, RUN, SPLIT, STANDIN, page_files

Spec = dict[str, Any]


@dataclass(frozen=True)
class Run:
    """What is trained once and shared by every table that needs it; ``method`` may be a variant."""

    dataset: str
    protocol: str
    split: str
    method: str
    seed: int

    @property
    def folder(self) -> str:
        """Where the run's results lie."""
        return RUN.format(**vars(self))


class Plan:
    """Checked parameters and everything that follows from them."""

    def __init__(self, params: Params) -> None:
        self.params = params
        check_references(params)

    def table(self, name: str) -> Table:
        """A table by name; UserError lists the known ones."""
        if name not in self.params.tables:
            raise UserError(f"unknown table {name!r}; known: {', '.join(sorted(self.params.tables))}")
        return self.params.tables[name]

    def row(self, table: str, method: str) -> Row:
        """A row of a table by its method; UserError lists the table's rows."""
        rows = {row.method: row for row in self.table(table).rows}
        if method not in rows:
            raise UserError(f"table {table} has no row {method!r}; it has: {', '.join(rows)}")
        return rows[method]

    def runs(self, table: str, method: str) -> list[Run]:
        """The runs of one row, a run per seed."""
        definition, row = self.table(table), self.row(table, method)
        alone = catalogue.declared(self.base(method)).get("labelled_only") and definition.supervised_split
        split = row.split or alone or definition.split
        return [Run(definition.dataset, definition.protocol, split, method, seed) for seed in definition.seeds]

    def skipped(self, table: str) -> dict[str, str]:
        """Rows that the table's protocol cannot serve, and why not."""
        definition = self.table(table)
        training = self.protocol(definition.protocol).training
        reasons = {
            row.method: why_not(self.base(row.method), self.hyper(definition.protocol, row.method), training)
            for row in definition.rows
        }
        return {method: reason for method, reason in reasons.items() if reason is not None}

    def served(self, table: str) -> list[str]:
        """Methods of the rows that are built. UserError if the protocol can serve none of them."""
        skipped = self.skipped(table)
        built = [row.method for row in self.table(table).rows if row.method not in skipped]
        if not built:
            raise UserError(f"table {table} has no row that its protocol can serve: {'; '.join(skipped.values())}")
        return built

    def row_files(self, table: str) -> list[str]:
        """The rows of a table that are built, in its order."""
        return [ROW.format(table=table, method=method) for method in self.served(table)]

    def page_files(self, table: str) -> list[str]:
        """What the page of a table shows beside its rows: curves, boxes, pictures and cost of every run."""
        runs = dict.fromkeys(run for method in self.served(table) for run in self.runs(table, method))
        return page_files(run.folder for run in runs)

    def protocol(self, name: str) -> Protocol:
        """A protocol by name; UserError lists the known ones."""
        if name not in self.params.protocols:
            raise UserError(f"unknown protocol {name!r}; known: {', '.join(sorted(self.params.protocols))}")
        return self.params.protocols[name]

    def base(self, method: str) -> str:
        """The method behind a row: a variant's method, or the method itself."""
        variant = self.params.variants.get(method)
        base = variant.method if variant else method
        catalogue.require("methods", base, f"row {method}")
        return base

    def hyper(self, protocol: str, method: str) -> Spec:
        """A row's deviations from the method's defaults: everywhere, in this protocol, in this variant."""
        base = self.base(method)
        variant = self.params.variants.get(method)
        everywhere, family = self.params.methods.get(base, {}), self.protocol(protocol).methods.get(base, {})
        return {**everywhere, **family, **(variant.parameters if variant else {})}

    def effective(self, protocol: str, method: str) -> Spec:
        """All hyperparameters of a row: the method's defaults and its deviations."""
        known = catalogue.hyperparameters(self.base(method))
        return {name: value.default for name, value in known.items()} | self.hyper(protocol, method)

    def variants(self, table: str) -> dict[str, Spec]:
        """Rows of a table that are variants: their method, and what they change."""
        named = {row.method: self.params.variants.get(row.method) for row in self.table(table).rows}
        return {name: {"base": it.method, "changed": dict(it.parameters)} for name, it in named.items() if it}

    # --- what each rule depends on, and nothing more -----------------------------------------------------------------

    def options(self, dataset: str) -> DatasetOptions:
        """Where a dataset comes from; UserError lists the known ones."""
        get_dataset(dataset)
        return self.params.datasets.get(dataset) or DatasetOptions.model_validate({})

    def standin(self, dataset: str) -> Spec:
        """Parameters of the rule ``standin``."""
        catalogue.require("standins", dataset, f"datasets.{dataset}.standin")
        options = self.options(dataset).standin
        if options is None:
            raise UserError(f"datasets.{dataset}.standin is not given: `semiseg rehearse TABLE` builds stand-ins")
        return {"dataset": dataset, **_plain(options)}

    def download(self, dataset: str) -> Spec:
        """Parameters of the rule ``download``: served from the stand-in's folder in a rehearsal."""
        return {
            "dataset": dataset,
            "mirror": self.options(dataset).mirror,
            "standin": self.options(dataset).standin is not None,
        }

    def raw_inputs(self, dataset: str) -> dict[str, str]:
        """What the rule ``raw`` waits for: the stand-in, and downloaded archives where the publisher is open."""
        options, inputs = self.options(dataset), {}
        if options.standin is not None:
            inputs["standin"] = STANDIN.format(dataset=dataset)
        if get_dataset(dataset).remote is not None and options.source is None and options.generate is None:
            inputs["archives"] = ARCHIVES.format(dataset=dataset)
        return inputs

    def raw(self, dataset: str) -> Spec:
        """Parameters of the rule ``raw``."""
        options = _plain(self.options(dataset))
        return {
            "dataset": dataset,
            "options": {name: options[name] for name in ("source", "generate")},
            "standin": options["standin"] is not None,
            "wanted": self.wanted(dataset),
        }

    def wanted(self, dataset: str) -> list[str] | None:
        """Cases that the splits name, where a collection has a part that is imported on demand; else None."""
        kind, splits = get_dataset(dataset), self.params.splits.get(dataset, {}).values()
        if not any(part.on_demand for part in kind.parts) or any(split.list is None for split in splits):
            return None
        lists = [read_list(split.list) for split in splits if split.list is not None]
        return sorted({kind.case_id(name) for content in lists for part in PARTS for name in content[part]})

    def preparation(self, dataset: str, preparation: str) -> Spec:
        """Parameters of the rule ``prepare``."""
        if preparation not in self.params.preparations:
            known = ", ".join(sorted(self.params.preparations))
            raise UserError(f"unknown preparation {preparation!r}; known: {known}")
        steps = _plain(self.params.preparations[preparation])
        return {"dataset": dataset, "name": preparation, "preparation": steps}

    def split(self, dataset: str, split: str) -> Spec:
        """Parameters of the rule ``split``."""
        known = self.params.splits.get(dataset, {})
        if split not in known:
            raise UserError(f"dataset {dataset} has no split {split!r}; it has: {', '.join(sorted(known)) or 'none'}")
        definition = known[split]
        spec = {"dataset": dataset, "name": split, "split": _plain(definition)}
        if definition.list is None:
            return spec
        catalogue.require("splits", definition.list, f"splits.{dataset}.{split}.list")
        return {**spec, "list_sha256": sha256(catalogue.PACKAGE / "splits" / f"{definition.list}.yaml")}

    def training(self, run: Run) -> Spec:
        """Parameters of the rule ``train``: inference is among them, since validation slides the same window."""
        protocol = self.protocol(run.protocol)
        return {**self.prediction(run), "seed": run.seed, "training": _plain(protocol.training)}

    def prediction(self, run: Run) -> Spec:
        """Parameters of the rule ``predict``."""
        protocol = self.protocol(run.protocol)
        return {
            "dataset": run.dataset,
            "method": self.base(run.method),
            "hyper": self.hyper(run.protocol, run.method),
            "network": _plain(protocol.network),
            "inference": _plain(protocol.inference),
        }

    def scoring(self, table: str, method: str) -> Spec:
        """Parameters of the rule ``row``."""
        definition, row = self.table(table), self.row(table, method)
        return {
            "method": method,
            "label": row.label or method,
            "dataset": definition.dataset,
            "organs": list(
                definition.organs or (organ.abbreviation for organ in get_dataset(definition.dataset).organs)
            ),
            "metrics": list(definition.metrics),
            "published": self.protocol(definition.protocol).scoring,
        }

    def tabulation(self, table: str) -> Spec:
        """Parameters of the rule ``table``: the text of its page."""
        definition = self.table(table)
        protocol, dataset = self.protocol(definition.protocol), get_dataset(definition.dataset)
        chosen = [dataset.organ(name) for name in definition.organs] or dataset.organs
        return {
            "table": table,
            "title": definition.title,
            "paper": definition.paper,
            "dataset": definition.dataset,
            "collection": {"title": dataset.title, "modality": dataset.modality, "citation": dataset.citation},
            "organs": [{"id": organ.id, "name": organ.name, "abbreviation": organ.abbreviation} for organ in chosen],
            "metrics": list(definition.metrics),
            "seeds": list(definition.seeds),
            "protocol": definition.protocol,
            "published": protocol.scoring,
            "preparation": _plain(self.params.preparations[protocol.preparation]),
            "network": _plain(protocol.network),
            "training": _plain(protocol.training),
            "inference": _plain(protocol.inference),
            "rows": [row.method for row in definition.rows],
            "names": {row.method: [row.label or row.method, *row.printed] for row in definition.rows},
            "printed": [_plain(block) for block in definition.printed],
            "printed_sha256": {
                block.paper: sha256(catalogue.PACKAGE / "published" / f"{block.paper}.csv")
                for block in definition.printed
            },
            "reference": definition.reference or definition.rows[0].method,
            "skipped": self.skipped(table),
            "failed": {},
            "variants": self.variants(table),
            "hyper": {row.method: self.effective(definition.protocol, row.method) for row in definition.rows},
            "runs": {name: [run.folder for run in self.runs(table, name)] for name in self.served(table)},
            "split": SPLIT.format(dataset=definition.dataset, split=definition.split),
            "prepared": self.prepared(definition.dataset, definition.protocol),
        }

    def prepared(self, dataset: str, protocol: str) -> str:
        """Path of the index of the prepared cases that a protocol trains on."""
        return PREPARED.format(dataset=dataset, preparation=self.protocol(protocol).preparation)


def as_text(spec: Mapping[str, Any]) -> str:
    """A specification as one line of JSON with sorted keys: a job's exact parameters, as they stand in its command."""
    return json.dumps(spec, sort_keys=True, separators=(",", ":"))


def _plain(model: Any) -> Any:
    return model.model_dump(mode="json")
