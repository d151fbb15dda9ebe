"""Rule ``train`` of a control, which is not trained: weights without tensors, a history without steps, its cost."""

from pathlib import Path

from safetensors.numpy import save_file

from semiseg.base.files import sweep, write_json
from semiseg.learning.cost import Cost, record
from semiseg.learning.history_file import COMMON_COLUMNS, write_history
from semiseg.learning.weight_file import as_metadata, written


def train_control(out: Path, history: Path, cost: Path, threads: int) -> None:
    """Write the files of a run as ``semiseg.stages.train`` does. threads: CPU threads, which cost.json names."""
    sweep(out.parent)
    write_history(history, COMMON_COLUMNS, [])
    write_json(cost, record(Cost(), parameters=0, iterations=0, threads=threads))
    with written(out) as weights:
        save_file({}, weights, metadata=as_metadata({"networks": [], "iteration": 0}))
