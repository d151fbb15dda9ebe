"""Verbs of the rules that bring data: standin download raw prepare split; and ``import``, which a user calls."""

import argparse
from pathlib import Path
from typing import Any

from semiseg.cli.parsing import add_job, add_verb, perform


def add(verbs: Any) -> None:
    """Declare these verbs."""
    bring = add_verb(verbs, "import", _import)
    bring.add_argument("dataset")
    bring.add_argument("source", type=Path, metavar="FOLDER_OR_ARCHIVE")
    add_job(verbs, "standin", _standin).add_argument("--workers", type=int, default=1)
    download = add_job(verbs, "download", _download)
    download.add_argument("--workers", type=int, default=2)
    download.add_argument("--standin", type=Path)
    raw = add_job(verbs, "raw", _raw)
    raw.add_argument("--workers", type=int, default=1)
    raw.add_argument("--standin", type=Path)
    raw.add_argument("--archives", type=Path)
    add_job(verbs, "prepare", _prepare, "raw").add_argument("--workers", type=int, default=1)
    add_job(verbs, "split", _split, "raw")


def _import(options: argparse.Namespace) -> None:
    """Verify your own copy of a dataset and put it under data/raw."""
    from semiseg.dataset import get_dataset
    from semiseg.engine.dvc import raw_hash
    from semiseg.graph.plan import Plan
    from semiseg.params.reading import read
    from semiseg.stages.raw import import_raw

    on_demand = any(part.on_demand for part in get_dataset(options.dataset).parts)  # other imports need no params.yaml
    wanted = Plan(read(Path("params.yaml"))).wanted(options.dataset) if on_demand else None
    folder = Path("data/raw") / options.dataset
    import_raw(options.dataset, options.source, folder, None if wanted is None else frozenset(wanted))
    raw_hash(options.dataset).unlink(missing_ok=True)  # DVC then sees that tables rest on other raw data


def _standin(options: argparse.Namespace) -> None:
    """Draw the synthetic twin of a dataset."""
    from semiseg.stages.standin import standin

    perform(options, [], lambda: standin(options.spec, options.out, options.workers))


def _download(options: argparse.Namespace) -> None:
    """Fetch the open archives of a dataset."""
    from semiseg.stages.download import download

    perform(options, [options.standin], lambda: download(options.spec, options.out, options.standin, options.workers))


def _raw(options: argparse.Namespace) -> None:
    """Draw a phantom, or bring archives and folders into the raw folder."""
    from semiseg.stages.raw import build_raw

    perform(
        options,
        [options.standin, options.archives],
        lambda: build_raw(options.spec, options.out.parent, options.workers, options.standin, options.archives),
    )


def _prepare(options: argparse.Namespace) -> None:
    """Bring raw cases onto the protocol's grid."""
    from semiseg.stages.prepare import prepare

    perform(options, [options.raw], lambda: prepare(options.spec, options.raw, options.out, options.workers))


def _split(options: argparse.Namespace) -> None:
    """Decide which cases are labelled, unlabelled, validation and test."""
    from semiseg.stages.split import split

    perform(options, [options.raw], lambda: split(options.spec, options.raw, options.out))
