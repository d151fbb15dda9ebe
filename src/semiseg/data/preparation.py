"""The steps from a raw case to a stored one. Each maps a ``Scan`` to a ``Scan`` and keeps the affine right."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil
from typing import Any

import nibabel.orientations
import numpy as np
from numpy.typing import NDArray

from semiseg.base.errors import UserError
from semiseg.data.geometry import Affine, Geometry, spacing_of
from semiseg.data.resampling import axis, new_size, picked, resampled
from semiseg.data.store import Image, Label, PreparedCase
from semiseg.params.preparation import (
    Clip,
    ClipCumulative,
    CropLabel,
    CropMiddle,
    CropNonzero,
    Orient,
    Preparation,
    Resample,
    Rescale,
    Scale,
    ZScore,
)

Three = tuple[int, int, int]
BINS = 256  # of the histogram of images with fractions (scikit-image: exposure.cumulative_distribution)


@dataclass(frozen=True)
class Scan:
    """A case between two steps: image float32 and label uint8 ``[x y z]``, affine of both, facts for the index."""

    case: str
    image: Image
    label: Label | None
    affine: Affine
    statistics: Mapping[str, Any] = field(default_factory=dict)

    def noting(self, step: str, facts: Mapping[str, Any]) -> "Scan":
        """The same scan with the facts of one more step."""
        return replace(self, statistics={**self.statistics, step: facts})


def run_steps(scan: Scan, preparation: Preparation, applied: frozenset[str]) -> PreparedCase:
    """Apply the steps in order, without those in ``applied``; return the axes in the order of ``preparation.axes``.

    The statistics hold intensities and directions of the axes before and after, and the facts of single steps. Raises
    UserError with the case when a step cannot work on it.
    """
    raw_shape, raw_affine = _three(scan.image.shape), scan.affine
    scan = scan.noting("raw", _described(scan.image, scan.affine))
    for step in preparation.steps:
        scan = scan.noting(step.step, {"skipped": True}) if step.step in applied else STEPS[step.step](scan, step)
    image, label, affine = scan.image, scan.label, scan.affine
    if preparation.axes == "zyx":
        image, affine = image.transpose(2, 1, 0), affine[:, [2, 1, 0, 3]]
        label = None if label is None else label.transpose(2, 1, 0)
    prepared = _described(image, affine)
    if not np.isfinite(prepared["mean"]):
        raise UserError(f"case {scan.case}: the prepared image is not finite: check the preparation's steps")
    shape = _three(image.shape)
    geometry = Geometry(shape, spacing_of(affine), affine, preparation.axes, raw_shape, raw_affine)
    return PreparedCase(image, label, geometry, scan.noting("prepared", prepared).statistics)


def orient(scan: Scan, step: Orient) -> Scan:
    """Flip and permute axes so that they run towards the given directions, without interpolation."""
    if not _concerns(step.only, scan.affine):
        return scan
    have = nibabel.orientations.io_orientation(scan.affine)
    change = nibabel.orientations.ornt_transform(have, nibabel.orientations.axcodes2ornt(step.to))
    affine = scan.affine @ nibabel.orientations.inv_ornt_aff(change, scan.image.shape)
    return _each_array(scan, lambda array: nibabel.orientations.apply_orientation(array, change), affine)


def clip(scan: Scan, step: Clip) -> Scan:
    """Intensities limited to low..high."""
    if not _concerns(step.only, scan.affine):
        return scan
    return replace(scan, image=np.clip(scan.image, np.float32(step.low), np.float32(step.high)))


def clip_cumulative(scan: Scan, step: ClipCumulative) -> Scan:
    """Intensities limited to the lowest grey level that at least ``share`` of all voxels (zeros too) do not exceed.

    As HiLab-git/SSL4MIS (code/dataloaders/brats_proprecessing.py) does with scikit-image's cumulative_distribution:
    every whole number is a level; files with fractions have 256 levels, the centres of equal bins over their range.
    """
    values = scan.image.ravel("K")
    if (values == np.rint(values)).all():
        levels, counts = np.unique(values, return_counts=True)
        shares = counts.cumsum() / values.size
    else:
        counts, edges = np.histogram(values, BINS)
        levels, shares = (edges[:-1] + edges[1:]) / 2, (counts.cumsum() / values.size).astype(np.float32)
    high = float(levels[shares >= step.share][0])
    return replace(scan, image=np.minimum(scan.image, np.float32(high))).noting("clip_cumulative", {"high": high})


def rescale(scan: Scan, step: Rescale) -> Scan:
    """(x - low) / (high - low) with percentiles of the whole volume; values beyond them leave 0..1."""
    low, high = (float(value) for value in np.percentile(scan.image.ravel("K"), (step.low, step.high)))
    if not high > low:
        raise UserError(
            f"case {scan.case}: the image is constant ({low:g}) between its percentiles {step.low:g} and "
            f"{step.high:g}, so it cannot be rescaled: check the file and the clip range"
        )
    image = scan.image - np.float32(low)
    image /= np.float32(high - low)
    return replace(scan, image=image).noting("rescale", {"low": low, "high": high})


def scale(scan: Scan, step: Scale) -> Scan:
    """(x - subtract) / divide."""
    image = scan.image - np.float32(step.subtract)
    image /= np.float32(step.divide)
    return replace(scan, image=image)


def zscore(scan: Scan, step: ZScore) -> Scan:
    """(x - mean) / std, population std and float64 sums, as yulequan/UA-MT (code/dataloaders/la_heart_processing.py).

    of positive: both numbers of voxels above 0 alone, but applied to all, as HiLab-git/SSL4MIS prepares BraTS.
    """
    mean, std = _moments(scan.image if step.of == "all" else scan.image[scan.image > 0])
    if not std > 0:
        raise UserError(f"case {scan.case}: the image is constant ({mean:g}), so it has no z-score: check the file")
    image = scan.image - np.float32(mean)
    image /= np.float32(std)
    return replace(scan, image=image).noting("zscore", {"mean": mean, "std": std})


def crop_label(scan: Scan, step: CropLabel) -> Scan:
    """Crop x and y to the label's box, widened to ``at_least`` and by a random margin per side; z is kept.

    As yulequan/UA-MT (code/dataloaders/la_heart_processing.py) prepares LA and ycwu1997/MC-Net (data/Pancreas/
    Pre-processing.ipynb) Pancreas-CT: half of max(at_least - (last - first), 0) per side, then the margins of low x,
    high x, low y, high y; the upper bound is exclusive. UA-MT drew its margins unseeded, so only the distributed files
    have them; MC-Net's are always 25. A case without a label has no box and is kept whole.
    """
    if scan.label is None:
        return scan.noting("crop_label", {"kept_whole": True})
    rng = np.random.default_rng([step.seed, int(hashlib.sha256(scan.case.encode()).hexdigest()[:8], 16)])
    box = [slice(0, side) for side in scan.image.shape]
    margins: list[int] = []
    for along, wanted in enumerate(step.at_least):
        first, last = _extent(scan.label != 0, along)
        half = max(wanted - (last - first), 0) // 2
        low, high = (int(margin) for margin in rng.integers(*step.margin, 2))
        box[along] = slice(max(first - low - half, 0), min(last + high + half, scan.image.shape[along]))
        margins += [low, high]
    return _cropped(scan, box, "crop_label", {"margins": margins})


def crop_nonzero(scan: Scan, step: CropNonzero) -> Scan:
    """Crop to the box of voxels that are not 0, without its last plane in each axis.

    As HiLab-git/SSL4MIS (code/dataloaders/brats_proprecessing.py), whose upper bounds are the last such voxels.
    """
    filled = scan.image != 0
    box = [slice(*_extent(filled, along)) for along in range(3)]
    if any(side.stop <= side.start for side in box):
        raise UserError(f"case {scan.case}: the image has no box of voxels that are not 0: check the file")
    return _cropped(scan, box, "crop_nonzero", {})


def crop_middle(scan: Scan, step: CropMiddle) -> Scan:
    """Crop each axis with a size to as many voxels as reach it, in the middle; an axis that is shorter is kept."""
    box = []
    for side, spacing, size in zip(scan.image.shape, spacing_of(scan.affine), step.size, strict=True):
        wanted = side if size is None else min(ceil(size / spacing), side)
        box.append(slice((side - wanted) // 2, (side - wanted) // 2 + wanted))
    return _cropped(scan, box, "crop_middle", {})


def resample(scan: Scan, step: Resample) -> Scan:
    """New grid: image by splines of the given order, label by nearest neighbour, without smoothing.

    The rules of each library stand in ``semiseg.data.resampling``. skimage limits the result to the range that the
    image had, as resize does in kimjisoo12/GuidedNet (data preprocessing.py).
    """
    old = _three(scan.image.shape)
    if step.shape is not None:
        size, scales = step.shape, [a / b for a, b in zip(old, step.shape, strict=True)]
    else:
        factors = step.factor if isinstance(step.factor, tuple) else (step.factor or 1.0,) * 3
        scales = [1 / factor for factor in factors]
        if step.spacing is not None:
            scales = [new / had for new, had in zip(step.spacing, spacing_of(scan.affine), strict=True)]
        size = _three([new_size(side, ratio, step.library) for side, ratio in zip(old, scales, strict=True)])
    axes = [
        axis(side, new, ratio, step.library, step.order) for side, new, ratio in zip(old, size, scales, strict=True)
    ]
    image = resampled(scan.image, axes)
    if step.library == "skimage" and image is not scan.image:
        np.clip(image, scan.image.min(), scan.image.max(), out=image)
    label = None if scan.label is None else picked(scan.label, axes)
    grid = np.diag([*(one.scale for one in axes), 1.0])
    grid[:3, 3] = [one.start for one in axes]
    return replace(scan, image=image, label=label, affine=scan.affine @ grid)


STEPS: Mapping[str, Callable[[Scan, Any], Scan]] = {
    "orient": orient,
    "clip": clip,
    "clip_cumulative": clip_cumulative,
    "resample": resample,
    "rescale": rescale,
    "scale": scale,
    "zscore": zscore,
    "crop_label": crop_label,
    "crop_nonzero": crop_nonzero,
    "crop_middle": crop_middle,
}


def _concerns(only: str | None, affine: Affine) -> bool:
    """Whether a step applies: always, or only to scans whose axes run exactly towards ``only`` (letters, as LPI).

    Oblique axes, however slightly, run towards no letters. The script of kimjisoo12/GuidedNet compares the directions
    that SimpleITK reads with whole numbers.
    """
    directions = affine[:3, :3] / np.array(spacing_of(affine))
    exact = np.abs(directions - np.rint(directions)).max() < 1e-6
    return only is None or (bool(exact) and only == _letters(affine))


def _letters(affine: Affine) -> str:
    """The directions of the axes, such as LPI."""
    return "".join(nibabel.orientations.aff2axcodes(affine))


def _described(image: Image, affine: Affine) -> dict[str, Any]:
    """Facts of a volume for the index, axes in array order; percentiles are of every 4th voxel along each axis."""
    mean, std = _moments(image)
    rare = np.percentile(image[::4, ::4, ::4], (0.5, 50, 99.5))
    return {
        "orientation": _letters(affine),
        "min": float(image.min()),
        "max": float(image.max()),
        "mean": mean,
        "std": std,
        "percentiles": {"0.5": float(rare[0]), "50": float(rare[1]), "99.5": float(rare[2])},
    }


def _moments(values: NDArray[np.float32]) -> tuple[float, float]:
    """Mean and population std from float64 sums, piece by piece: no second volume is made."""
    flat = values.ravel("K")
    if flat.size == 0:
        return 0.0, 0.0
    pieces = np.array_split(flat, flat.size // 2**16 + 1)
    mean = sum(float(piece.sum(dtype=np.float64)) for piece in pieces) / flat.size
    squares = 0.0
    for piece in pieces:
        squares += float(np.square(piece.astype(np.float64) - mean).sum())  # not `@`: its bits depend on the threads
    return mean, float(np.sqrt(squares / flat.size))


def _extent(filled: NDArray[np.bool_], along: int) -> tuple[int, int]:
    """First and last index along an axis with a filled voxel; (0, 0) where there is none."""
    found = np.flatnonzero(filled.any(axis=tuple(other for other in range(3) if other != along)))
    return (int(found[0]), int(found[-1])) if found.size else (0, 0)


def _cropped(scan: Scan, box: list[slice], name: str, facts: Mapping[str, Any]) -> Scan:
    shift = np.eye(4)
    shift[:3, 3] = [side.start for side in box]
    cropped = _each_array(scan, lambda array: array[tuple(box)], scan.affine @ shift)
    start, size = [side.start for side in box], list(cropped.image.shape)
    return cropped.noting(name, {**facts, "start": start, "size": size})


def _each_array(scan: Scan, change: Callable[[NDArray[Any]], NDArray[Any]], affine: Affine) -> Scan:
    label = None if scan.label is None else change(scan.label)
    return replace(scan, image=change(scan.image), label=label, affine=affine)


def _three(shape: Sequence[int]) -> Three:
    a, b, c = shape
    return a, b, c
