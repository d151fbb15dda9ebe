"""Windows stand where the official sliding windows stand, for the strides of all three protocols."""

import math

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from semiseg.learning.inference import slide, windows_per_batch
from semiseg.params.config import Inference

PROTOCOLS = {  # window, stride, and a volume: larger, equal on an axis, and smaller than the window
    "la": ((112, 112, 80), (18, 18, 4), (150, 133, 88)),
    "la_small_volume": ((112, 112, 80), (18, 18, 4), (100, 120, 80)),
    "dhc": ((64, 128, 128), (16, 32, 32), (80, 160, 160)),
    "guidednet": ((64, 160, 160), (32, 80, 80), (101, 255, 320)),
    "guidednet_thin": ((64, 160, 160), (32, 80, 80), (41, 203, 160)),
}


def official_starts(size, window, stride):
    """Sheet: min(stride x i, size - window), i = 0..ceil((size - window) / stride)."""
    return [min(stride * i, size - window) for i in range(math.ceil((size - window) / stride) + 1)]


@pytest.mark.parametrize("name", PROTOCOLS)
def test_window_positions(name):
    window, stride, size = PROTOCOLS[name]
    seen = []

    def note(part):
        """The position code of the first voxel that is not padding, carried back to the window's first voxel."""
        for item in part[:, 0]:
            where = (item >= 0).nonzero()[0]
            code = int(item[tuple(where)])
            first = torch.tensor([code // 10**6, code // 1000 % 1000, code % 1000])
            seen.append(tuple((first - where).tolist()))
        return torch.zeros(len(part), 1, *window)

    z, y, x = torch.meshgrid(*(torch.arange(n) for n in size), indexing="ij")
    code = (z * 10**6 + y * 1000 + x).double() + 1
    slide(lambda part: note(part - 1), code[None], 1, window, stride)
    padded = [max(n, w) for n, w in zip(size, window, strict=True)]
    before = [(p - n) // 2 for n, p in zip(size, padded, strict=True)]
    starts = [official_starts(*axis) for axis in zip(padded, window, stride, strict=True)]
    expected = {(a - before[0], b - before[1], c - before[2]) for a in starts[0] for b in starts[1] for c in starts[2]}
    assert set(seen) == expected
    assert len(seen) == len(expected), "no window is computed twice"


def test_scores_are_the_mean_over_the_windows_that_saw_a_voxel():
    calls = iter(range(1, 100))

    def numbered(part):
        return torch.stack([torch.full((1, *part.shape[2:]), float(next(calls))) for _ in part])

    scores = slide(numbered, torch.zeros(1, 1, 1, 6), 1, (1, 1, 4), (1, 1, 2))  # windows at 0 and 2
    assert scores[0, 0, 0].tolist() == [1, 1, 1.5, 1.5, 2, 2]


def test_windows_contain_all_channels_of_the_image():
    image = torch.randn(2, 4, 6, 5)
    scores = slide(lambda part: part.sum(1, keepdim=True), image, 1, (4, 4, 4), (2, 2, 2))
    torch.testing.assert_close(scores, image.sum(0, keepdim=True))


def test_ends_are_repeated_where_the_protocol_says_so_and_cropped_back():
    """Every slice is then in as many windows as the others (cchen-cc/MA-SAM: MA-SAM/test.py)."""
    seen = []

    def remember(part):
        seen.extend(part[:, 0, 0, 0].tolist())
        return part

    line = torch.tensor([1.0, 2.0, 3.0, 4.0])
    scores = slide(remember, line.view(1, 1, 1, 4), 1, (1, 1, 3), (1, 1, 1), border=(0, 0, 2))
    assert seen == [[1, 1, 1], [1, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 4], [4, 4, 4]]
    assert torch.equal(scores.flatten(), line)
    inference = Inference(window=(1, 1, 3), stride=(1, 1, 1))
    assert "border" not in inference.model_dump(), "so that records of earlier runs stay as they are"


def test_padding_is_zero_and_cropped_back():
    seen = []

    def remember(part):
        seen.append(part.clone())
        return part

    scores = slide(remember, torch.full((1, 1, 1, 3), 7.0), 1, (1, 1, 6), (1, 1, 3))
    assert seen[0][0, 0, 0, 0].tolist() == [0, 7, 7, 7, 0, 0], "one zero before, two after: the odd voxel at the end"
    assert scores.shape == (1, 1, 1, 3)


FULL, HALF, SMALL = ((112, 112, 80), (64, 128, 128), (64, 160, 160), (96, 96, 96)), (64, 64, 64), (64, 64, 32)


@pytest.mark.parametrize(("window", "together"), [*((window, 1) for window in FULL), (HALF, 2), (SMALL, 4)])
def test_the_window_alone_says_how_many_go_together(window, together):
    """Full windows one by one, small ones by four: the memory that is free must not move a bit of a label map."""
    assert windows_per_batch(window) == together
    sizes = []

    def note(batch):
        sizes.append(len(batch))
        return torch.zeros(len(batch), 1, 1, 1, 1)

    few = [side + 1 for side in window]  # two windows along each axis
    slide(note, torch.zeros(1, 1, 1, 1).expand(1, *few), 1, window, window)
    assert sizes == [together] * (8 // together)


def test_the_largest_volume_is_that_of_the_scores():
    """Numbers of windows, sums and means need no second volume."""
    size, classes, largest = (40, 48, 56), 5, []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            result = function(*args, **(kwargs or {}))
            fresh = isinstance(result, torch.Tensor) and not any(
                isinstance(arg, torch.Tensor) and arg.untyped_storage()._cdata == result.untyped_storage()._cdata
                for arg in args
            )
            if fresh:
                largest.append(result.numel())
            return result

    image = torch.zeros(1, *size)
    with Watch():
        slide(lambda part: part.expand(-1, classes, -1, -1, -1), image, classes, (8, 8, 8), (4, 4, 4))
    whole = [voxels for voxels in largest if voxels >= image.numel()]
    assert whole == [classes * image.numel()], "one allocation as large as the volume: its scores"
