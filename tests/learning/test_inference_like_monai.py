"""Scores of sliding windows equal those of MONAI to the bit: recorded tables were made with MONAI's."""

import pytest
import torch

from semiseg.learning import inference
from semiseg.learning.inference import slide, windows_per_batch

CASES = {  # window, stride, size of the volume
    "stride divides": ((8, 8, 8), (4, 4, 4), (16, 20, 12)),
    "last window moved back": ((7, 9, 6), (3, 4, 5), (17, 15, 20)),
    "thin volume": ((8, 12, 12), (4, 6, 6), (5, 15, 12)),
    "smaller than the window": ((9, 10, 11), (4, 5, 6), (4, 7, 8)),
    "no overlap": ((5, 6, 7), (5, 6, 7), (12, 13, 14)),
    "single steps": ((4, 4, 4), (1, 1, 1), (7, 6, 5)),
}


@pytest.mark.parametrize("name", CASES)
def test_scores_equal_those_of_monai(name):
    from monai.inferers.utils import sliding_window_inference  # here: MONAI's import takes seconds

    window, stride, size = CASES[name]
    torch.manual_seed(1)
    network = torch.nn.Sequential(torch.nn.Conv3d(2, 3, 3, padding=1), torch.nn.Softmax(1))
    image = torch.randn(2, *size)
    with torch.inference_mode():
        ours = slide(network, image, 3, window, stride)
        # MONAI truncates window x (1 - overlap) to its stride: half a voxel keeps rounding errors away
        overlap = [max(1 - (step + 0.5) / side, 0.0) for step, side in zip(stride, window, strict=True)]
        theirs = sliding_window_inference(
            image[None], window, windows_per_batch(window), network, overlap, mode="constant"
        )
    assert torch.equal(ours, theirs[0])


def test_a_large_window_goes_alone_as_with_monai(monkeypatch):
    """Batches of one stay equal to MONAI's with one window a batch."""
    monkeypatch.setattr(inference, "VOXELS_PER_BATCH", 8**3)
    test_scores_equal_those_of_monai("stride divides")
