"""Steps that turn a raw case into a stored one. Each step maps a ``Scan`` to a ``Scan`` and updates its affine."""

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
from semiseg.data.intensities import moments, percentiles
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
BINS = 256  # bins for images with fractional values, as in scikit-image: exposure.cumulative_distribution


@dataclass(frozen=True)
class Scan:
    """A case between two steps: image float32, label uint8, both ``[x y z]``, their affine, and facts for the index."""

    case: str
    image: Image
    label: Label | None
    affine: Affine
    statistics: Mapping[str, Any] = field(default_factory=dict)

    def with_facts(self, step: str, facts: Mapping[str, Any]) -> "Scan":
        """The same scan, with the facts of a step added to its statistics."""
        return replace(self, statistics={**self.statistics, step: facts})


def run_steps(scan: Scan, preparation: Preparation, applied: frozenset[str]) -> PreparedCase:
    """Apply the steps in order, then permute the axes to the order of ``preparation.axes``.

    applied: names of the steps to skip, because they were applied to the raw files already. The statistics describe
    intensities and axis directions before the first and after the last step, and hold the facts of each step. Raises
    UserError, which names the case, if a step cannot be applied or the prepared image is not finite.
    """
    raw_shape, raw_affine = _three(scan.image.shape), scan.affine
    scan = scan.with_facts("raw", _described(scan.image, scan.affine))
    for step in preparation.steps:
        scan = scan.with_facts(step.step, {"skipped": True}) if step.step in applied else STEPS[step.step](scan, step)
    image, label, affine = scan.image, scan.label, scan.affine
    if preparation.axes == "zyx":
        image, affine = image.transpose(2, 1, 0), affine[:, [2, 1, 0, 3]]
        label = None if label is None else label.transpose(2, 1, 0)
    prepared = _described(image, affine)
    if not np.isfinite(prepared["mean"]):
        raise UserError(f"case {scan.case}: the prepared image is not finite: check the preparation's steps")
    shape = _three(image.shape)
    geometry = Geometry(shape, spacing_of(affine), affine, preparation.axes, raw_shape, raw_affine)
    return PreparedCase(image, label, geometry, scan.with_facts("prepared", prepared).statistics)


def orient(scan: Scan, step: Orient) -> Scan:
    """Flip and permute the axes so that they run towards ``step.to``. Nothing is interpolated."""
    if not _applies(step.only, scan.affine):
        return scan
    present = nibabel.orientations.io_orientation(scan.affine)
    change = nibabel.orientations.ornt_transform(present, nibabel.orientations.axcodes2ornt(step.to))
    affine = scan.affine @ nibabel.orientations.inv_ornt_aff(change, scan.image.shape)
    return _each_array(scan, lambda array: nibabel.orientations.apply_orientation(array, change), affine)


def clip(scan: Scan, step: Clip) -> Scan:
    """Clip the intensities to low..high."""
    if not _applies(step.only, scan.affine):
        return scan
    return replace(scan, image=np.clip(scan.image, np.float32(step.low), np.float32(step.high)))


def clip_cumulative(scan: Scan, step: ClipCumulative) -> Scan:
    """Clip the intensities from above at the lowest grey level that at least ``share`` of all voxels do not exceed.

    Voxels of value 0 count. The grey levels are those of HiLab-git/SSL4MIS (code/dataloaders/brats_proprecessing.py),
    which calls scikit-image's cumulative_distribution. If all values are whole numbers, each value is a level.
    Otherwise there are 256 levels: the centres of equal bins over the range of the values.
    """
    values = scan.image.ravel("K")
    if (values == np.rint(values)).all():
        levels, counts = np.unique(values, return_counts=True)
        shares = counts.cumsum() / values.size
    else:
        counts, edges = np.histogram(values, BINS)
        levels, shares = (edges[:-1] + edges[1:]) / 2, (counts.cumsum() / values.size).astype(np.float32)
    high = float(levels[shares >= step.share][0])
    return replace(scan, image=np.minimum(scan.image, np.float32(high))).with_facts("clip_cumulative", {"high": high})


