"""What a row shows: the runs of which method, and which of their weights."""

from semiseg.base.controls import is_control
from semiseg.params.checkpoints import own_checkpoint
from semiseg.params.config import Params
from semiseg.params.table import Checkpoint, Row, Table


def trained(params: Params, method: str) -> str:
    """The name that the runs of a method or variant have: the method's, where a variant is its second name."""
    variant = params.variants.get(method)
    return method if variant is None or variant.parameters else variant.method


def shown_checkpoint(params: Params, table: Table, row: Row) -> Checkpoint | None:
    """The checkpoint that a row shows where it is not what its protocol keeps by itself; None where it is.

    A control has no weights to choose from, so the checkpoint of its table does not concern it.
    """
    wanted, training = row.checkpoint or table.checkpoint, params.protocols[row.protocol or table.protocol].training
    return None if is_control(trained(params, row.method)) or wanted == own_checkpoint(training) else wanted
