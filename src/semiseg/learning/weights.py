"""Tensors in a safetensors file with one JSON note; the bytes depend on the content alone."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from semiseg.base.errors import UserError
from semiseg.learning.weight_file import as_metadata, from_metadata, written


def save(path: Path, tensors: Mapping[str, Tensor], note: Mapping[str, Any]) -> None:
    """Write tensors and a note atomically. Raises UserError as ``weight_file.written`` does."""
    content = {name: tensor.detach().cpu().contiguous() for name, tensor in sorted(tensors.items())}
    with written(path) as temporary:
        save_file(content, temporary, metadata=as_metadata(note))


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read tensors and note. Raises UserError when the file is missing or damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
            return tensors, from_metadata(file.metadata())
    except FileNotFoundError:
        raise UserError(f"{path} is missing: train the run again") from None
    except SafetensorError as error:
        raise UserError(f"{path} is damaged ({error}): delete it and train the run again") from None


def part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names start with ``prefix.``, without it."""
    return {
        name.removeprefix(prefix + "."): tensor for name, tensor in tensors.items() if name.startswith(prefix + ".")
    }


def prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors under ``prefix.name``."""
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}
