"""Scoring the weights of a training on a list of cases, by the protocol's rule."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from semiseg.data.store import read_label, read_label_crop
from semiseg.learning.inference import slide
from semiseg.learning.scans import StoredCase, image_crop_of, image_of
from semiseg.method import Method
from semiseg.params.config import Inference
from semiseg.params.selection import Selection

Sides = tuple[int, int, int]
TINY = 1e-8  # smoothing of the DHC code: a class absent from truth and prediction scores 0.5


def centre_start(shape: Sides, patch: Sides) -> list[int]:
    """First voxel of the centre crop; halves are rounded to the even number (xmed-lab/DHC: code/data/transforms.py)."""
    return [round((side - size) / 2) for side, size in zip(shape, patch, strict=True)]


@dataclass(frozen=True)
class Validator:
    """Mean Dice over organs and cases, computed as the protocol's authors do to select a checkpoint."""

    cases: Sequence[StoredCase]
    classes: int
    patch: Sides
    rule: Selection
    inference: Inference
    device: torch.device

    @torch.no_grad()
    def score(self, method: Method, networks: tuple[str, ...]) -> float:
        """Score of these networks in [0, 1], in evaluation mode; the method is in training mode afterwards."""
        method.eval()
        scores = [self._case(method, networks, case) for case in self.cases]
        method.train()
        return float(np.mean(scores))

    def _case(self, method: Method, networks: tuple[str, ...], case: StoredCase) -> NDArray[np.float64]:
        if self.rule.region == "centre_crop":
            start = centre_start(case.shape, self.patch)
            image = image_crop_of(case, start, self.patch)
            truth = read_label_crop(case.path, start, self.patch)
        else:
            image, truth = image_of(case), read_label(case.path)
        window = torch.from_numpy(image)[None].to(self.device)
        scores = self._scores(method, networks, window)
        return self._dice_per_organ(truth, scores.argmax(0).cpu().numpy())

    def _scores(self, method: Method, networks: tuple[str, ...], image: Tensor) -> Tensor:
        if self.rule.region == "centre_crop":
            return method.predict(image[None], networks)[0]
        rule = self.inference
        windows = rule.window, rule.stride, rule.border
        return slide(lambda part: method.predict(part, networks), image, self.classes, *windows)

    def _dice_per_organ(self, truth: NDArray[np.uint8], predicted: NDArray[np.int64]) -> NDArray[np.float64]:
        pairs = np.bincount((truth.astype(np.int64) * self.classes + predicted).ravel(), minlength=self.classes**2)
        table = pairs.reshape(self.classes, self.classes)
        overlap, sizes = table.diagonal()[1:], (table.sum(0) + table.sum(1))[1:]
        if self.rule.absent == "half":
            return np.asarray((2 * overlap + TINY) / (sizes + 2 * TINY))
        return np.asarray(2 * overlap / np.maximum(sizes, 1))