def rescale(scan: Scan, step: Rescale) -> Scan:
    """(x - low) / (high - low); low and high are percentiles of the whole volume. The result is not clipped to 0..1."""
    low, high = percentiles(scan.image, step.low, step.high)
    if not high > low:
        raise UserError(
            f"case {scan.case}: the image is constant ({low:g}) between its percentiles {step.low:g} and "
            f"{step.high:g}, so it cannot be rescaled: check the file and the clip range"
        )
    image = scan.image - np.float32(low)
    image /= np.float32(high - low)
    return replace(scan, image=image).with_facts("rescale", {"low": low, "high": high})


def scale(scan: Scan, step: Scale) -> Scan:
    """(x - subtract) / divide."""
    image = scan.image - np.float32(step.subtract)
    image /= np.float32(step.divide)
    return replace(scan, image=image)


def zscore(scan: Scan, step: ZScore) -> Scan:
    """(x - mean) / std with the population std, as in yulequan/UA-MT (code/dataloaders/la_heart_processing.py).

    Sums are float64. If ``step.of`` is positive, mean and std are those of the voxels above 0; they are applied to all
    voxels all the same. HiLab-git/SSL4MIS prepares BraTS in this way.
    """
    mean, std = moments(scan.image if step.of == "all" else scan.image[scan.image > 0])
    if not std > 0:
        raise UserError(f"case {scan.case}: the image is constant ({mean:g}), so it has no z-score: check the file")
    image = scan.image - np.float32(mean)
    image /= np.float32(std)
    return replace(scan, image=image).with_facts("zscore", {"mean": mean, "std": std})


def crop_label(scan: Scan, step: CropLabel) -> Scan:
    """Crop x and y to the label's bounding box, widened to ``at_least`` voxels and by a random margin per side.

    The axis z is not cropped, and a case without a label is kept whole. Each side is widened by half of max(at_least -
    (last - first), 0) and by its margin. The margins are drawn in the order low x, high x, low y, high y. The upper
    bound is exclusive. Sources: yulequan/UA-MT (code/dataloaders/la_heart_processing.py) for LA, ycwu1997/MC-Net
    (data/Pancreas/Pre-processing.ipynb) for Pancreas-CT. UA-MT drew its margins without a seed, so its crops exist only
    in the files that it distributes. MC-Net's margins are always 25.
    """
    if scan.label is None:
        return scan.with_facts("crop_label", {"kept_whole": True})
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
    """Crop to the bounding box of the nonzero voxels, without the last plane of the box along each axis.

    HiLab-git/SSL4MIS (code/dataloaders/brats_proprecessing.py) loses this plane too, because it uses the index of the
    last nonzero voxel as an exclusive upper bound.
    """
    filled = scan.image != 0
    box = [slice(*_extent(filled, along)) for along in range(3)]
    if any(side.stop <= side.start for side in box):
        raise UserError(f"case {scan.case}: the image has no box of voxels that are not 0: check the file")
    return _cropped(scan, box, "crop_nonzero", {})


