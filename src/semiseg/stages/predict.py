"""Rule ``predict``: predicts label maps of the test cases, on the prepared grid and in the raw image's geometry."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from semiseg.base.errors import UserError
from semiseg.base.files import read_json
from semiseg.data.store import read_image
from semiseg.learning import checkpoints, weights
from semiseg.learning.build import Facts, Runtime, build_method
from semiseg.learning.inference import slide, windows_per_batch
from semiseg.learning.scans import limits_of, scaled
from semiseg.method import Method
from semiseg.params.config import Inference, Network
from semiseg.stages.predictions import Room, Scores, write_predictions

logger = logging.getLogger(__name__)


def predict(spec: Mapping[str, Any], trained: Path, prepared: Path, split: Path, out: Path, runtime: Runtime) -> None:
    """Write the predictions of a trained method and their manifest, as ``write_predictions`` describes.

    Raises UserError for weights that are missing or damaged, or that lack the checkpoint which the run shows.
    """
    predictor = _predictor(spec, trained, read_json(prepared), read_json(split), runtime.device)
    logger.info(f"predict {spec['method']}: {_together(predictor.inference.window)} at a time on {runtime.device}")
    largest = predictor.inference.largest_component
    write_predictions(spec, trained, prepared, split, out, predictor.scores, largest_component=largest)


@dataclass(frozen=True)
class Predictor:
    """A trained method and its sliding window. is_scaled: scans are scaled to 0..1 first (``intensities: minmax``)."""

    method: Method
    networks: tuple[str, ...]
    inference: Inference
    classes: int
    device: torch.device
    is_scaled: bool = False

    @torch.no_grad()
    def scores(self, prepared: Path, room: Room) -> Scores:
        """Mean class scores ``[k *stored]`` of a prepared case. A GPU need not wait for room in the host's memory.

        Raises UserError when the memory of the device does not suffice.
        """
        if self.device.type != "cuda":
            room()
        window, stride = self.inference.window, self.inference.stride
        image = read_image(prepared)
        image = scaled(image, limits_of(image) if self.is_scaled else None)
        image = self.method.presented(image, np.random.default_rng([*prepared.stem.encode()]))
        try:
            volume, border = torch.from_numpy(image)[None].to(self.device), self.inference.border
            scores = slide(self._window, volume, self.classes, window, stride, border)
        except torch.OutOfMemoryError:
            raise UserError(
                f"{prepared}: {_together(window)} does not fit in the free memory of {self.device}: leave the device "
                "to this job alone, or predict on one with more memory"
            ) from None
        room()
        return scores.cpu().numpy()

    def _window(self, window: Tensor) -> Tensor:
        return self.method.predict(window, self.networks)


def _together(window: Sequence[int]) -> str:
    """What goes through the network together, in words."""
    count, sides = windows_per_batch(window), " x ".join(map(str, window))
    return f"a window of {sides} voxels" if count == 1 else f"a batch of {count} windows of {sides} voxels"


def _predictor(
    spec: Mapping[str, Any],
    trained: Path,
    index: Mapping[str, Any],
    parts: Mapping[str, list[str]],
    device: torch.device,
) -> Predictor:
    """The method with its trained weights, in evaluation mode (no dropout), built with the facts of its training."""
    network, inference = Network.model_validate(spec["network"]), Inference.model_validate(spec["inference"])
    tensors, note = checkpoints.load(trained, spec.get("checkpoint"))
    facts = Facts.of(index, parts, note["patch"], inference.window)
    method = build_method(spec["method"], spec["hyper"], network, None, facts, spec.get("wrapped"))
    for name in note["networks"]:  # these alone go to the device: what a method keeps for its training may be large
        method.get_submodule(name).load_state_dict(weights.part(tensors, name))
        method.get_submodule(name).to(device)
    return Predictor(method.eval(), tuple(note["networks"]), inference, index["classes"], device, "intensities" in spec)
