"""Variants without parameters: second names, by which a table has a further row of a method."""

from semiseg.params.config import Params


def trained(params: Params, method: str) -> str:
    """The name that the runs of a method or variant have: the method's, where a variant is its second name."""
    variant = params.variants.get(method)
    return method if variant is None or variant.parameters else variant.method
