"""``semiseg plan``: the cost of a table before anything runs, and the part of it that exists already."""

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from semiseg.base.errors import UserError
from semiseg.base.files import read_json
from semiseg.base.terminal import Page, columns, facts, heading, items, terminal, title
from semiseg.base.texts import counted
from semiseg.data.split_lists import part_counts
from semiseg.dataset import Dataset, get_dataset
from semiseg.describe.missing import missing
from semiseg.describe.needs import GIB, disk, host_memory
from semiseg.graph.graph import Graph
from semiseg.graph.job import Job
from semiseg.graph.plan import Plan, Run
from semiseg.graph.shown import label
from semiseg.graph.specs import Specs
from semiseg.graph.split_lists import list_state
from semiseg.learning.estimate import Step, work
from semiseg.learning.order import Order
from semiseg.learning.schedule import TrainingSchedule
from semiseg.learning.work import PROCESS, Work
from semiseg.params.preparation import Preparation
from semiseg.params.table import Table
from semiseg.paths import COUNTED, PREPARED, RAW, RUN, SPLIT, STATE
from semiseg.report.texts import describe_shared

ASSUMED_SPEED = 5e12  # operations per second that a data-centre GPU keeps up on such networks; our assumption
COLUMNS = ("row", "runs done", "parameters", "s / iteration", "hours left", "memory (GiB)", "")


@dataclass(frozen=True)
class Price:
    """Cost of one row: seconds per iteration and bytes of memory, measured on a device or estimated.

    stored: bytes of the weights that a run keeps at most.
    """

    seconds: float
    memory: float
    parameters: int
    stored: int
    source: str


@dataclass(frozen=True)
class Line:
    """One row of the table: its price, runs that are finished, iterations that are left, and those of a whole run."""

    label: str
    price: Price
    finished: int
    runs: int
    left: int
    longest: int

    @property
    def hours(self) -> float:
        """Training that is left, validation not counted."""
        return self.left * self.price.seconds / 3600

    @property
    def run_hours(self) -> float:
        """Training of one run from its first step to its last, validation not counted."""
        return self.longest * self.price.seconds / 3600


def plan_table(plan: Plan, table: str, speed: float | None, runs_per_gpu: int = 1) -> None:
    """Print hours, memory and disk of a table; ``speed``: operations per second, default: measured or assumed.

    runs_per_gpu: how many runs share a GPU. Raises UserError for fewer than one.

    A run in the working directory counts as finished where it and the data behind it are here, made with these
    parameters and this code. Files are not hashed: `snakemake -n` also finds what was changed by hand.
    """
    if runs_per_gpu < 1:
        raise UserError(f"--runs-per-gpu is {runs_per_gpu}, expected 1 or more")
    view = TableView.of(plan, table)
    measured = Measured.read(view)
    steps = {method: view.step(method) for method in view.runs}
    works = work(steps, Path(COUNTED), os.cpu_count() or 1, f"plan {table}: count operations")
    pace = speed or measured.pace(works) or ASSUMED_SPEED
    trained = view.trained()
    lines = [_line(view, method, works[method], measured, pace, trained) for method in works]
    assumed = "assumed for a GPU, no estimate for CPUs"
    origin = "given" if speed else "of finished runs here" if measured.pace(works) else assumed
    for block in _page(view, lines, f"{pace / 1e12:.2g} TFLOP/s ({origin})", runs_per_gpu):
        terminal().print(block)


