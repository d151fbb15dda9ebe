"""The rules of the workflow, in one table: what each rule runs, reads, writes and needs.

The command line declares one verb per rule from this table. Repeating a recorded job uses it too
(``semiseg.stages.execution``). A rule's function imports its stage when it is called, because stages are slow to load.
"""

from collections.abc import Mapping

from semiseg.base.controls import is_control
from semiseg.paths import (
    ARCHIVES,
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
    page_files,
)
from semiseg.stages.task import Input, Options, Output, Rule, Task

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


def _weights(task: Task) -> None:
    """Check that a file of weights is here, which the user brings with `semiseg import-weights`."""
    from semiseg.stages.weights import keep_weights

    keep_weights(task.spec, task.files["out"], task.options.origin)


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
    files = task.files
    if is_control(task.spec["method"]):
        from semiseg.stages.train_control import train_control

        train_control(files["out"], files["history"], files["cost"], task.options.threads)
        return

    if "weights" in task.spec:
        from semiseg.stages.train_imported import train_imported

        outputs = files["out"], files["history"], files["cost"]
        train_imported(task.spec, files["prepared"], files["split"], files["brought"], *outputs, task.options.threads)
        return

    from semiseg.stages.train import Outputs, train

    out = Outputs(files["out"], files["history"], files["cost"])
    data, local_disk = (files["prepared"], files["split"]), task.options.local_disk
    initial = files.get("initial") or files.get("brought")
    train(task.spec, *data, files["state"], out, task.runtime(), local_disk, initial)


def _predict(task: Task) -> None:
    """Segment the test cases with a sliding window."""
    files = task.files
    paths = files["weights"], files["prepared"], files["split"], files["out"]
    if is_control(task.spec["method"]):
        from semiseg.stages.predict_control import predict_control

        predict_control(task.spec, *paths)  # its training leaves no state
        return

    from semiseg.learning.state import drop
    from semiseg.stages.predict import predict

    if task.options.state is not None:
        drop(task.options.state)
    predict(task.spec, *paths, task.runtime())


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

    rule = RULES["table"]
    tabulate(task.spec, task.several["rows"], task.files["out"], lambda: record_of(rule, task))


def record_of(rule: Rule, task: Task) -> str:
    """The id that the record of a task will have, once its outputs are written."""
    from semiseg.jobs.code_hash import module_hashes, modules_of
    from semiseg.jobs.record import identity_of

    code = module_hashes(*modules_of(rule.name, task.spec))
    return identity_of(rule.name, task.spec, code, rule.read(task), rule.written(task))


def _seconds(task: Task) -> None:
    """Time a training step of each row of a table, side by side on one device."""
    from semiseg.stages.seconds import seconds

    seconds(task.spec, task.files["out"], task.runtime())


def _figure(task: Task) -> None:
    """Draw a figure of a table: box plots, learning curves, bars, seconds of a step or one case."""
    from semiseg.stages.figure import figure

    figure(task.spec, task.several["rows"], task.files["out"])


def _site(task: Task) -> None:
    """Write the site over all tables that are built."""
    from semiseg.stages.site import write_site

    write_site(task.spec, task.files["out"], task.files["files"], task.options.workers)


def _page_files(task: Task) -> list[str]:
    """The files that a table's page shows of each run."""
    runs = task.spec["runs"]
    trainings = {**runs, **task.spec["trained_elsewhere"]}
    return page_files(pair for method in runs for pair in zip(trainings[method], runs[method], strict=True))


def _figure_files(task: Task) -> list[str]:
    """The files that a figure shows of each run. Bars are drawn from the rows alone, seconds from what was timed."""
    if task.files["out"].stem == "seconds":
        return [SECONDS.format(table=task.spec["table"])]
    return [] if task.several["rows"] else _page_files(task)


def _site_tables(task: Task) -> list[str]:
    """The built tables that the site shows."""
    return [TABLE.format(table=name) for name, state in task.spec["tables"].items() if "record" in state]


# --- the table -------------------------------------------------------------------------------------------------------

OF_GPU = ("device", "gpu", "runs_per_gpu", "threads")

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
        Rule("weights", _weights, inputs=(), outputs=(Output("out", WEIGHTS),), options=("origin",)),
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
            inputs=(
                Input("prepared", PREPARED),
                Input("split", SPLIT),
                Input(
                    "initial", f"{RUN}/weights.safetensors", optional=True, help="weights that the training starts from"
                ),
                Input("brought", WEIGHTS, optional=True, help="in their place, weights that the user has brought"),
            ),
            outputs=(
                Output("out", f"{RUN}/weights.safetensors"),
                Output("history", f"{RUN}/history.csv"),
                Output("cost", f"{RUN}/cost.json"),
            ),
            scratch=("state",),
            options=("checkpoint_seconds", "data_on_device", "local_disk", *OF_GPU),
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
        Rule("seconds", _seconds, inputs=(), outputs=(Output("out", SECONDS),), options=OF_GPU, on_gpu=True),
        Rule(
            "figure",
            _figure,
            inputs=(Input("rows", ROW, several=True, optional=True, help="the table's rows, for bars"),),
            outputs=(Output("out", FIGURE),),
            also_reads=_figure_files,
        ),
        Rule(
            "site",
            _site,
            inputs=(),
            outputs=(Output("out", SITE), Output("files", SITE_FILES)),
            also_reads=_site_tables,
            options=("workers",),
        ),
    )
}
