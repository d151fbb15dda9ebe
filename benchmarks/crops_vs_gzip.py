"""How fast random crops come out of the store, against whole gzip HDF5 volumes as released loaders read them.

``python benchmarks/crops_vs_gzip.py`` writes a CT-like case both ways and reads crops of 64 x 128 x 128 voxels, image
and label: with semiseg.data.store, and as kimjisoo12/GuidedNet and yulequan/UA-MT do, who open the file, read both
arrays whole and cut. Prints median milliseconds, sizes and the ratio; fails below 10 x or when a crop differs.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np
from store_crops import SHAPES, made_case

from semiseg.data import store

CROPS = 10


def main() -> None:
    """Time both readers in turn."""
    shape, patch = SHAPES["ct"]
    case = made_case(shape)
    rng, ours, theirs = np.random.default_rng(1), [], []
    with tempfile.TemporaryDirectory() as folder:
        stored, packed = Path(folder) / "stored.h5", Path(folder) / "gzip.h5"
        store.write_case(stored, case)
        with h5py.File(packed, "w") as file:
            file.create_dataset("image", data=case.image, compression="gzip")
            file.create_dataset("label", data=case.label, compression="gzip")
        for _ in range(CROPS):
            start = [int(rng.integers(0, side - size + 1)) for side, size in zip(shape, patch, strict=True)]
            box = tuple(slice(low, low + size) for low, size in zip(start, patch, strict=True))
            begin = time.perf_counter()
            image, label = store.read_image_crop(stored, start, patch), store.read_label_crop(stored, start, patch)
            between = time.perf_counter()
            with h5py.File(packed) as file:
                whole_image, whole_label = file["image"][:], file["label"][:]
            expected_image, expected_label = whole_image[box].copy(), whole_label[box].copy()
            theirs.append(time.perf_counter() - between)
            ours.append(between - begin)
            if not (np.array_equal(image, expected_image) and np.array_equal(label, expected_label)):
                sys.exit(f"crop at {start} differs")
        sizes = [path.stat().st_size / 1e6 for path in (stored, packed)]
    mine, whole = (1000 * statistics.median(times) for times in (ours, theirs))
    print(f"crop of {patch} from {shape}: store {mine:.1f} ms, whole gzip volumes {whole:.1f} ms")
    print(f"size: store {sizes[0]:.0f} MB, gzip {sizes[1]:.0f} MB")
    print(f"ratio {whole / mine:.1f} x (expected at least 10)")
    if whole < 10 * mine:
        sys.exit("a benchmark missed its mark")


if __name__ == "__main__":
    main()