@dataclass(frozen=True)
class TableView:
    """A table with all that the planner derives from it.

    runs: the trainings of the rows that are built, by method, each once: rows that have those of a row above, to show
    its runs again or because they differ at prediction alone, are left out. The pre-trainings behind them are there by
    a name of their own. labels: name in ``runs`` -> how it is printed. predictions: of all rows, each once.
    """

    plan: Plan
    name: str
    table: Table
    dataset: Dataset
    preparation: Preparation
    runs: Mapping[str, Sequence[Run]]
    labels: Mapping[str, str]
    predictions: frozenset[Run]

    @classmethod
    def of(cls, plan: Plan, name: str) -> "TableView":
        """The view of a table. UserError for an unknown name, or where no row can be built."""
        table = plan.table(name)
        predicted = {method: plan.runs(name, method) for method in plan.served(name)}
        runs: dict[str, Sequence[Run]] = {}
        labels: dict[str, str] = {}
        for method in (method for method in predicted if plan.row(name, method).same_as is None):
            trainings = [plan.training(run) for run in predicted[method]]
            if trainings in runs.values():
                continue
            runs[method], labels[method] = trainings, label(plan.params, plan.row(name, method))
            for several in zip(*(plan.pretrainings(run) for run in trainings), strict=True):
                key = f"{several[0].method} by {several[0].protocol}"
                runs[key], labels[key] = list(several), f"{several[0].method}, pre-training of {labels[method]}"
        preparation = plan.preparation(plan.protocol(table.protocol).preparation)
        predictions = frozenset(run for own in predicted.values() for run in own)
        return cls(plan, name, table, get_dataset(table.dataset), preparation, runs, labels, predictions)

    def counts(self, split: str) -> Mapping[str, int]:
        """Cases of each part of a split of the dataset."""
        return part_counts(self.plan.params.splits[self.table.dataset][split])

    def step(self, method: str) -> Step:
        """A training step of a row."""
        return Step(Specs(self.plan).train(self.runs[method][0]), len(self.dataset.organs) + 1)

    def trained(self) -> frozenset[Run]:
        """The runs that are done, with all jobs behind them."""
        graph, done = Graph(self.plan), dict[str, bool]()

        def is_done(job: Job) -> bool:
            if job.main not in done:  # runs share their data
                done[job.main] = job.is_done()
            return done[job.main]

        runs = [run for runs in self.runs.values() for run in runs]
        return frozenset(run for run in runs if all(map(is_done, graph.chain(f"{run.folder}/weights.safetensors"))))

    def iterations(self, run: Run) -> int:
        """Steps of a run; where the protocol counts epochs, from the cases of its split."""
        training, alone = self.plan.protocol(run.protocol).training, self.plan.labelled_only(run.method)
        order = Order.of(training, self.counts(run.split), labelled_only=alone)
        return TrainingSchedule(training, order.steps_per_epoch).iterations


@dataclass(frozen=True)
class Measured:
    """cost.json of finished runs of a row's protocol, on whatever data set, by method."""

    costs: Mapping[str, Sequence[Mapping[str, Any]]]

    @classmethod
    def read(cls, view: TableView) -> "Measured":
        """Read what lies under results/runs."""
        pattern = f"{RUN.removeprefix('results/')}/cost.json"
        anywhere = dict.fromkeys(("dataset", "split", "seed"), "*")
        found = {
            method: [read_json(path) for path in sorted(Path("results").glob(pattern.format(**vars(run) | anywhere)))]
            for method, (run, *_) in view.runs.items()
        }
        return cls({name: [cost for cost in costs if cost["iterations"]] for name, costs in found.items()})

    def pace(self, works: Mapping[str, Work]) -> float | None:
        """Median of the operations per second that these runs reached; None without runs."""
        reached = [
            works[name].operations / cost["seconds_per_iteration"]
            for name, costs in self.costs.items()
            for cost in costs
        ]
        return median(reached) if reached else None


def _line(
    view: TableView, method: str, counted: Work, measured: Measured, pace: float, trained: Collection[Run]
) -> Line:
    runs, costs = view.runs[method], measured.costs[method]
    if costs:
        seconds = median(cost["seconds_per_iteration"] for cost in costs)
        memory = max(cost["peak_memory_bytes"] for cost in costs)
        price = Price(seconds, memory, costs[0]["parameters"], counted.stored, f"measured: {costs[0]['device']}")
    else:
        price = Price(counted.operations / pace, counted.memory, counted.parameters, counted.stored, "estimated")
    done = [run for run in runs if run in trained]
    steps = {run: view.iterations(run) if price.parameters else 0 for run in runs}
    left = sum(number for run, number in steps.items() if run not in done)
    return Line(view.labels[method], price, len(done), len(runs), left, max(steps.values()))