def crop_middle(scan: Scan, step: CropMiddle) -> Scan:
    """Crop each axis to the middle ceil(size / spacing) voxels, size in mm.

    An axis without a size, or with fewer voxels than that, is kept.
    """
    box = []
    for side, spacing, size in zip(scan.image.shape, spacing_of(scan.affine), step.size, strict=True):
        wanted = side if size is None else min(ceil(size / spacing), side)
        box.append(slice((side - wanted) // 2, (side - wanted) // 2 + wanted))
    return _cropped(scan, box, "crop_middle", {})


def resample(scan: Scan, step: Resample) -> Scan:
    """Resample the image by splines of the given order and the label by nearest neighbour, without smoothing.

    ``semiseg.data.resampling`` describes the rules of each library. For skimage the result is clipped to the range of
    the image's values before the step, as by skimage's resize in kimjisoo12/GuidedNet (data preprocessing.py).
    """
    old = _three(scan.image.shape)
    if step.shape is not None:
        size, scales = step.shape, [a / b for a, b in zip(old, step.shape, strict=True)]
    else:
        factors = step.factor if isinstance(step.factor, tuple) else (step.factor or 1.0,) * 3
        scales = [1 / factor for factor in factors]
        if step.spacing is not None:
            scales = [new / current for new, current in zip(step.spacing, spacing_of(scan.affine), strict=True)]
        size = _three([new_size(side, ratio, step.library) for side, ratio in zip(old, scales, strict=True)])
    axes = [
        axis(side, new, ratio, step.library, step.order, lines=number == 0)
        for number, (side, new, ratio) in enumerate(zip(old, size, scales, strict=True))
    ]
    image = resampled(scan.image, axes)
    if step.library == "skimage" and image is not scan.image:
        np.clip(image, scan.image.min(), scan.image.max(), out=image)
    label = None if scan.label is None else picked(scan.label, axes)
    new_to_old = np.diag([*(one.scale for one in axes), 1.0])  # voxel indices of the new grid -> of the old grid
    new_to_old[:3, 3] = [one.start for one in axes]
    return replace(scan, image=image, label=label, affine=scan.affine @ new_to_old)


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


def _applies(only: str | None, affine: Affine) -> bool:
    """Whether a step applies to a scan with this affine: ``only`` is None, or the axes run exactly towards it.

    only: letters such as LPI. An oblique scan, whose direction cosines differ from 0 and 1 by 1e-6 or more, matches no
    letters. The script of kimjisoo12/GuidedNet is as strict: it compares SimpleITK's directions with whole numbers.
    """
    directions = affine[:3, :3] / np.array(spacing_of(affine))
    exact = np.abs(directions - np.rint(directions)).max() < 1e-6
    return only is None or (bool(exact) and only == _letters(affine))


def _letters(affine: Affine) -> str:
    """Letters of the directions towards which the axes run, such as LPI."""
    return "".join(nibabel.orientations.aff2axcodes(affine))


def _described(image: Image, affine: Affine) -> dict[str, Any]:
    """Facts of a volume for the index.

    The orientation's letters are in the order of the array's axes. Percentiles use every 4th voxel along each axis.
    """
    mean, std = moments(image)
    low, median, high = (float(value) for value in np.percentile(image[::4, ::4, ::4], (0.5, 50, 99.5)))
    return {
        "orientation": _letters(affine),
        "min": float(image.min()),
        "max": float(image.max()),
        "mean": mean,
        "std": std,
        "percentiles": {"0.5": low, "50": median, "99.5": high},
    }


def _extent(filled: NDArray[np.bool_], along: int) -> tuple[int, int]:
    """First and last index of the filled voxels along an axis; (0, 0) if no voxel is filled."""
    found = np.flatnonzero(filled.any(axis=tuple(other for other in range(3) if other != along)))
    return (int(found[0]), int(found[-1])) if found.size else (0, 0)


def _cropped(scan: Scan, box: list[slice], name: str, facts: Mapping[str, Any]) -> Scan:
    shift = np.eye(4)
    shift[:3, 3] = [side.start for side in box]
    cropped = _each_array(scan, lambda array: array[tuple(box)], scan.affine @ shift)
    start, size = [side.start for side in box], list(cropped.image.shape)
    return cropped.with_facts(name, {**facts, "start": start, "size": size})


def _each_array(scan: Scan, change: Callable[[NDArray[Any]], NDArray[Any]], affine: Affine) -> Scan:
    label = None if scan.label is None else change(scan.label)
    return replace(scan, image=change(scan.image), label=label, affine=affine)


def _three(shape: Sequence[int]) -> Three:
    a, b, c = shape
    return a, b, c
