"""The jobs behind a target, as the parameters define them: which files, which parameters, which code.

The Snakemake rules take their inputs and parameters from it; the audit compares records with it.
"""

import functools
import re
from collections.abc import Callable, Mapping

from semiseg.base.errors import UserError
from semiseg.graph.figures import check_figure
from semiseg.graph.job import Job, Paths
from semiseg.graph.plan import Plan, Run
from semiseg.graph.site import site_spec
from semiseg.graph.specs import Specs
from semiseg.params.table_spec import as_json
from semiseg.paths import (
    ARCHIVES,
    CHECKPOINTS,
    FIGURE,
    FORMS,
    PREPARED,
    RAW,
    ROW,
    RUN,
    SECONDS,
    SITE,
    SITE_FILES,
    SPLIT,
    STANDIN,
    TABLE,
    WEIGHTS,
)

WORD = r"\w+"
WILDCARDS = {  # others are a word
    "seed": r"\d+",
    "checkpoint": CHECKPOINTS,
    "figure": r"[\w.-]+",
    "format": "png|svg|pdf",
}


class Graph:
    """Finds a job by the names that identify it, or by the path of any of its outputs."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.specs = plan, Specs(plan)
        self.job = functools.cache(self._job)

    def maker(self, path: str) -> Job | None:
        """The job that makes this file, or None where no rule does. UserError for an unknown name in it."""
        found = _matched(path)
        return None if found is None else self.job(*found)

    def of(self, template: str, names: Mapping[str, str]) -> Job:
        """The job whose main output has this template, a key of ``MAIN_OUTPUTS``, with these names in its braces."""
        return self.job(MAIN_OUTPUTS[template], tuple(names.items()))

    def chain(self, target: str) -> list[Job]:
        """All jobs behind a target, each after those that it needs. UserError if no rule makes the target."""
        if self.maker(target) is None:
            raise UserError(f"no rule makes {target}: name a table such as results/demo.csv, or a file behind one")
        ordered: dict[str, Job] = {}

        def visit(path: str) -> None:
            job = self.maker(path)
            if job is None or job.main in ordered:
                return
            for needed in job.read:
                visit(needed)
            ordered[job.main] = job

        visit(target)
        return list(ordered.values())

    def _job(self, make: "Maker", names: tuple[tuple[str, str], ...]) -> Job:
        return make(self, **dict(names))

    # --- one method per rule -----------------------------------------------------------------------------------------

    def standin(self, dataset: str) -> Job:
        """The synthetic twin of a dataset."""
        return Job("standin", {}, {"out": STANDIN.format(dataset=dataset)}, self.specs.standin(dataset))

    def download(self, dataset: str) -> Job:
        """The open archives of a dataset."""
        inputs = {name: path for name, path in self.plan.raw_inputs(dataset).items() if name == "standin"}
        return Job("download", inputs, {"out": ARCHIVES.format(dataset=dataset)}, self.specs.download(dataset))

    def raw(self, dataset: str) -> Job:
        """The raw folder of a dataset."""
        return Job("raw", self.plan.raw_inputs(dataset), {"out": RAW.format(dataset=dataset)}, self.specs.raw(dataset))

    def weights(self, weights: str) -> Job:
        """A file of weights that the user brings."""
        return Job("weights", {}, {"out": WEIGHTS.format(weights=weights)}, self.specs.weights(weights))

    def prepare(self, dataset: str, preparation: str) -> Job:
        """Prepared cases of a dataset."""
        out = PREPARED.format(dataset=dataset, preparation=preparation)
        spec = self.specs.prepare(dataset, preparation)
        return Job("prepare", {"raw": RAW.format(dataset=dataset)}, {"out": out}, spec)

    def split(self, dataset: str, split: str) -> Job:
        """A split of a dataset."""
        out = SPLIT.format(dataset=dataset, split=split)
        return Job("split", {"raw": RAW.format(dataset=dataset)}, {"out": out}, self.specs.split(dataset, split))

    def train(self, run: Run) -> Job:
        """The training of a run, which reads the weights that it starts from, if they are not random.

        Raises UserError for a run that has the training of another one.
        """
        if (trained := self.plan.training(run)) != run:
            raise UserError(
                f"{run.method}{run.checkpoint} differs from {trained.method} at prediction or in the checkpoint alone"
                f" and has its weights: name {trained.folder}/weights.safetensors"
            )
        names = {"out": "weights.safetensors", "history": "history.csv", "cost": "cost.json"}
        outputs = {what: f"{run.folder}/{name}" for what, name in names.items()}
        return Job("train", {**self._data(run), **self._initial(run)}, outputs, self.specs.train(run))

    def _initial(self, run: Run) -> dict[str, Paths]:
        """The weights that a run has or starts from, of another run or brought by the user; nothing for random ones."""
        before, file = self.plan.initial(run), self.plan.imported(run.method) or self.plan.initial_weights(run)
        if before is not None:
            return {"initial": f"{before.folder}/weights.safetensors"}
        return {} if file is None else {"brought": WEIGHTS.format(weights=file)}

    def predict(self, run: Run) -> Job:
        """The label maps of a run's test cases."""
        inputs = {"weights": f"{self.plan.training(run).folder}/weights.safetensors", **self._data(run)}
        return Job("predict", inputs, {"out": f"{run.folder}/predictions.json"}, self.specs.predict(run))

    def evaluate(self, run: Run) -> Job:
        """The scores of a run's test cases."""
        inputs = {
            "predictions": f"{run.folder}/predictions.json",
            "prepared": self.plan.prepared(run.dataset, run.protocol),
            "raw": RAW.format(dataset=run.dataset),
        }
        return Job("evaluate", inputs, {"out": f"{run.folder}/cases.csv"}, {"dataset": run.dataset})

    def row(self, table: str, method: str) -> Job:
        """One row of a table."""
        runs = self.plan.runs(table, method)
        inputs: dict[str, Paths] = {
            "cases": tuple(f"{run.folder}/cases.csv" for run in runs),
            "split": SPLIT.format(**vars(runs[0])),
        }
        out = ROW.format(table=table, method=method)
        return Job("row", inputs, {"out": out}, as_json(self.specs.row(table, method)))

    def table(self, table: str) -> Job:
        """A table in all its forms."""
        inputs: dict[str, Paths] = {
            "rows": tuple(self.plan.row_files(table)),
            "page": tuple(self.plan.page_files(table)),
        }
        outputs = {"csv": TABLE.format(table=table), **{form: f"results/{table}{form}" for form in FORMS}}
        return Job("table", inputs, outputs, as_json(self.specs.table(table)))

    def seconds(self, table: str) -> Job:
        """The seconds of a training step of each row of a table, measured side by side."""
        return Job("seconds", {}, {"out": SECONDS.format(table=table)}, self.specs.seconds(table))

    def figure(self, table: str, figure: str, format: str) -> Job:
        """A figure of a table. UserError for one that cannot be drawn."""
        spec = self.specs.table(table)
        check_figure(spec, figure)
        inputs: dict[str, Paths] = {"page": tuple(self.plan.page_files(table))}
        if figure == "bars":
            inputs = {"rows": tuple(self.plan.row_files(table))}
        elif figure == "seconds":
            inputs = {"seconds": SECONDS.format(table=table)}
        return Job("figure", inputs, {"out": FIGURE.format(table=table, figure=figure, format=format)}, as_json(spec))

    def site(self) -> Job:
        """The site over the tables that are built now. It asks for none, so that reading results trains nothing."""
        spec = site_spec(self.plan)
        tables = tuple(TABLE.format(table=name) for name, state in spec["tables"].items() if "record" in state)
        return Job("site", {"tables": tables}, {"out": SITE, "files": SITE_FILES}, spec)

    def _data(self, run: Run) -> dict[str, Paths]:
        return {
            "prepared": self.plan.prepared(run.dataset, run.protocol),
            "split": SPLIT.format(dataset=run.dataset, split=run.split),
        }


