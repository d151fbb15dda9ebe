"""The steps from a raw case to a stored one; each takes and gives a ``Scan`` and keeps voxels in their place."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import nibabel.orientations
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from semiseg.errors import UserError
from semiseg.geometry import Affine, Geometry, spacing_of
from semiseg.steps import Clip, CropLabel, Orient, Preparation, Resample, Rescale, ZScore
from semiseg.store import Image, Label, PreparedCase

Three = tuple[int, int, int]


@dataclass(frozen=True)
class Scan:
    """A case on its way: image float32 and label uint8 ``[x y z]``, affine of both, facts worth keeping."""

    case: str
    image: Image
    label: Label | None
    affine: Affine
    statistics: Mapping[str, Any] = field(default_factory=dict)

    def noting(self, step: str, facts: Mapping[str, Any]) -> "Scan":
        """The same scan with the facts of one more step."""
        return replace(self, statistics={**self.statistics, step: facts})


def run_steps(scan: Scan, preparation: Preparation, applied: frozenset[str]) -> PreparedCase:
    """Apply the steps in order, but those that the distributed files have had; store in the asked axis order.

    Raises UserError naming the case when a step cannot work on it.
    """
    raw_shape, raw_affine = _three(scan.image.shape), scan.affine
    for step in preparation.steps:
        scan = scan.noting(step.step, {"skipped": True}) if step.step in applied else STEPS[step.step](scan, step)
    image, label, affine = scan.image, scan.label, scan.affine
    if preparation.axes == "zyx":
        image, affine = image.transpose(2, 1, 0), affine[:, [2, 1, 0, 3]]
        label = None if label is None else label.transpose(2, 1, 0)
    if not np.isfinite(image).all():
        raise UserError(f"case {scan.case}: the prepared image is not finite: check the preparation's steps")
    shape = _three(image.shape)
    geometry = Geometry(shape, spacing_of(affine), affine, preparation.axes, raw_shape, raw_affine)
    return PreparedCase(image, label, geometry, scan.statistics)


def orient(scan: Scan, step: Orient) -> Scan:
    """Flip and permute axes so that they run towards the given directions; nothing is interpolated."""
    have = nibabel.orientations.io_orientation(scan.affine)
    change = nibabel.orientations.ornt_transform(have, nibabel.orientations.axcodes2ornt(step.to))
    affine = scan.affine @ nibabel.orientations.inv_ornt_aff(change, scan.image.shape)
    return _each_array(scan, lambda array: nibabel.orientations.apply_orientation(array, change), affine)


def clip(scan: Scan, step: Clip) -> Scan:
    """Intensities limited to low..high."""
    return replace(scan, image=np.clip(scan.image, np.float32(step.low), np.float32(step.high)))


def rescale(scan: Scan, step: Rescale) -> Scan:
    """(x - low) / (high - low) with percentiles of the whole volume; values beyond them leave 0..1."""
    low, high = (float(value) for value in np.percentile(scan.image, (step.low, step.high)))
    if not high > low:
        raise UserError(
            f"case {scan.case}: the image is constant ({low:g}) between its percentiles {step.low:g} and "
            f"{step.high:g}, so it cannot be rescaled: check the file and the clip range"
        )
    image = scan.image - np.float32(low)
    image /= np.float32(high - low)
    return replace(scan, image=image).noting("rescale", {"low": low, "high": high})


def zscore(scan: Scan, step: ZScore) -> Scan:
    """(x - mean) / std of the whole volume (population std, float64 sums)."""
    mean = float(scan.image.mean(dtype=np.float64))
    image = scan.image - np.float32(mean)
    squares = sum(float(np.square(plane, dtype=np.float64).sum()) for plane in image)
    std = float(np.sqrt(squares / image.size))
    if not std > 0:
        raise UserError(f"case {scan.case}: the image is constant ({mean:g}), so it has no z-score: check the file")
    image /= np.float32(std)
    return replace(scan, image=image).noting("zscore", {"mean": mean, "std": std})


def crop_label(scan: Scan, step: CropLabel) -> Scan:
    """Crop x and y to the label's box, widened to ``at_least`` and by a random margin per side; z is kept.

    As yulequan/UA-MT prepares LA: half of max(at_least - (last - first), 0) per side, margins drawn for low x, high x,
    low y, high y; the upper bound is exclusive. A case without a label has no box and is kept whole.
    """
    if scan.label is None:
        return scan.noting("crop_label", {"kept_whole": True})
    rng = np.random.default_rng([step.seed, int(hashlib.sha256(scan.case.encode()).hexdigest()[:8], 16)])
    window = [slice(None)] * 3
    margins: list[int] = []
    for axis, wanted in enumerate(step.at_least):
        others = tuple(other for other in range(3) if other != axis)
        filled = np.flatnonzero(scan.label.any(axis=others))
        first, last = int(filled[0]), int(filled[-1])
        half = max(wanted - (last - first), 0) // 2
        low, high = (int(margin) for margin in rng.integers(*step.margin, 2))
        window[axis] = slice(max(first - low - half, 0), min(last + high + half, scan.image.shape[axis]))
        margins += [low, high]
    shift = np.eye(4)
    shift[:2, 3] = [window[0].start, window[1].start]
    box = tuple(window)
    cropped = _each_array(scan, lambda array: array[box], scan.affine @ shift)
    return cropped.noting("crop_label", {"margins": margins, "start": [window[0].start, window[1].start]})


def resample(scan: Scan, step: Resample) -> Scan:
    """New grid: image by splines of the given order, label by nearest neighbour.

    scipy: the fields of view share their centre; spacing and factor are exact, sizes are rounded. simpleitk: the first
    voxel's centre stays where it is, as scripts with SetOutputOrigin(image.GetOrigin()) do. Nothing is smoothed before.
    """
    old = scan.image.shape
    if step.shape is not None:
        size, scale = step.shape, np.array(old) / np.array(step.shape)
    else:
        scale = np.array(step.spacing) / spacing_of(scan.affine) if step.spacing else np.full(3, 1 / (step.factor or 1))
        a, b, c = (max(round(side / ratio), 1) for side, ratio in zip(old, scale, strict=True))
        size = (a, b, c)
    start = np.zeros(3)
    if step.library == "scipy":
        start = (np.array(old) - 1) / 2 - scale * (np.array(size) - 1) / 2
    sample = _by_scipy if step.library == "scipy" else _by_simpleitk
    grid = np.diag([*scale, 1.0])
    grid[:3, 3] = start
    image = sample(scan.image, scale, start, size, step.order)
    label = None if scan.label is None else sample(scan.label, scale, start, size, 0)
    return replace(scan, image=image, label=label, affine=scan.affine @ grid)


STEPS: Mapping[str, Callable[[Scan, Any], Scan]] = {
    "orient": orient,
    "clip": clip,
    "resample": resample,
    "rescale": rescale,
    "zscore": zscore,
    "crop_label": crop_label,
}


def _by_scipy(array: NDArray[Any], scale: NDArray[Any], start: NDArray[Any], size: Three, order: int) -> NDArray[Any]:
    """Sample at start + scale * index. Spline coefficients stay float32: half of scipy's own memory."""
    if order > 1:
        array = ndimage.spline_filter(array, order, output=np.float32, mode="mirror")
    sampled: NDArray[Any] = ndimage.affine_transform(
        array, scale, start, output_shape=size, output=array.dtype, order=order, mode="mirror", prefilter=False
    )
    return sampled


def _by_simpleitk(
    array: NDArray[Any], scale: NDArray[Any], start: NDArray[Any], size: Three, order: int
) -> NDArray[Any]:
    import SimpleITK as sitk

    resampler = sitk.ResampleImageFilter()
    resampler.SetSize(size)
    resampler.SetOutputSpacing([float(ratio) for ratio in scale])
    resampler.SetOutputOrigin([float(value) for value in start])
    resampler.SetInterpolator({0: sitk.sitkNearestNeighbor, 1: sitk.sitkLinear, 3: sitk.sitkBSpline}[order])
    resampler.UseNearestNeighborExtrapolatorOn()
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.transpose(2, 1, 0)))
    return np.asarray(sitk.GetArrayFromImage(resampler.Execute(image)).transpose(2, 1, 0))


def _each_array(scan: Scan, change: Callable[[NDArray[Any]], NDArray[Any]], affine: Affine) -> Scan:
    label = None if scan.label is None else change(scan.label)
    return replace(scan, image=change(scan.image), label=label, affine=affine)


def _three(shape: tuple[int, ...]) -> Three:
    a, b, c = shape
    return a, b, c
