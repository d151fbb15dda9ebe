"""Training state, from which a killed run continues bit for bit; a state of another run is never used.

It is one file, but for the large state of a method (``semiseg.learning.large_state``).
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from semiseg.base.errors import UserError
from semiseg.base.files import sweep
from semiseg.learning import large_state, weights
from semiseg.learning.cost import Cost
from semiseg.learning.history import History
from semiseg.learning.large_state import LargeState
from semiseg.learning.precision import Precision
from semiseg.method import Method

logger = logging.getLogger(__name__)

STATE = "state.safetensors"
OPTIMISER = "optimiser"  # name of the optimiser's part among the weights of a run
MOMENTS = ("step", "exp_avg", "exp_avg_sq")
SLOTS = {torch.optim.SGD: ("momentum_buffer",), torch.optim.Adam: MOMENTS, torch.optim.AdamW: MOMENTS}
Candidate = tuple[str, ...]  # networks that predict together


def drop(folder: Path) -> None:
    """Remove the state of a run that is finished."""
    (folder / STATE).unlink(missing_ok=True)
    large_state.drop(folder)
    sweep(folder)


@dataclass
class Best:
    """The best score so far of one candidate on one list of cases.

    weights: ``<network>.<parameter>``, and ``optimiser_tensors`` where the protocol keeps them.
    """

    score: float = -1.0
    iteration: int = -1
    weights: dict[str, Tensor] = field(default_factory=dict)


@dataclass
class State:
    """Everything that changes during training.

    candidates: the sets of networks that may predict. best: by the checkpoint's name and the candidate.
    """

    method: Method
    optimiser: torch.optim.Optimizer
    adversary_optimisers: dict[str, torch.optim.Optimizer]
    scaler: torch.amp.GradScaler
    history: History
    candidates: list[Candidate]
    device: torch.device
    precision: Precision
    best: dict[tuple[str, Candidate], Best] = field(default_factory=dict)
    iteration: int = 0
    cost: Cost = field(default_factory=Cost)

    def __post_init__(self) -> None:
        self.large = LargeState(self.method)

    def save(self, path: Path, fingerprint: str) -> None:
        """Write the whole state atomically; ``iteration`` is the number of finished steps."""
        files = self.large.save(path, self.iteration, fingerprint)
        together = {name: tensor for name, tensor in self.method.state_dict().items() if name not in files}
        tensors = weights.prefixed("method", together)
        note: dict[str, Any] = {"iteration": self.iteration, "fingerprint": fingerprint, "best": [], "large": files}
        for role, optimiser in self._optimisers().items():
            for number, slots in optimiser.state_dict()["state"].items():
                tensors |= {f"{role}.{number}.{name}": torch.as_tensor(value) for name, value in slots.items()}
        tensors["random.cpu"] = torch.get_rng_state()
        if self.device.type == "cuda":
            tensors["random.cuda"] = torch.cuda.get_rng_state(self.device)
        note["scaler"], note["cost"] = self.scaler.state_dict(), self.cost.as_note()
        for number, ((checkpoint, candidate), best) in enumerate(self.best.items()):
            note["best"].append([checkpoint, list(candidate), best.score, best.iteration])
            tensors |= weights.prefixed(f"best{number}", best.weights)
        note["columns"], tensors["history"] = self.history.columns, self.history.as_tensor()
        weights.save(path, tensors, note)
        self.large.tidy(path)

    def resume(self, path: Path, fingerprint: str) -> None:
        """Continue from this run's state file, if there is one; a stale or damaged file is ignored with a message."""
        if not path.exists():
            return
        try:
            tensors, note = weights.load(path)
            if note.get("fingerprint") != fingerprint:
                logger.info(f"starting from step 0: {path} was made with other parameters, data or code")
                return
            large = large_state.read(path, note["large"], fingerprint)
        except UserError as error:
            logger.info(f"starting from step 0: {error}")
            return
        self._restore(tensors, large, note)
        logger.info(f"continuing from step {self.iteration} of {path}")

    def optimiser_tensors(self) -> dict[str, Tensor]:
        """A copy of the state of the networks' optimiser, named ``optimiser.<parameter>.<slot>``."""
        names = {id(parameter): name for name, parameter in self.method.named_parameters()}
        return {
            f"{OPTIMISER}.{names[id(parameter)]}.{slot}": torch.as_tensor(value).clone()
            for parameter, slots in self.optimiser.state.items()
            for slot, value in slots.items()
        }

    def continue_optimiser(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on with the state that the optimiser of another run had: ``<parameter>.<slot>``.

        Raises UserError for a parameter that is not trained here, and for an optimiser of another rule.
        """
        names = {id(parameter): name for name, parameter in self.method.named_parameters()}
        parameters = [each for group in self.optimiser.param_groups for each in group["params"]]
        numbers = {names[id(parameter)]: number for number, parameter in enumerate(parameters)}
        slots: dict[int, dict[str, Tensor]] = {}
        for key, tensor in tensors.items():
            name, slot = key.rsplit(".", 1)
            if name not in numbers or slot not in SLOTS[type(self.optimiser)]:
                kind = type(self.optimiser).__name__
                raise UserError(f"the state of its optimiser has {slot} of {name}, which {kind} does not have here")
            slots.setdefault(numbers[name], {})[slot] = tensor
        _load(self.optimiser, parameters, slots)

    def _restore(self, tensors: dict[str, Tensor], large: dict[str, Tensor], note: dict[str, Any]) -> None:
        self.iteration, self.cost = note["iteration"], Cost(**note["cost"])
        self.method.load_state_dict(weights.part(tensors, "method") | large)
        self.large.note_read(note["large"])
        for role, optimiser in self._optimisers().items():
            parameters = [each for group in optimiser.param_groups for each in group["params"]]
            slots: dict[int, dict[str, Tensor]] = {}
            for name, tensor in weights.part(tensors, role).items():
                number, slot = name.split(".", 1)
                slots.setdefault(int(number), {})[slot] = tensor
            _load(optimiser, parameters, slots)
        self.scaler.load_state_dict(note["scaler"])
        for place, (checkpoint, candidate, score, iteration) in enumerate(note["best"]):
            self.best[checkpoint, tuple(candidate)] = Best(score, iteration, weights.part(tensors, f"best{place}"))
        self.history = History.from_tensor(note["columns"], tensors["history"])
        torch.set_rng_state(tensors["random.cpu"])
        if self.device.type == "cuda" and "random.cuda" in tensors:
            torch.cuda.set_rng_state(tensors["random.cuda"], self.device)

    def _optimisers(self) -> dict[str, torch.optim.Optimizer]:
        adversaries = enumerate(self.adversary_optimisers.values())
        return {"optimiser": self.optimiser} | {f"adversary{number}": each for number, each in adversaries}


def _load(
    optimiser: torch.optim.Optimizer, parameters: Sequence[Tensor], slots: Mapping[int, Mapping[str, Tensor]]
) -> None:
    """Give an optimiser its state. slots: by the number of the parameter in ``parameters``."""
    state = {
        number: {slot: _laid_out_like(parameters[number], tensor) for slot, tensor in found.items()}
        for number, found in slots.items()
    }
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})


def _laid_out_like(parameter: Tensor, tensor: Tensor) -> Tensor:
    """The tensor in the memory layout of its parameter, which a fused optimiser requires and a file does not keep."""
    if tensor.shape != parameter.shape:  # a counter of steps
        return tensor
    return torch.empty_like(parameter, dtype=tensor.dtype, requires_grad=False).copy_(tensor)
