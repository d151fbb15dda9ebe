"""``semiseg check-params``: everything that params.yaml names, on this machine, before any job."""

from pathlib import Path

from semiseg import catalogue
from semiseg.base.errors import UserError
from semiseg.data.split_lists import part_counts
from semiseg.dataset import get_dataset
from semiseg.graph.plan import Plan
from semiseg.graph.requirements import check_declared
from semiseg.graph.sides import crops_do_not_fit
from semiseg.jobs.code_hash import code_hash
from semiseg.papers.reading import printed


def check_params(plan: Plan) -> str:
    """Check what a plan does not check for every table, and return a sentence on what was checked.

    Raises UserError for the file of a method, network or dataset that cannot be used, a source that is not on this
    machine, a list whose file is wrong, a table that cannot be built, and printed numbers that are in no paper.
    """
    params = plan.params
    for kind in ("methods", "networks", "datasets"):
        for name in catalogue.entries(kind):
            code_hash(f"semiseg.{kind}.{name}")  # reads all that it imports
    for method in catalogue.entries("methods"):
        check_declared(method)
    for name in catalogue.entries("datasets"):
        get_dataset(name)
    for name, protocol in params.protocols.items():
        if reason := crops_do_not_fit(protocol):  # the plan leaves out a network whose file cannot be read
            raise UserError(f"protocols.{name}.{reason}")
    for name, options in params.datasets.items():
        if options.source is not None and not Path(options.source).exists():
            raise UserError(
                f"datasets.{name}.source: {options.source} does not exist: give the folder or archive with your copy"
            )
    for splits in params.splits.values():
        for split in splits.values():
            part_counts(split)
    for name, table in params.tables.items():
        plan.served(name)
        for block in table.printed:
            try:
                printed(block.paper, block.table, block.labelled, block.unlabelled)
            except UserError as error:
                raise UserError(f"tables.{name}.printed: {error}") from None
    counts = {"table": len(params.tables), "protocol": len(params.protocols), "variant": len(params.variants)}
    return f"params.yaml: {', '.join(f'{number} {what}s' for what, number in counts.items())}: nothing is wrong"
