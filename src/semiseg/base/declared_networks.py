"""Networks as methods declare them, and their reading from the text of a method's file."""

import ast
from dataclasses import dataclass
from typing import Any

from semiseg.base import sources


@dataclass(frozen=True)
class Net:
    """An entry of a method's ``networks`` that says more than the initialisation.

    initialisation: ``"default"``, ``"kaiming"`` or ``"xavier"``. backbone: a class of ``semiseg.networks``, imported by
    the method's file; it is built with the protocol's ``filters``. None: the protocol's network. in_channels: channels
    of the network's input.
    """

    initialisation: str
    backbone: type | None = None
    in_channels: int = 1

    def __str__(self) -> str:
        backbone = [] if self.backbone is None else [getattr(self.backbone, "__name__", str(self.backbone))]
        channels = [] if self.in_channels == 1 else [f"{self.in_channels} channels"]
        return ", ".join([self.initialisation, *backbone, *channels])


def as_net(entry: Any) -> Net:
    """An entry of a method's ``networks``: an initialisation alone, or a ``Net``."""
    return entry if isinstance(entry, Net) else Net(entry)


def networks_in(value: ast.Dict, module: str) -> dict[str, Any] | None:
    """Networks as a method declares them; None where an entry is not written out."""
    try:
        keys = [ast.literal_eval(key) for key in value.keys if key is not None]
        return dict(zip(keys, [_network(entry, module) for entry in value.values], strict=True))
    except ValueError:
        return None


def _network(value: ast.expr, module: str) -> Any:
    """An entry of a method's networks. Raises ValueError unless it is written out, BrokenError if it is wrong."""
    match value:
        case ast.Call(func=ast.Name(id="Net"), args=args, keywords=keywords):
            given = dict(zip(("initialisation", "backbone", "in_channels"), args, strict=False))
            given |= {keyword.arg or "": keyword.value for keyword in keywords}
            written = {name: ast.literal_eval(one) for name, one in given.items() if name != "backbone"}
            named = given.get("backbone", ast.Constant(None))
            backbone = named.value if isinstance(named, ast.Constant) else sources.twin_of(named, module)
            if backbone is object:
                raise ValueError
            try:
                return Net(**{"backbone": backbone, **written})
            except TypeError:
                where = sources.shown(sources.source_of(module) or sources.PACKAGE)
                raise sources.BrokenError(
                    f"{where}, line {value.lineno}: expected Net(initialisation, backbone, in_channels), found"
                    f" {ast.unparse(value)}: correct it"
                ) from None
    return ast.literal_eval(value)
