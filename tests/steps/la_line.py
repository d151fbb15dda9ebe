"""What adapters of the LA line share: batches of one array, and networks that a method declares as its own."""

from steps.decoders import first_rows
from steps.stage import Given
from torch import nn

from semiseg.method import Batch, Method


def labelled_first(given: Given) -> list[Batch]:
    """Batches whose first rows are labelled, half of them if the setting does not say how many."""
    return first_rows(given, given.setting.get("labelled_batch", len(given.inputs["images"][0]) // 2))


def put(method: Method, attribute: str, network: nn.Module) -> None:
    """Set a network of a method, without dropout."""
    for module in network.modules():
        if isinstance(module, nn.Dropout | nn.Dropout3d):
            module.p = 0.0
        if isinstance(module, nn.MultiheadAttention):
            module.dropout = 0.0
    setattr(method, attribute, network)
