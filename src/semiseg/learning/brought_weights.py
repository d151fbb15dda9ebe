"""Files of weights that a user brings: read without running any code in them, and written as safetensors.

A checkpoint of torch (``.pth``, ``.pt``, ``.ckpt``) is read with ``weights_only``: nothing but tensors and plain
containers comes out of it. Many scripts put the weights into a dictionary beside other things, such as
``{"net": weights, "opt": state of the optimiser}``, or save them from ``DataParallel``, which puts ``module.`` before
every name.
"""

import pickle  # for its error alone
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from semiseg.base.errors import UserError
from semiseg.base.files import sha256
from semiseg.base.texts import some
from semiseg.learning import weights
from semiseg.params.kinds import PATTERNS, SHA256

WRAPPERS = ("module.", "_orig_mod.")  # what DataParallel and torch.compile put before every name
FILES = "a .safetensors, or a .pth, .pt or .ckpt of torch"


@dataclass(frozen=True)
class Brought:
    """A file as the user names it. network: which one of a method's networks it holds; empty where there is one.

    entry: which one of several dictionaries of tensors in it is meant, such as ``state.ema``; empty where it has one.
    """

    path: Path
    network: str = ""
    entry: str = ""

    @property
    def prefix(self) -> str:
        """What its names are given before them."""
        return f"{self.network}." if self.network else ""


def bring(files: Sequence[Brought], expected: Mapping[str, str], out: Path) -> list[dict[str, Any]]:
    """Write the tensors of these files to ``out`` and return the facts about each file, for the record.

    expected: the first digits of the sha256 of the only file, or all of them, by the place where they are given.

    Raises UserError for a file that is missing, damaged, of other content than expected, or holds anything but tensors.
    ``out`` is then as before.
    """
    if expected and len(files) > 1:
        place = next(iter(expected))
        raise UserError(f"{place} belongs to one file, found {len(files)}: remove it, and compare them by sha256sum")
    facts = [_facts(file) for file in files]
    for place, digits in expected.items():
        _check_digest(files[0].path, facts[0]["sha256"], place, digits)
    tensors: dict[str, Tensor] = {}
    for file in files:
        found = {f"{file.prefix}{name}": tensor for name, tensor in read(file.path, file.entry).items()}
        if twice := sorted(tensors.keys() & found.keys()):
            raise UserError(
                f"{file.path} holds {some(twice)} like the file before it: write the network before each, as in"
                " a=FIRST.pth b=SECOND.pth"
            )
        tensors |= found
    sources = [{name: value for name, value in one.items() if name != "file"} for one in facts]
    weights.save(out, tensors, {"brought": sources, "tensors": len(tensors)})
    return facts


def _facts(file: Brought) -> dict[str, Any]:
    path = file.path
    if not path.is_file():
        raise UserError(f"{path} is {'a folder' if path.is_dir() else 'not there'}: give the file of weights, {FILES}")
    return {"file": path.name, "network": file.network, "sha256": sha256(path), "bytes": path.stat().st_size}


def _check_digest(path: Path, found: str, place: str, digits: str) -> None:
    wanted = digits.lower()
    if not re.fullmatch(SHA256, wanted):
        raise UserError(f"{place} is {digits}, expected {PATTERNS[SHA256]}, as sha256sum prints them")
    if not found.startswith(wanted):
        raise UserError(
            f"{path} has sha256 {found}, expected {digits} ({place}): it is damaged or another file, so download it"
            " again"
        )


def read(path: Path, entry: str = "") -> dict[str, Tensor]:
    """The tensors of a file of weights, each with memory of its own, without ``WRAPPERS`` before their names.

    entry: as in ``Brought``. Raises UserError for a file that cannot be read or has not one dictionary of tensors.
    """
    found = _chosen(path, _from_safetensors(path) if path.suffix == ".safetensors" else _from_torch(path), entry)
    while prefix := next((one for one in WRAPPERS if all(name.startswith(one) for name in found)), ""):
        found = {name.removeprefix(prefix): tensor for name, tensor in found.items()}
    for name, tensor in found.items():
        if tensor.layout != torch.strided or tensor.is_quantized:
            raise UserError(f"{path}: {name} is sparse or quantised, expected a plain tensor: convert it with torch")
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise UserError(f"{path}: {name} holds values that are not finite, with which nothing can be predicted")
    return {name: tensor.detach().clone() for name, tensor in found.items()}


def _from_safetensors(path: Path) -> Any:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise _unreadable(path, str(error)) from None


def _from_torch(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if held := re.search(r"GLOBAL ([\w.]+)", str(error)):
            raise UserError(
                f"{path} holds an object of {held[1]} beside its tensors, which is not read because that would run code"
                " of the file: have its author save the state_dict alone, or convert it where you trust it"
            ) from None
        raise _unreadable(path, str(error)) from None
    except (RuntimeError, EOFError, ValueError, KeyError, AttributeError, OSError, UnicodeDecodeError) as error:
        if isinstance(error, PermissionError):
            raise
        raise _unreadable(path, str(error) or type(error).__name__) from None


def _unreadable(path: Path, reason: str) -> UserError:
    first = reason.strip().splitlines()[0].partition(". ")[0].rstrip(".:")
    return UserError(f"{path} is truncated, or no file of weights ({first}), expected {FILES}: download it again")


def _chosen(path: Path, content: Any, entry: str) -> dict[str, Tensor]:
    """The one dictionary of tensors in a file's content."""
    found = dict(_dictionaries(content, ""))
    if entry:
        if entry not in found:
            known = some(sorted(filter(None, found))) or "one without a name"
            raise UserError(f"{path} has no weights under {entry!r}; it has: {known}")
        return found[entry]
    if not found:
        raise UserError(f"{path} holds no dictionary of tensors by name, expected the state_dict of a network")
    if len(found) > 1:
        raise UserError(
            f"{path} holds {len(found)} dictionaries of tensors ({some(sorted(found), 5)}), expected one: name the one"
            f" that is meant, as by --entry {min(found)}"
        )
    return next(iter(found.values()))


def _dictionaries(content: Any, place: str) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """All dictionaries in nested ones that hold tensors alone, each with the keys that lead to it, joined by dots.

    The state of an optimiser is passed over.
    """
    if not isinstance(content, Mapping) or not content or {"state", "param_groups"} <= content.keys():
        return
    if all(isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items()):
        yield place, dict(content)
        return
    for name, value in content.items():
        yield from _dictionaries(value, f"{place}.{name}" if place else str(name))
