"""Variants without parameters: second names, by which a table has a further row of a method."""

from semiseg.params.config import Params
from semiseg.params.table import Row

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
