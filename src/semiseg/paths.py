"""Where files lie in a project, relative to its folder: templates whose names in braces identify a job."""

from collections.abc import Iterable
from pathlib import Path

STANDIN = "data/standins/{dataset}/standin.json"
ARCHIVES = "data/archives/{dataset}/archives.json"
RAW = "data/raw/{dataset}/manifest.json"
WEIGHTS = "data/weights/{weights}.safetensors"  # that the user brought
PREPARED = "data/prepared/{dataset}/{preparation}/index.json"
SPLIT = "data/splits/{dataset}/{split}.json"
RUN = "results/runs/{dataset}/{protocol}/{split}/{method}/seed{seed}{checkpoint}"
STATE = "results/state/{dataset}/{protocol}/{split}/{method}/seed{seed}{checkpoint}"
CHECKPOINTS = "|_last|_best_validation|_best_test"  # how the folder of a run ends; nothing: as its protocol keeps
ROW = "results/{table}/{method}.csv"
TABLE = "results/{table}.csv"
FIGURE = "results/{table}/figures/{figure}.{format}"
SECONDS = "results/{table}.seconds.csv"
# of a table, beside its CSV
FORMS = (".sound.csv", ".views.csv", ".cases.csv", ".cost.csv", ".metrics.json", ".md", ".tex", ".html")
SITE = "results/site/index.html"  # the pages over all tables
SITE_FILES = "results/site/files.sha256"  # of all files of the site
COUNTED = "results/counted"  # operations of a training step, as counted by the planner
AUDITED = "results/.audit"  # what audits remember
VERDICTS = "verdicts"  # its file there: of the last audit of each table, row by row
OUTLINES = "results/.code"  # what source files say, as the planner remembers it
CACHES = (AUDITED, OUTLINES)  # no content of a project
LINEAGE = ".lineage.json"  # how the name of a record ends


def page_files(runs: Iterable[tuple[str, str]]) -> list[str]:
    """What a table's page reads of runs: of each the folder of its training, then its own; mostly they are one."""
    files = (
        (f"{trained}/history.csv", f"{trained}/cost.json", f"{folder}/cases.csv", f"{folder}/predictions.json")
        for trained, folder in runs
    )
    return list(dict.fromkeys(path for paths in files for path in paths))


def state_folder(weights: Path | str) -> str:
    """Where the training that makes these weights keeps its state."""
    runs, states = (template.partition("{")[0] for template in (RUN, STATE))
    return Path(weights).parent.as_posix().replace(runs, states, 1)


def record_path(output: Path | str) -> str:
    """Where the record of a job lies: beside its main output."""
    return f"{output}{LINEAGE}"
