"""A CT scan on a grid of other spacing, cubic spline, by semiseg and by SimpleITK's own filter: the same image.

Costs are processor time of one thread, in seconds. The new grid lies inside the old one, where both have the same rule
(``semiseg.data.resampling.axis``, library simpleitk). The floor is one copy of the new volume.
"""

import sys
import time

import numpy as np
import SimpleITK as sitk
from measuring import Row, alternate, main

from semiseg.data.resampling import axis, new_size, resampled

SHAPE, SPACING, TARGET, TOLERANCE = (256, 256, 100), (0.8, 0.8, 2.5), (1.2, 1.2, 3.0), 1e-3


def rows(tiny: bool) -> list[Row]:
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    shape = (24, 20, 12) if tiny else SHAPE
    rng = np.random.default_rng(0)
    image = np.asfortranarray(rng.normal(0, 100, shape).astype(np.float32))
    scales = [new / old for new, old in zip(TARGET, SPACING, strict=True)]
    sizes = [new_size(side, scale, "simpleitk") for side, scale in zip(shape, scales, strict=True)]

    def ours() -> np.ndarray:
        axes = [axis(old, new, by, "simpleitk", 3) for old, new, by in zip(shape, sizes, scales, strict=True)]
        return resampled(image, axes)

    source = sitk.GetImageFromArray(image.transpose(2, 1, 0))
    source.SetSpacing(SPACING)

    def theirs() -> np.ndarray:
        found = sitk.Resample(source, sizes, sitk.Transform(), sitk.sitkBSpline, (0, 0, 0), TARGET, np.eye(3).ravel())
        return sitk.GetArrayFromImage(found).transpose(2, 1, 0)

    mine = ours()
    if (difference := float(np.abs(mine - theirs()).max() / np.ptp(image))) > TOLERANCE:
        sys.exit(f"images differ by up to {difference:g} of their range")
    costs = alternate(ours, theirs, mine.copy, repeats=1 if tiny else 7, clock=time.process_time)
    return [Row("resample a CT scan: s", *costs[:2], "SimpleITK, cubic", costs[2], "copy of the result")]


if __name__ == "__main__":
    main(rows)
