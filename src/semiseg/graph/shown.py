"""What a row shows: the runs of which method, and which of their weights."""

from semiseg.base.controls import is_control
from semiseg.params.checkpoints import own_checkpoint
from semiseg.params.config import Params
from semiseg.params.table import Checkpoint, Row, Table

IMPORTED = "imported weights"


def trained(params: Params, method: str) -> str:
    """The name that the runs of a method or variant have: the method's, where a variant is its second name.

    A variant with weights of its own is no second name, because its runs are others.
    """
    variant = params.variants.get(method)
    return method if variant is None or variant.parameters or variant.weights is not None else variant.method


def imported(params: Params, method: str) -> str | None:
    """The name of the file of weights with which a variant predicts; None for what is trained."""
    variant = params.variants.get(method)
    return None if variant is None else variant.weights


def label(params: Params, row: Row) -> str:
    """The name of a row in its table; a row that is not trained is marked."""
    mark = f" ({IMPORTED})" if imported(params, row.method) is not None else ""
    return f"{row.label or row.method}{mark}"


def shown_checkpoint(params: Params, table: Table, row: Row) -> Checkpoint | None:
    """The checkpoint that a row shows where it is not what its protocol keeps by itself; None where it is.

    A control has no weights to choose from, and imported weights are the only ones of their run, so the checkpoint of
    the table does not concern these.
    """
    wanted, training = row.checkpoint or table.checkpoint, params.protocols[row.protocol or table.protocol].training
    is_alone = is_control(trained(params, row.method)) or imported(params, row.method) is not None
    return None if is_alone or wanted == own_checkpoint(training) else wanted
