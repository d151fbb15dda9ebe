"""The rules of the workflow, in one table: what each rule runs, reads, writes and needs.

The command line declares one verb per rule from this table. Repeating a recorded job uses it too
(``semiseg.stages.execution``). A rule's function imports its stage when it is called, because stages are slow to load.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semiseg.base.errors import UserError
from semiseg.paths import (
    ARCHIVES,
    FIGURE,
    FORMS,
    PREPARED,
    RAW,
    ROW,
    RUN,
    SPLIT,
    STANDIN,
    TABLE,
    page_files,
)

if TYPE_CHECKING:
    from semiseg.learning.build import Runtime


@dataclass(frozen=True)
class Input:
    """Something that a rule reads.

    name: the name of the verb's option. template: where the file lies in a project (``semiseg.paths``).
    several: any number of files, which end the command line and have no option. optional: a job may do without it.
    """

    name: str
    template: str
    several: bool = False
    optional: bool = False
    help: str | None = None


@dataclass(frozen=True)
class Output:
    """A file that a rule writes. name: the name of the verb's option. template: where it lies in a project."""

    name: str
    template: str


@dataclass(frozen=True)
class Options:
    """How a job runs on this machine. Of all options only the number of threads is part of the bits of a result."""

    workers: int = field(default=1, metadata={"help": "worker processes or connections"})
    device: str = field(default="auto", metadata={"help": "auto (a free GPU), cpu, cuda, cuda:1, ..."})
    slots: int = field(default=1, metadata={"help": "jobs per GPU, where the device is auto"})
    threads: int = field(default=1, metadata={"help": "CPU threads; another number may give other bits"})
    checkpoint_seconds: float = field(default=120.0, metadata={"help": "a kill loses at most this much work"})
    state: Path | None = field(default=None, metadata={"help": "training state to delete, since training is finished"})


@dataclass(frozen=True)
class Task:
    """One job of a rule.

    spec: its parameters. files: input, output or scratch folder by name. several: inputs of several files by name.
    """

    spec: Mapping[str, Any]
    files: Mapping[str, Path]
    several: Mapping[str, Sequence[Path]]
    options: Options

    def runtime(self) -> "Runtime":
        """The device, threads and loader processes of this job. It sets the number of torch's threads."""
        from semiseg.learning.build import choose_runtime

        return choose_runtime(self.options.device, self.options.threads, self.options.checkpoint_seconds)


def _nothing(task: Task) -> list[str]:
    return []


@dataclass(frozen=True)
class Rule:
    """One rule of the workflow; its verb on the command line has the same name.

    function: does the work of a task; its docstring is the help of the verb.
    inputs: in the order in which a record lists them.
    outputs: the first one is the main output, and the lineage record lies beside it.
    also_reads: inputs that follow from the parameters, so that no option names them.
    forms: suffixes of further outputs, which have the name of the main output otherwise.
    scratch: folders that the job needs and no record names.
    options: names of those ``Options`` that the rule has; defaults: their values where none is given.
    on_gpu: the job takes a GPU for itself where there is one.
    restores: inputs whose volumes are made again first where they are missing (``semiseg.stages.restore_volumes``).
    """

    name: str
    function: Callable[[Task], None]
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
    also_reads: Callable[[Task], Sequence[str]] = _nothing
    forms: tuple[str, ...] = ()
    scratch: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    defaults: Options = Options()
    on_gpu: bool = False
    restores: tuple[str, ...] = ()

    @property
    def file_names(self) -> list[str]:
        """Names of all that a task has exactly one path of, or none where it is optional."""
        single = [item.name for item in self.inputs if not item.several]
        return [*single, *(output.name for output in self.outputs), *self.scratch]

    def read(self, task: Task) -> list[Path]:
        """The files that a task reads, each once, in the order in which its record lists them."""
        paths: list[Path] = []
        for item in self.inputs:
            if item.several:
                paths += task.several[item.name]
            elif item.name in task.files:
                paths.append(task.files[item.name])
        return list(dict.fromkeys([*paths, *map(Path, self.also_reads(task))]))

    def written(self, task: Task) -> list[Path]:
        """The files that a task writes, the main output first."""
        paths = [task.files[output.name] for output in self.outputs]
        return [*paths, *(paths[0].with_suffix(form) for form in self.forms)]