Maker = Callable[..., Job]


def _of_run(make: Callable[[Graph, Run], Job]) -> Maker:
    def made(graph: Graph, seed: str, **names: str) -> Job:
        return make(graph, Run(**names, seed=int(seed)))

    return made


_train, _predict, _evaluate = (_of_run(make) for make in (Graph.train, Graph.predict, Graph.evaluate))
# Main output of each rule, as a template, and who makes it; a lineage record lies beside each.
MAIN_OUTPUTS: Mapping[str, Maker] = {
    STANDIN: Graph.standin,
    ARCHIVES: Graph.download,
    RAW: Graph.raw,
    WEIGHTS: Graph.weights,
    PREPARED: Graph.prepare,
    SPLIT: Graph.split,
    f"{RUN}/weights.safetensors": _train,
    f"{RUN}/predictions.json": _predict,
    f"{RUN}/cases.csv": _evaluate,
    ROW: Graph.row,
    TABLE: Graph.table,
    SECONDS: Graph.seconds,
    FIGURE: Graph.figure,
    SITE: Graph.site,
}
_OTHER_OUTPUTS: Mapping[str, Maker] = {
    **{f"{RUN}/{name}": _train for name in ("history.csv", "cost.json")},
    **{TABLE.removesuffix(".csv") + form: Graph.table for form in FORMS},
    SITE_FILES: Graph.site,
}


def _group(wildcard: re.Match[str]) -> str:
    """A named group for a wildcard of a template."""
    return f"(?P<{wildcard[1]}>{WILDCARDS.get(wildcard[1], WORD)})"


@functools.cache
def _matched(path: str) -> tuple[Maker, tuple[tuple[str, str], ...]] | None:
    """Who makes a file, and the names in its path; None where no rule does."""
    for pattern, make in _MAKERS:
        if found := pattern.fullmatch(path):
            return make, tuple(found.groupdict().items())
    return None


_MAKERS = tuple(
    (re.compile(re.sub(r"{(\w+)}", _group, template.replace(".", r"\."))), make)
    for template, make in {**MAIN_OUTPUTS, **_OTHER_OUTPUTS}.items()
)
