"""``semiseg plan``: what a table will cost before anything runs, and what of it is there already."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from semiseg.base.files import read_json
from semiseg.base.progress import Progress
from semiseg.base.terminal import Page, columns, facts, heading, items, terminal, title
from semiseg.data.split_lists import PARTS, part_counts
from semiseg.dataset import get_dataset
from semiseg.graph.plan import Plan, Run
from semiseg.learning.estimate import BYTES, Work, prepared_voxels, work
from semiseg.paths import PREPARED, RAW, RUN, SPLIT, STATE

COUNTED = Path("results/counted")  # work per step, kept between calls
ASSUMED_SPEED = 5e12  # operations per second that a data-centre GPU keeps up on such networks; our assumption
VOXEL_BYTES = 5  # image and label of a prepared case, before compression
GIB = 2**30
COLUMNS = ("row", "runs done", "parameters", "s / iteration", "hours left", "memory (GiB)", "")


@dataclass(frozen=True)
class Price:
    """Of one row: seconds per iteration and bytes of memory, measured on a device or estimated from counted work."""

    seconds: float
    memory: float
    parameters: int
    source: str


@dataclass(frozen=True)
class Line:
    """One row of the table: its price, runs that are finished, iterations that are left."""

    label: str
    price: Price
    finished: int
    runs: int
    left: int

    @property
    def hours(self) -> float:
        """Training that is left, validation not counted."""
        return self.left * self.price.seconds / 3600


def plan_table(plan: Plan, table: str, speed: float | None) -> None:
    """Print hours, memory and disk of a table; ``speed``: operations per second, default: measured or assumed.

    Runs under ``results`` and data under ``data`` of the working directory are looked at, not judged: whether one is up
    to date, `snakemake -n` says.
    """
    measured = Measured.read(plan, table)
    works = {}
    with Progress(f"plan {table}: count operations", len(plan.served(table)), "row") as bar:
        for method in plan.served(table):
            works[method] = _work(plan, table, method)
            bar.step()
    pace = speed or measured.pace(works) or ASSUMED_SPEED
    lines = [_line(plan, table, method, works[method], measured, pace) for method in works]
    origin = "given" if speed else "of finished runs here" if measured.pace(works) else "assumed"
    for block in _page(plan, table, lines, f"{pace / 1e12:.2g} TFLOP/s ({origin})"):
        terminal().print(block)


@dataclass(frozen=True)
class Measured:
    """cost.json of finished runs of this protocol, on whatever data set, by method."""

    costs: Mapping[str, Sequence[Mapping[str, Any]]]

    @classmethod
    def read(cls, plan: Plan, table: str) -> "Measured":
        """What lies under results/runs."""
        protocol = plan.table(table).protocol
        folder = RUN.removeprefix("results/").format(
            dataset="*", protocol=protocol, split="*", method="{method}", seed="*"
        )
        pattern = f"{folder}/cost.json"
        found = {
            method: [read_json(path) for path in sorted(Path("results").glob(pattern.format(method=method)))]
            for method in plan.served(table)
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


def _work(plan: Plan, table: str, method: str) -> Work:
    classes = len(get_dataset(plan.table(table).dataset).organs) + 1
    return work(plan.training(plan.runs(table, method)[0]), classes, COUNTED)


def _line(plan: Plan, table: str, method: str, counted: Work, measured: Measured, pace: float) -> Line:
    runs = plan.runs(table, method)
    costs = measured.costs[method]
    if costs:
        seconds = median(cost["seconds_per_iteration"] for cost in costs)
        memory = max(cost["peak_memory_bytes"] for cost in costs)
        price = Price(seconds, memory, costs[0]["parameters"], f"measured: {costs[0]['device']}")
    else:
        price = Price(counted.operations / pace, counted.memory, counted.parameters, "estimated")
    done = [run for run in runs if (Path(run.folder) / "weights.safetensors").exists()]
    left = sum(_iterations(plan, run) for run in runs if run not in done) if price.parameters else 0
    return Line(plan.row(table, method).label or method, price, len(done), len(runs), left)


def _iterations(plan: Plan, run: Run) -> int:
    """Steps of a run; where the protocol counts epochs, from the cases of its split."""
    training = plan.protocol(run.protocol).training
    if training.iterations is not None:
        return training.iterations
    assert training.epochs is not None  # the parameters allow exactly one of the two
    counts = part_counts(plan.params.splits[run.dataset][run.split])
    per_step: int = getattr(training.batch, training.epoch)
    return training.epochs * max(counts[training.epoch] // per_step, 1)


def _page(plan: Plan, table: str, lines: Sequence[Line], pace: str) -> Page:
    definition = plan.table(table)
    hours = sum(line.hours for line in lines)
    most = max(lines, key=lambda line: line.price.memory)
    trained = [line for line in lines if line.price.parameters]
    return [
        title("plan", table, definition.title),
        facts(
            {
                "left to train": f"{sum(line.runs - line.finished for line in trained)} of "
                f"{sum(line.runs for line in trained)} runs, about {hours:.1f} hours on one GPU",
                "memory": f"about {most.price.memory / GIB:.1f} GiB for {most.label}, the row that needs most",
                "disk": _disk(plan, table, lines),
                "speed": pace,
            }
        ),
        heading("rows"),
        columns(COLUMNS, map(_cells, lines)),
        *items("rows left out", [f"{method}: {reason}" for method, reason in plan.skipped(table).items()]),
        *items("already there", _present(plan, table)),
    ]


def _cells(line: Line) -> tuple[str, ...]:
    price, done = line.price, f"{line.finished} of {line.runs}"
    if not price.parameters:
        return line.label, done, "0", "", "", "", "not trained"
    numbers = f"{price.parameters:,}", f"{price.seconds:.3g}", f"{line.hours:.1f}", f"{price.memory / GIB:.1f}"
    return line.label, done, *numbers, price.source


def _disk(plan: Plan, table: str, lines: Iterable[Line]) -> str:
    """Raw and prepared scans as if uncompressed, weights; label maps are small beside them."""
    definition = plan.table(table)
    dataset = get_dataset(definition.dataset)
    weights = sum(BYTES * line.price.parameters * line.runs for line in lines)
    parts = [f"weights {weights / GIB:.1f} GiB"]
    cases = sum(part_counts(plan.params.splits[dataset.name][definition.split])[part] for part in PARTS)
    if dataset.typical is not None:
        protocol = plan.protocol(definition.protocol)
        steps = [step.model_dump() for step in plan.params.preparations[protocol.preparation].steps]
        voxels = prepared_voxels(dataset.typical.shape, dataset.typical.spacing_mm, steps)
        parts.insert(0, f"{cases} prepared cases at most {cases * voxels * VOXEL_BYTES / GIB:.1f} GiB")
    return ", ".join(parts)


def _present(plan: Plan, table: str) -> list[str]:
    definition = plan.table(table)
    where = {"dataset": definition.dataset, "split": definition.split}
    preparation = plan.protocol(definition.protocol).preparation
    files = {
        "raw cases": RAW.format(**where),
        f"cases prepared by {preparation}": PREPARED.format(**where, preparation=preparation),
        f"split {definition.split}": SPLIT.format(**where),
    }
    lines = [f"{name} ({path})" for name, path in files.items() if Path(path).exists()]
    runs = [run for method in plan.served(table) for run in plan.runs(table, method)]
    begun = [run for run in runs if (Path(STATE.format(**vars(run))) / "state.safetensors").exists()]
    if begun:
        lines.append(f"states of {len(begun)} interrupted runs, which will continue")
    return lines
