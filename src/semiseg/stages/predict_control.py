"""Rule ``predict`` of a control: its label maps of the test cases, in the files that predictions have."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from semiseg.base.files import read_json
from semiseg.control import control_class
from semiseg.data.store import read_label
from semiseg.stages.predictions import Room, Scores, write_predictions


def predict_control(spec: Mapping[str, Any], trained: Path, prepared: Path, split: Path, out: Path) -> None:
    """Write the predictions of a control and their manifest, as ``write_predictions`` describes.

    Raises UserError for a test case without a label.
    """
    control = control_class(spec["method"])()
    certain = np.eye(read_json(prepared)["classes"], dtype=np.float32)  # scores of a voxel, a column per class

    def scores(file: Path, room: Room) -> Scores:
        room()
        return certain[:, control.labels(read_label(file))]

    write_predictions(spec, trained, prepared, split, out, scores)
