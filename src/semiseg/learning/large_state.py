"""Large state of a method: buffers in main memory or on a GPU, saved in files of their own beside the training state.

``Method.large_state`` names them. A checkpoint writes only those that changed since the last one, each to a new file
whose name has the step in it, and then the state, which names the files that belong to it. Files that no state names
are removed last. So a kill between any two writes leaves a state with exactly its files.
"""

import shutil
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from semiseg.base.errors import UserError
from semiseg.base.names import unknown
from semiseg.learning import weights
from semiseg.method import Method

PLACES = ("device", "cpu")
FOLDER = "large"  # beside the state
SAVING_SHARE = 0.05  # of a training's time, which writing its state may take; our choice
LONGEST = 10  # times the wanted time between two checkpoints: the most that a slow disk makes of it; our choice


def pause(wanted: float, writing: float) -> float:
    """Seconds until the next checkpoint. writing: those that the last one took.

    It is longer than wanted where writing would take more than a twentieth of the time, but at most ten times as long.
    """
    return min(max(wanted, writing / SAVING_SHARE), LONGEST * wanted)


def move(method: Method, device: torch.device) -> None:
    """Move a method to a device, but for the large state that stays in main memory, which is never copied there.

    Raises UserError where the method declares a large state that is no saved buffer, or a place that does not exist.
    """
    _check(method)
    kept = {name: method.get_buffer(name) for name, place in method.large_state.items() if place == "cpu"}
    for name, buffer in kept.items():
        _put(method, name, torch.empty(0, dtype=buffer.dtype))
    method.to(device)
    for name, buffer in kept.items():
        _put(method, name, buffer)


def _check(method: Method) -> None:
    where = f"{type(method).__name__}.large_state"
    buffers = method.state_dict().keys() & dict(method.named_buffers()).keys()
    for name, place in method.large_state.items():
        if name not in buffers:
            raise unknown("buffer", name, sorted(buffers), where)
        if place not in PLACES:
            raise unknown("place", place, PLACES, f"{where}.{name}")


def _put(method: nn.Module, name: str, buffer: Tensor) -> None:
    owner, _, own = name.rpartition(".")
    setattr(method.get_submodule(owner), own, buffer)


@dataclass(frozen=True)
class _Written:
    """What is in a file: the tensor and the number of its changes in place at that time."""

    file: str
    tensor: weakref.ref[Tensor]
    version: int

    @classmethod
    def of(cls, file: str, tensor: Tensor) -> "_Written":
        return cls(file, weakref.ref(tensor), tensor._version)


@dataclass
class LargeState:
    """The large state of one method, and what of it is in files."""

    method: Method
    _written: dict[str, _Written] = field(default_factory=dict)

    def save(self, state: Path, iteration: int, fingerprint: str) -> dict[str, str]:
        """Write what changed beside the file ``state``. Returns the name of each buffer's file, for its note."""
        for name in self.method.large_state:
            tensor = self.method.get_buffer(name)
            content = _Written.of(f"{name}.{iteration}.safetensors", tensor)
            last = self._written.get(name)
            if last is None or last.tensor() is not tensor or last.version != content.version:
                weights.save(state.parent / FOLDER / content.file, {name: tensor}, {"fingerprint": fingerprint})
                self._written[name] = content
        return {name: written.file for name, written in self._written.items()}

    def tidy(self, state: Path) -> None:
        """Remove the files that do not belong to the state that ``save`` prepared last."""
        kept = {written.file for written in self._written.values()}
        for path in (state.parent / FOLDER).glob("*"):
            if path.name not in kept:
                path.unlink()

    def note_read(self, files: Mapping[str, str]) -> None:
        """Note that the buffers hold what is in these files."""
        self._written = {name: _Written.of(file, self.method.get_buffer(name)) for name, file in files.items()}


def read(state: Path, files: Mapping[str, str], fingerprint: str) -> dict[str, Tensor]:
    """The buffers that a state names. Raises UserError for a file that is missing, damaged or of another run."""
    found: dict[str, Tensor] = {}
    for name, file in files.items():
        path = state.parent / FOLDER / file
        tensors, note = weights.load(path)
        if note.get("fingerprint") != fingerprint or name not in tensors:
            raise UserError(f"{path} is of another run than {state}: delete both and train the run again")
        found[name] = tensors[name]
    return found


def drop(folder: Path) -> None:
    """Remove the large state of a run that is finished."""
    shutil.rmtree(folder / FOLDER, ignore_errors=True)
