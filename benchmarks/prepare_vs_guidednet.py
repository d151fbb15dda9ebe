"""How fast cases are prepared, against the steps of the released GuidedNet script: same scans, same result.

Abdominal-like scans (512 x 512 x 100, int16, .nii.gz) are prepared with ``guidednet_script`` in two processes, and with
the library calls of kimjisoo12/GuidedNet (data preprocessing.py) one after the other, as that script does: SimpleITK
reads, a cubic spline resizes the image as skimage.transform.resize has scipy do it, order 0 the label, window and fixed
normalisation, gzip-compressed HDF5. The compressed NIfTI copies that the script also writes are left out, which only
helps it. The floor is what any preparation must do of one case: decompress, resample, hash what is read and what is
written, in processor time. The last row is the peak memory of one worker in raw float32 volumes. Fails when results
differ by more than 1e-5 of their range, or in a label.
"""

import hashlib
import multiprocessing
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import psutil
import SimpleITK as sitk
from measuring import Row, alternate, main
from scipy import ndimage

from semiseg.base.files import sha256
from semiseg.base.parallel import each
from semiseg.base.volume import Volume
from semiseg.data.images import write_nifti
from semiseg.data.resampling import axis, new_size, picked, resampled
from semiseg.data.store import read_image, read_label
from semiseg.dataset import RawCase
from semiseg.params.reading import read as read_params
from semiseg.stages.prepare import CaseToPrepare, prepare_one

SHAPE = (512, 512, 100)
SPACING = (0.78, 0.78, 5.0)  # mm
TARGET = (1.22250766, 1.22250766, 2.5)
ROUNDS = 5
ROOT = Path(__file__).parents[1]


def draw(folder: Path, cases: int, shape: tuple[int, int, int]) -> list[RawCase]:
    """Smooth tissue with noise in air, four organs as blobs; axes run LAI, which the script turns."""
    drawn = []
    for number in range(cases):
        rng = np.random.default_rng(number)
        coarse = rng.normal(40, 120, (32, 32, 13))
        tissue = ndimage.zoom(coarse, [side / few for side, few in zip(shape, coarse.shape, strict=True)], order=1)
        x, y = np.ogrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j]
        body = ((x / 0.85) ** 2 + (y / 0.6) ** 2 < 1)[:, :, None]
        image = np.where(body, tissue + rng.normal(0, 15, shape), -1000).astype(np.int16)
        label = (np.digitize(tissue, (200, 250, 300, 350)) * body).astype(np.uint8)
        affine = np.diag([-SPACING[0], SPACING[1], -SPACING[2], 1.0])
        case = RawCase(f"case_{number}", f"imagesTr/case_{number}_0000.nii.gz", f"labelsTr/case_{number}.nii.gz")
        for name, array in ((case.image, image), (str(case.label), label)):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            write_nifti(folder / name, Volume(array, affine))
        drawn.append(case)
    return drawn


def resized(image: sitk.Image, order: int, mode: str) -> np.ndarray:
    """The array ``[z y x]`` on the target grid by scipy's zoom over all three axes, as skimage's resize calls it."""
    array = sitk.GetArrayFromImage(image)
    spacing = image.GetSpacing()[::-1]
    size = [round(side * mm / wanted) for side, mm, wanted in zip(array.shape, spacing, TARGET[::-1], strict=True)]
    factors = [new / old for new, old in zip(size, array.shape, strict=True)]
    new = ndimage.zoom(array, factors, order=order, mode=mode, grid_mode=True)
    return np.clip(new, array.min(), array.max(), out=new)


def as_released(case: RawCase, raw: Path, folder: Path) -> None:
    """Prepare one case."""
    image, label = (sitk.ReadImage(str(raw / name)) for name in (case.image, str(case.label)))
    arrays = [sitk.GetArrayFromImage(image).astype(np.float32), sitk.GetArrayFromImage(label)]
    turned = [np.flip(array, (0, 2)) for array in arrays]
    turned[0] = np.clip(turned[0], -325, 325)
    ready = [sitk.GetImageFromArray(array) for array in turned]
    for one in ready:
        one.SetSpacing(image.GetSpacing())
    new = np.clip(resized(ready[0], 3, "nearest"), -22.0, 325.0)
    new = (new - np.float32(214.68231)) / np.float32(100.240135)
    labels = resized(ready[1], 0, "reflect")
    with h5py.File(folder / f"{case.id}.h5", "w") as file:
        file.create_dataset("image", data=new, compression="gzip")
        file.create_dataset("label", data=labels, compression="gzip")


