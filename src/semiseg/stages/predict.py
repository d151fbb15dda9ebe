"""Rule ``predict``: predicts label maps of the test cases, on the prepared grid and in the raw image's geometry."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from semiseg.base.files import read_json
from semiseg.data.store import read_image
from semiseg.learning import weights
from semiseg.learning.build import Runtime, build_method
from semiseg.learning.inference import slide
from semiseg.method import Method
from semiseg.params.config import Inference, Network
from semiseg.stages.predictions import Scores, write_predictions


def predict(spec: Mapping[str, Any], trained: Path, prepared: Path, split: Path, out: Path, runtime: Runtime) -> None:
    """Write the predictions of a trained method and their manifest, as ``write_predictions`` describes.

    Raises UserError for weights that are missing or damaged.
    """
    predictor = _predictor(spec, trained, read_json(prepared)["classes"], runtime.device)
    write_predictions(spec, trained, prepared, split, out, predictor.scores)


@dataclass(frozen=True)
class Predictor:
    """A trained method and its sliding window."""

    method: Method
    networks: tuple[str, ...]
    inference: Inference
    classes: int
    device: torch.device

    @torch.no_grad()
    def scores(self, prepared: Path) -> Scores:
        """Mean class scores ``[k *stored]`` of a prepared case."""
        image = torch.from_numpy(read_image(prepared))[None].to(self.device)
        window, stride = self.inference.window, self.inference.stride
        return slide(self._window, image, self.classes, window, stride).cpu().numpy()

    def _window(self, window: Tensor) -> Tensor:
        return self.method.predict(window, self.networks)


def _predictor(spec: Mapping[str, Any], trained: Path, classes: int, device: torch.device) -> Predictor:
    """The method with its trained weights, in evaluation mode (no dropout)."""
    network = Network.model_validate(spec["network"])
    method = build_method(spec["method"], spec["hyper"], network, None, [1.0] * classes)
    tensors, note = weights.load(trained)
    for name in note["networks"]:
        method.get_submodule(name).load_state_dict(weights.part(tensors, name))
    inference = Inference.model_validate(spec["inference"])
    return Predictor(method.to(device).eval(), tuple(note["networks"]), inference, classes, device)