def recorded_task(record: Mapping[str, Any], folder: Path, options: Options) -> Task:
    """The task of a lineage record: recorded parameters and inputs, with outputs and scratch below ``folder``.

    Inputs are recognised by where they lie in the project, so their order in the record has no meaning.
    Raises UserError for a record that lacks an input of its rule.
    """
    rule = RULES[record["rule"]]
    files: dict[str, Path] = {name: folder / name for name in rule.scratch}
    several: dict[str, list[Path]] = {}
    for item in rule.inputs:
        found = _recorded(record, "inputs", item.template)
        if item.several:
            several[item.name] = found
        elif found:
            files[item.name] = found[0]
        elif not item.optional:
            made = record["outputs"][0]["path"]
            raise UserError(f"the record of {made} names no input like {item.template}: build {made} again")
    main, *others = rule.outputs
    files[main.name] = folder / Path(record["outputs"][0]["path"]).name
    for output in others:
        for path in _recorded(record, "outputs", output.template):
            files[output.name] = folder / path.name
    return Task(record["params"], files, several, options)


def _recorded(record: Mapping[str, Any], side: str, template: str) -> list[Path]:
    """The inputs or outputs of a record that lie where a template says; each name in braces stands for one word."""
    pattern = re.sub(r"{\w+}", r"\\w+", template.replace(".", r"\."))
    return [Path(entry["path"]) for entry in record[side] if re.fullmatch(pattern, entry["path"])]


# --- one function per rule -------------------------------------------------------------------------------------------


def _standin(task: Task) -> None:
    """Draw the synthetic twin of a dataset."""
    from semiseg.stages.standin import standin

    standin(task.spec, task.files["out"], task.options.workers)


def _download(task: Task) -> None:
    """Fetch the open archives of a dataset."""
    from semiseg.stages.download import download

    download(task.spec, task.files["out"], task.files.get("standin"), task.options.workers)


def _raw(task: Task) -> None:
    """Draw a phantom, or bring archives and folders into the raw folder."""
    from semiseg.stages.raw import build_raw

    files = task.files
    build_raw(task.spec, files["out"].parent, task.options.workers, files.get("standin"), files.get("archives"))


def _prepare(task: Task) -> None:
    """Bring raw cases onto the protocol's grid."""
    from semiseg.stages.prepare import prepare

    prepare(task.spec, task.files["raw"], task.files["out"], task.options.workers)


def _split(task: Task) -> None:
    """Decide which cases are labelled, unlabelled, validation and test."""
    from semiseg.stages.split import split

    split(task.spec, task.files["raw"], task.files["out"])


def _train(task: Task) -> None:
    """Train one run, or continue it."""
    from semiseg.stages.train import Outputs, train

    files = task.files
    out = Outputs(files["out"], files["history"], files["cost"])
    train(task.spec, files["prepared"], files["split"], files["state"], out, task.runtime())


def _predict(task: Task) -> None:
    """Segment the test cases with a sliding window."""
    from semiseg.learning.state import drop
    from semiseg.stages.predict import predict

    if task.options.state is not None:
        drop(task.options.state)
    files = task.files
    predict(task.spec, files["weights"], files["prepared"], files["split"], files["out"], task.runtime())


def _evaluate(task: Task) -> None:
    """Measure predictions against the truth, case by case and organ by organ."""
    from semiseg.stages.evaluate import evaluate_run

    files = task.files
    evaluate_run(files["predictions"], files["prepared"], files["raw"], files["out"], task.options.workers)


