"""Refusals of networks that a method declares and nobody could build or predict with."""

import ast
import functools
from collections.abc import Iterable, Mapping
from typing import Any

from semiseg.base import sources
from semiseg.base.declared_networks import as_net
from semiseg.base.errors import UserError
from semiseg.base.names import unknown

BACKBONE = "Backbone"  # the base of all classes of semiseg.networks
TEACHER_STARTS = ("random", "copy")


def check_networks(where: str, networks: Any, teachers: Any, teacher_start: Any) -> None:
    """Raise UserError for networks or teachers of a method that cannot be built; None stands for what is not known.

    where: the method, for the error. The other arguments are the attributes of ``semiseg.method.Method``.
    """
    for name, value in {"networks": networks, "teachers": teachers}.items():
        if value is not None and not isinstance(value, Mapping):
            raise UserError(f'{where}: expected {name} as {{"name": "..."}}, found {value!r}')
    for name, net in ((name, as_net(entry)) for name, entry in (networks or {}).items()):
        if net.initialisation not in (known := _initialisations()):
            raise unknown("initialisation", str(net.initialisation), known, f"{where}: networks.{name}")
        bases = getattr(net.backbone, "__mro__", ())
        if net.backbone is not None and BACKBONE not in {base.__name__ for base in bases}:
            found = getattr(net.backbone, "__name__", repr(net.backbone))
            raise UserError(f"{where}: networks.{name}: expected the class of a backbone of networks, found {found}")
        if not isinstance(net.in_channels, int) or net.in_channels < 1:
            raise UserError(f"{where}: networks.{name}: expected in_channels of 1 or more, found {net.in_channels!r}")
    for name, followed in (teachers or {}).items():
        if networks is not None and name in networks:
            raise UserError(f"{where}: {name!r} is both a network and a teacher: rename one")
        if networks is not None and followed not in networks:
            raise unknown("network", str(followed), networks, f"{where}: teachers.{name}")
    if teacher_start not in (None, *TEACHER_STARTS):
        raise unknown("start", str(teacher_start), TEACHER_STARTS, f"{where}: teacher_start")


@functools.cache
def _initialisations() -> list[str]:
    """Names of the rules by which ``semiseg.network`` draws weights."""
    written = dict(sources.assignments(sources.syntax_tree(sources.PACKAGE / "network.py")))["INITIALISATIONS"]
    keys = written.keys if isinstance(written, ast.Dict) else ()
    return [str(key.value) for key in keys if isinstance(key, ast.Constant)]


def check_predicting(where: str, names: Any, known: Iterable[str]) -> None:
    """Raise UserError unless a method's ``inference_networks`` are names of its networks. where: the method."""
    if isinstance(names, str) or not names:
        raise UserError(
            f'{where}: inference_networks names the networks that predict, such as ("network",); found {names!r}'
        )
    for name in names:
        if name not in known:
            raise unknown("network", str(name), known, f"{where}: inference_networks")
