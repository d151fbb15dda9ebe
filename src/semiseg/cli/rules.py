"""Verbs of the workflow's rules, declared from the table of rules; and ``import``, which users call themselves."""

import argparse
import functools
import json
import logging
import re
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semiseg.base.errors import UserError
from semiseg.cli.parsing import add_verb
from semiseg.params.kinds import NAME
from semiseg.stages.rules import RULES
from semiseg.stages.task import Options, Rule, Task

if TYPE_CHECKING:
    from semiseg.graph.graph import Graph

logger = logging.getLogger(__name__)

HELP = {option.name: option.metadata["help"] for option in fields(Options)}


def add(verbs: Any) -> None:
    """Declare these verbs."""
    importing = add_verb(verbs, "import", _import)
    importing.add_argument("dataset")
    importing.add_argument("source", type=Path, metavar="FOLDER_OR_ARCHIVE")
    weights = add_verb(verbs, "import-weights", _import_weights)
    weights.add_argument("name", help="what params.yaml calls the file")
    weights.add_argument(
        "files",
        nargs="+",
        metavar="[NETWORK=]FILE",
        help="safetensors or .pth; with NETWORK where each network has a file",
    )
    weights.add_argument("--sha256", default="", help="first digits of the file's sha256, or all, to be compared")
    weights.add_argument("--entry", default="", help="which weights of the file, where it holds several, as state.ema")
    for rule in RULES.values():
        _add_rule(verbs, rule)


def _add_rule(verbs: Any, rule: Rule) -> None:
    """Declare the verb of a rule: its parameters as JSON, the paths of its files, and how it runs."""
    verb = add_verb(verbs, rule.name, functools.partial(_run, rule), rule.function.__doc__)
    verb.add_argument("--spec", type=json.loads, required=True, help="parameters as JSON (see semiseg.graph.plan)")
    verb.add_argument("--code", help="hash of the code for which the job was planned; other code refuses to run")
    for item in rule.inputs:
        if item.several:
            verb.add_argument(item.name, type=Path, nargs="*" if item.optional else "+", help=item.help)
        else:
            verb.add_argument(f"--{item.name}", type=Path, required=not item.optional, help=item.help)
    for name in (*(output.name for output in rule.outputs), *rule.scratch):
        verb.add_argument(f"--{name}", type=Path, required=True)
    for name in rule.options:
        default = getattr(rule.defaults, name)
        kind = Path if default is None else type(default)
        verb.add_argument(f"--{name.replace('_', '-')}", type=kind, default=default, help=HELP[name])


def _run(rule: Rule, options: argparse.Namespace) -> None:
    """Do a job of a rule alone on its outputs, and write its lineage record."""
    from semiseg.jobs.run import Call, run
    from semiseg.stages.execution import execute
    from semiseg.stages.restore_volumes import restore_inputs

    given = vars(options)
    task = Task(
        spec=options.spec,
        files={name: given[name] for name in rule.file_names if given[name] is not None},
        several={item.name: given[item.name] for item in rule.inputs if item.several},
        options=replace(rule.defaults, **{name: given[name] for name in rule.options}),
    )

    def work() -> dict[str, Any]:
        restore_inputs(rule, task)
        return execute(rule, task)

    run(Call(rule.name, task.spec, rule.read(task), rule.written(task), options.code), work)


def _import(options: argparse.Namespace) -> None:
    """Verify your own copy of a dataset and put it under data/raw, as a job of the rule raw."""
    from semiseg.dataset import get_dataset
    from semiseg.engine.dvc import raw_hash
    from semiseg.jobs.run import Call, run
    from semiseg.stages.raw import build_raw

    on_demand = any(part.on_demand for part in get_dataset(options.dataset).parts)
    job = _graph(needs_params=on_demand).raw(options.dataset)
    inputs = {name: path for name in job.inputs if (path := Path(str(job.inputs[name]))).exists()}
    out = Path(job.main)

    def work() -> None:
        build_raw(job.spec, out.parent, 1, inputs.get("standin"), inputs.get("archives"), options.source)

    run(Call(job.rule, job.spec, list(inputs.values()), [out], brings=True), work)
    raw_hash(options.dataset).unlink(missing_ok=True)  # so that DVC notices that tables rest on other raw data


def _import_weights(options: argparse.Namespace) -> None:
    """Read a file of weights that you have, and put it under data/weights, as a job of the rule weights."""
    from semiseg.jobs.run import Call, run
    from semiseg.learning.brought_weights import Brought, bring

    if not re.fullmatch(NAME, options.name):
        raise UserError(f"{options.name!r} is no name for weights: use letters, digits and _ alone")
    job = _graph().weights(options.name)
    named = [None if Path(one).exists() else re.fullmatch(r"(\w+)=(.+)", one) for one in options.files]
    files = [
        Brought(Path(found[2] if found else one), found[1] if found else "", options.entry)
        for one, found in zip(options.files, named, strict=True)
    ]
    expected = {"--sha256": options.sha256, f"weights.{options.name}.sha256": job.spec.get("sha256", "")}
    out = Path(job.main)

    def work() -> dict[str, Any]:
        return {"brought": bring(files, {place: digits for place, digits in expected.items() if digits}, out)}

    run(Call(job.rule, job.spec, [], [out], brings=True), work)
    logger.info(f"import-weights {options.name}: {out}, from {', '.join(file.path.name for file in files)}")


def _graph(needs_params: bool = False) -> "Graph":
    """The jobs by params.yaml; by empty parameters where there is no such file and the import does not need one.

    An import needs it of a part of a dataset that is imported on demand: only the cases are, that its splits name.
    """
    from semiseg.graph.graph import Graph
    from semiseg.graph.plan import Plan
    from semiseg.params.config import Params
    from semiseg.params.reading import read

    file = Path("params.yaml")
    if file.exists() or needs_params:
        return Graph(Plan(read(file)))
    empty: dict[str, Any] = {section: {} for section in Params.model_fields}
    return Graph(Plan(Params.model_validate(empty)))