def _page(view: TableView, lines: Sequence[Line], pace: str, runs_per_gpu: int) -> Page:
    hours = sum(line.hours for line in lines)
    most = max(lines, key=lambda line: line.price.memory)
    longest = max(lines, key=lambda line: line.run_hours)
    trained = [line for line in lines if line.price.parameters]
    return [
        title("plan", view.name, view.table.title),
        facts(
            {
                "left to train": f"{sum(line.runs - line.finished for line in trained)} of "
                f"{sum(line.runs for line in trained)} runs, {_duration(hours)} on one GPU",
                **_shared(lines, runs_per_gpu),
                "longest run": f"{_duration(longest.run_hours)}, {longest.label}; a job that is ended continues",
                "GPU memory": f"about {most.price.memory / GIB:.1f} GiB for {most.label}, the row that needs most",
                "host memory": host_memory(),
                "disk": _disk(view, lines),
                "list of cases": list_state(view.plan, view.name).sentence,
                "speed": pace,
            }
        ),
        heading("rows"),
        columns(COLUMNS, map(_cells, lines)),
        *items("rows left out", [f"{method}: {why}" for method, why in view.plan.skipped(view.name).items()]),
        *items("shown again", _shown_again(view)),
        *items("trained once", describe_shared(view.plan.trainings(view.name))),
        *items("already there", _present(view)),
        *items("not here, to be brought", list(missing(view.plan, view.name))),
    ]


def _shown_again(view: TableView) -> list[str]:
    """Rows whose runs are those of another row, so that they cost nothing."""
    labels = {row.method: label(view.plan.params, row) for row in view.table.rows}
    return [
        f"{labels[row.method]}: the runs of {labels[row.same_as]}, trained once"
        for row in view.table.rows
        if row.same_as is not None
    ]


def _shared(lines: Sequence[Line], runs_per_gpu: int) -> dict[str, str]:
    """Hours and memory where several runs share a GPU. Hours are a range: how far one run fills a GPU is unknown."""
    if runs_per_gpu == 1:
        return {}
    hours = sum(line.hours for line in lines)
    first, last = _duration(hours / runs_per_gpu), _duration(hours).removeprefix("about ")
    needs = sorted((line.price.memory for line in lines for _ in range(line.runs)), reverse=True)[:runs_per_gpu]
    time = f"from {first} where one run leaves the GPU idle enough to {last} where it fills it" if hours else "none"
    memory = (sum(needs) + len(needs) * PROCESS) / GIB
    return {f"{runs_per_gpu} runs per GPU": f"{time}; {memory:.1f} GiB of its memory for the largest together"}


def _duration(hours: float) -> str:
    """A time in words: hours, or minutes of less than one."""
    if hours >= 1:
        return f"about {hours:.1f} hours"
    return f"about {counted(max(1, round(60 * hours)), 'minute')}" if hours else "none"


def _cells(line: Line) -> tuple[str, ...]:
    price, done = line.price, f"{line.finished} of {line.runs}"
    if not price.parameters:
        return line.label, done, "0", "", "", "", "not trained"
    numbers = f"{price.parameters:,}", f"{price.seconds:.3g}", f"{line.hours:.1f}", f"{price.memory / GIB:.1f}"
    return line.label, done, *numbers, price.source


def _disk(view: TableView, lines: Iterable[Line]) -> str:
    """Scans and label maps as if uncompressed, and weights."""
    weights = sum(line.price.stored * line.runs for line in lines) / GIB
    most = disk(view.dataset, view.preparation, view.counts(view.table.split), len(view.predictions))
    parts = [f"{what} {size:.1f} GiB" for what, size in most.items()]
    return "; ".join([*([f"before compression {', '.join(parts)}"] if parts else []), f"weights {weights:.1f} GiB"])


def _present(view: TableView) -> list[str]:
    where = {"dataset": view.table.dataset, "split": view.table.split}
    preparation = view.plan.protocol(view.table.protocol).preparation
    files = {
        "raw cases": RAW.format(**where),
        f"cases prepared by {preparation}": PREPARED.format(**where, preparation=preparation),
        f"split {view.table.split}": SPLIT.format(**where),
    }
    lines = [f"{name} ({path})" for name, path in files.items() if Path(path).exists()]
    runs = [run for runs in view.runs.values() for run in runs]
    begun = [run for run in runs if (Path(STATE.format(**vars(run))) / "state.safetensors").exists()]
    if begun:
        lines.append(f"states of {len(begun)} interrupted runs, which will continue")
    return lines
