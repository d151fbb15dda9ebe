"""Networks that a method declares as its own, of the size that a case has."""

from torch import nn

from semiseg.method import Method


def put(method: Method, attribute: str, network: nn.Module) -> None:
    """Set a network of a method, without dropout."""
    for module in network.modules():
        if isinstance(module, nn.Dropout | nn.Dropout3d):
            module.p = 0.0
        if isinstance(module, nn.MultiheadAttention):
            module.dropout = 0.0
    setattr(method, attribute, network)
