"""What a rule of the workflow is, and a task: one job of a rule. The rules are listed in ``semiseg.stages.rules``."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semiseg.base.errors import UserError

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
    gpu: int = field(default=1, metadata={"help": "0: the CPU, also where a GPU is seen"})
    runs_per_gpu: int = field(default=1, metadata={"help": "jobs that may share a GPU, where the device is auto"})
    threads: int = field(default=1, metadata={"help": "CPU threads; another number may give other bits"})
    checkpoint_seconds: float = field(
        default=120.0,
        metadata={
            "help": "a kill loses this much work, or up to ten times as much where the state takes long to write"
        },
    )
    data_on_device: int = field(
        default=0, metadata={"help": "1: training cases lie on the device; crops are cut there"}
    )
    local_disk: str = field(
        default="", metadata={"help": "folder of this node's own disk, where trainings keep copies of the cases"}
    )
    origin: str = field(default="", metadata={"help": "where a file of weights comes from, which a sentence says"})
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
        """The device and the threads of this job. It sets the number of torch's threads.

        Raises UserError for a ``data_on_device`` that is neither 0 nor 1.
        """
        from semiseg.learning.build import choose_runtime

        if self.options.data_on_device not in (0, 1):
            raise UserError(f"data_on_device is {self.options.data_on_device}, expected 0 or 1: correct the profile")
        return choose_runtime(
            self.options.device,
            self.options.threads,
            self.options.checkpoint_seconds,
            data_on_device=bool(self.options.data_on_device),
            runs_per_gpu=self.options.runs_per_gpu,
        )


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
    on_gpu: the job takes a GPU for itself where there is one; that of a control takes none.
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
        """Names of the inputs, outputs and folders of which a task has one path, or none if they are optional."""
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
