"""Several checkpoints of one training in one file of weights.

Those that the protocol keeps by itself have the names ``<network>.<parameter>``, and the note of the file is about
them. A further checkpoint has names that begin with its own, and an entry under ``checkpoints`` of the note.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from semiseg.base.errors import UserError
from semiseg.learning import weights
from semiseg.learning.state import Best, Candidate
from semiseg.params.table import Checkpoint

FURTHER = "checkpoints"  # of the note
Weights = dict[str, Tensor]
Note = dict[str, Any]


def with_further(
    own: Mapping[str, Tensor], note: Mapping[str, Any], further: Mapping[Checkpoint, tuple[Candidate, Best]]
) -> tuple[Weights, Note]:
    """Tensors and note of a file that holds further checkpoints too, by their names."""
    if not further:
        return dict(own), dict(note)
    tensors, notes = dict(own), {}
    for name, (networks, best) in further.items():
        tensors |= weights.prefixed(name, best.weights)
        score = {} if name == "last" else {"dice": best.score}
        notes[name] = {"networks": list(networks), "iteration": best.iteration, **score}
    return tensors, {**note, FURTHER: notes}


def load(path: Path, checkpoint: str | None) -> tuple[Weights, Note]:
    """Tensors and note of one checkpoint; None for the one that the protocol keeps by itself.

    Raises UserError for a file that is missing or damaged, or that does not hold the checkpoint.
    """
    tensors, note = weights.load(path)
    further = note.pop(FURTHER, {})
    if checkpoint is None:
        others = {name for one in further for name in weights.prefixed(one, weights.part(tensors, one))}
        return {name: tensor for name, tensor in tensors.items() if name not in others}, note
    if checkpoint not in further:
        raise UserError(f"{path} does not hold the checkpoint {checkpoint}: train the run again")
    return weights.part(tensors, checkpoint), {"patch": note["patch"], **further[checkpoint]}