def peak_bytes(work: Callable[..., object], *given: object) -> int:
    """Memory that a process of its own needs for this beyond what it holds before."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak, (work, given))


def _peak(work: Callable[..., object], given: tuple[object, ...]) -> int:
    process, done = psutil.Process(), threading.Event()
    before = process.memory_info().rss
    seen = [before]

    def look() -> None:
        while not done.wait(0.002):
            seen.append(process.memory_info().rss)

    watcher = threading.Thread(target=look)
    watcher.start()
    work(*given)
    done.set()
    watcher.join()
    return max(seen) - before


def least_work(case: RawCase, raw: Path, shape: tuple[int, int, int]) -> Callable[[], object]:
    """What any preparation of a case must do; what else these steps need is made beforehand."""
    packed = [(raw / name).read_bytes() for name in (case.image, str(case.label))]
    unpacked = [zlib.decompress(one, 31) for one in packed]
    kinds = (np.int16, np.uint8)
    arrays = [
        np.frombuffer(one, kind, offset=352).reshape(shape, order="F")
        for one, kind in zip(unpacked, kinds, strict=True)
    ]
    image = arrays[0].astype(np.float32)
    scales = [new / old for new, old in zip(TARGET, SPACING, strict=True)]
    axes = [
        axis(side, new_size(side, scale, "skimage"), scale, "skimage", 3)
        for side, scale in zip(shape, scales, strict=True)
    ]

    def work() -> None:
        for one in packed:
            zlib.decompress(one, 31)
        for one in (*packed, resampled(image, axes).T.data.cast("B"), picked(arrays[1], axes).T.data.cast("B")):
            hashlib.sha256(one).digest()

    return work


def differences(cases: list[RawCase], ours: Path, theirs: Path) -> tuple[float, int]:
    """Largest difference of images as a share of the range, and the number of labels that differ."""
    worst, labels = 0.0, 0
    for case in cases:
        with h5py.File(theirs / f"{case.id}.h5") as file:
            image, label = file["image"][()], file["label"][()]
        apart = float(np.abs(read_image(ours / f"{case.id}.h5") - image).max())
        worst = max(worst, apart / float(image.max() - image.min()))
        labels += int((read_label(ours / f"{case.id}.h5") != label).sum())
    return worst, labels


def rows(tiny: bool) -> list[Row]:
    cases, shape, workers, repeats = (1, (40, 40, 12), 1, 1) if tiny else (4, SHAPE, 2, ROUNDS)
    preparation = read_params(ROOT / "params.yaml").preparations["guidednet_script"]
    with tempfile.TemporaryDirectory() as temporary:
        raw, ours, theirs = (Path(temporary) / name for name in ("raw", "ours", "theirs"))
        ours.mkdir()
        theirs.mkdir()
        drawn = draw(raw, cases, shape)
        jobs = []
        for case in drawn:
            hashes = {name: sha256(raw / name) for name in (case.image, str(case.label))}
            target = ours / f"{case.id}.h5"
            jobs.append(CaseToPrepare("phantom", case, raw, hashes, frozenset(), preparation, target, "benchmark"))

        def prepared(workers: int, some: list[CaseToPrepare]) -> None:
            for job in some:
                job.file.unlink(missing_ok=True)
            each(prepare_one, some, workers, "prepare")

        together = alternate(
            lambda: prepared(workers, jobs),
            lambda: [as_released(case, raw, theirs) for case in drawn],
            repeats=repeats,
        )
        worst, labels = differences(drawn, ours, theirs)
        if worst > 1e-5 or labels:
            sys.exit(f"images differ by up to {worst:.1e} of their range, and {labels} labels")
        alone = alternate(
            lambda: prepared(1, jobs[:1]),
            lambda: as_released(drawn[0], raw, theirs),
            least_work(drawn[0], raw, shape),
            repeats=repeats,
            clock=time.process_time,
        )
        steps, least = "released steps", "decompress, resample, hash"
        found = [
            Row(f"prepare {cases} CT scans, 2 processes: s", *together, steps, target="peer at least 8x"),
            Row("prepare a CT scan: s", *alone[:2], steps, alone[2], least, "at most 2x the floor"),
        ]
        if tiny:  # memory is that of fresh processes, which import for seconds
            return found
        jobs[0].file.unlink()
        volume = 4 * float(np.prod(shape))
        peaks = peak_bytes(prepare_one, jobs[0]) / volume, peak_bytes(as_released, drawn[0], raw, theirs) / volume
        return [*found, Row("peak of a worker: raw volumes", *peaks, steps, target="at most 4")]


if __name__ == "__main__":
    main(rows)
