"""How fast random crops come out of the prepared store, for several chunk sizes and compressions.

``python benchmarks/store_crops.py`` prints size on disk, time to write, and median time of a crop (image and label) for
a CT-like and an LA-like case; semiseg.data.store holds the choice.
"""

import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from scipy import ndimage

from semiseg.data import store
from semiseg.data.geometry import Geometry

SHAPES = {"ct": ((110, 260, 320), (64, 128, 128)), "la": ((200, 150, 88), (112, 112, 80))}
NONE: dict[str, object] = {}
LZF: dict[str, object] = {"compression": "lzf"}
PACKINGS = {
    "none": {"image": NONE, "label": NONE},
    "label lzf": {"image": NONE, "label": LZF},
    "both lzf": {"image": {**LZF, "shuffle": True}, "label": LZF},
    "label gzip": {"image": NONE, "label": {"compression": "gzip", "compression_opts": 1}},
    "both gzip": {name: {"compression": "gzip", "compression_opts": 1, "shuffle": True} for name in ("image", "label")},
}
CROPS = 12


def made_case(shape: tuple[int, int, int]) -> store.PreparedCase:
    """A smooth picture with noise and four organs as blobs."""
    rng = np.random.default_rng(0)
    smooth = ndimage.gaussian_filter(rng.normal(size=shape).astype(np.float32), 8)
    smooth /= smooth.std()
    label = np.digitize(smooth, (1.0, 1.5, 2.0, 2.5)).astype(np.uint8)
    image = smooth + 0.05 * rng.normal(size=shape).astype(np.float32)
    return store.PreparedCase(image, label, Geometry(shape, (1.0, 1.0, 1.0), np.eye(4), "zyx", shape, np.eye(4)))


def measure(path: Path, case: store.PreparedCase, patch: tuple[int, int, int]) -> tuple[float, float]:
    """Seconds to write the case, and median milliseconds to read a random crop of it."""
    begin = time.perf_counter()
    store.write_case(path, case)
    written = time.perf_counter() - begin
    rng, times = np.random.default_rng(1), []
    for _ in range(CROPS):
        start = [int(rng.integers(0, side - size + 1)) for side, size in zip(case.image.shape, patch, strict=True)]
        begin = time.perf_counter()
        store.read_image_crop(path, start, patch)
        store.read_label_crop(path, start, patch)
        times.append(1000 * (time.perf_counter() - begin))
    return written, statistics.median(times)


def main() -> None:
    """Try every combination."""
    with tempfile.TemporaryDirectory() as folder:
        for name, (shape, patch) in SHAPES.items():
            case = made_case(shape)
            for chunk in (16, 32, 64):
                for packing, options in PACKINGS.items():
                    store.CHUNK, store.PACKED = chunk, options
                    written, crop = measure(Path(folder) / "case.h5", case, patch)
                    size = (Path(folder) / "case.h5").stat().st_size / 1e6
                    print(f"{name}: chunk {chunk}, {packing}: {size:.1f} MB, write {written:.2f} s, crop {crop:.1f} ms")


if __name__ == "__main__":
    main()
