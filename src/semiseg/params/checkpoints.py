"""Which weights of a training a row shows: the last ones, or those that were best on a list of cases."""

from semiseg.params.config import Training
from semiseg.params.selection import Selection
from semiseg.params.table import Checkpoint

PARTS = {"best_validation": "val", "best_test": "test"}  # of the split, on which a checkpoint is chosen


def own_checkpoint(training: Training) -> Checkpoint:
    """The checkpoint that a protocol keeps by itself."""
    return "last" if training.validation is None else "best_validation"


def scored_as(training: Training, checkpoint: Checkpoint) -> Selection | None:
    """When and how the weights of a training are scored for a checkpoint; None for the last one, which needs no score,
    and where the protocol does not say it."""
    if checkpoint == "last":
        return None
    if checkpoint == "best_validation" and training.validation is not None:
        return training.validation
    return training.selection or training.validation