def _row(task: Task) -> None:
    """Score one row of a table."""
    from semiseg.stages.row import row

    row(task.spec, task.several["cases"], task.files["split"], task.files["out"])


def _table(task: Task) -> None:
    """Write a table as CSV, Markdown, LaTeX and HTML."""
    from semiseg.stages.tabulate import tabulate

    tabulate(task.spec, task.several["rows"], task.files["out"])


def _figure(task: Task) -> None:
    """Draw a figure of a table: box plots, learning curves, bars or one case."""
    from semiseg.stages.figure import figure

    figure(task.spec, task.several["rows"], task.files["out"])


def _page_files(task: Task) -> list[str]:
    """The files that a table's page shows of each run."""
    return page_files(folder for folders in task.spec["runs"].values() for folder in folders)


def _figure_files(task: Task) -> list[str]:
    """The files that a figure shows of each run. Bars are drawn from the rows alone."""
    return [] if task.several["rows"] else _page_files(task)


# --- the table -------------------------------------------------------------------------------------------------------

OF_GPU = ("device", "slots", "threads")

RULES: Mapping[str, Rule] = {
    rule.name: rule
    for rule in (
        Rule("standin", _standin, inputs=(), outputs=(Output("out", STANDIN),), options=("workers",)),
        Rule(
            "download",
            _download,
            inputs=(Input("standin", STANDIN, optional=True),),
            outputs=(Output("out", ARCHIVES),),
            options=("workers",),
            defaults=Options(workers=2),
        ),
        Rule(
            "raw",
            _raw,
            inputs=(Input("standin", STANDIN, optional=True), Input("archives", ARCHIVES, optional=True)),
            outputs=(Output("out", RAW),),
            options=("workers",),
        ),
        Rule(
            "prepare",
            _prepare,
            inputs=(Input("raw", RAW),),
            outputs=(Output("out", PREPARED),),
            options=("workers",),
        ),
        Rule("split", _split, inputs=(Input("raw", RAW),), outputs=(Output("out", SPLIT),)),
        Rule(
            "train",
            _train,
            inputs=(Input("prepared", PREPARED), Input("split", SPLIT)),
            outputs=(
                Output("out", f"{RUN}/weights.safetensors"),
                Output("history", f"{RUN}/history.csv"),
                Output("cost", f"{RUN}/cost.json"),
            ),
            scratch=("state",),
            options=("checkpoint_seconds", *OF_GPU),
            on_gpu=True,
            restores=("prepared",),
        ),
        Rule(
            "predict",
            _predict,
            inputs=(
                Input("weights", f"{RUN}/weights.safetensors"),
                Input("prepared", PREPARED),
                Input("split", SPLIT),
            ),
            outputs=(Output("out", f"{RUN}/predictions.json"),),
            options=("state", *OF_GPU),
            on_gpu=True,
            restores=("prepared",),
        ),
        Rule(
            "evaluate",
            _evaluate,
            inputs=(
                Input("predictions", f"{RUN}/predictions.json"),
                Input("prepared", PREPARED),
                Input("raw", RAW),
            ),
            outputs=(Output("out", f"{RUN}/cases.csv"),),
            options=("workers",),
            restores=("prepared", "predictions"),
        ),
        Rule(
            "row",
            _row,
            inputs=(Input("cases", f"{RUN}/cases.csv", several=True), Input("split", SPLIT)),
            outputs=(Output("out", ROW),),
        ),
        Rule(
            "table",
            _table,
            inputs=(Input("rows", ROW, several=True),),
            outputs=(Output("out", TABLE),),
            also_reads=_page_files,
            forms=FORMS,
        ),
        Rule(
            "figure",
            _figure,
            inputs=(Input("rows", ROW, several=True, optional=True, help="the table's rows, for bars"),),
            outputs=(Output("out", FIGURE),),
            also_reads=_figure_files,
        ),
    )
}
