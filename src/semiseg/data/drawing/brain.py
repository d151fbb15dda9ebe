"""Phantom of a skull-stripped brain with a glioma, as MRI: FLAIR, T1, T1 with contrast agent, T2.

Positions are in mm from the middle of the brain: x to the right, y to the front, z to the head. Grey values are
arbitrary. Shapes and grey values were chosen by hand; no patient data went into them.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from semiseg.data.drawing.canvas import Canvas, Ellipsoid, smooth_field, triple

CORE, OEDEMA, ENHANCING = 1, 2, 4
GreyValues = Mapping[str, float]  # tissue -> intensity
FLAIR: GreyValues = {"grey": 330, "white": 260, "fluid": 60, "core": 280, "oedema": 560, "enhancing": 480}
T1: GreyValues = {"grey": 300, "white": 400, "fluid": 110, "core": 210, "oedema": 290, "enhancing": 280}
T1CE: GreyValues = {"grey": 310, "white": 410, "fluid": 110, "core": 200, "oedema": 290, "enhancing": 760}
T2: GreyValues = {"grey": 380, "white": 280, "fluid": 800, "core": 620, "oedema": 640, "enhancing": 480}


def draw_tissues(canvas: Canvas, rng: np.random.Generator) -> list[tuple[str, NDArray[np.bool_]]]:
    """Names and masks of the tissues of one random patient; where masks overlap, the later tissue counts.

    The label ids of the tumour's parts are written into ``canvas.label``.
    """
    brain = Ellipsoid((0, 0, 0), (66, 84, 58), power=2.2)
    folds = 5 * smooth_field(rng, canvas.image.shape, 1.0, 16, 1)[0]
    depth = -brain.level(canvas.points)
    tissues = [("grey", depth > 0), ("white", depth > 9 + folds)]
    for side in (-1, 1):
        ventricle = Ellipsoid((side * 14.0, 4, 8), (8, 30, 11), (0, 0, -side * 12.0))
        tissues.append(("fluid", ventricle.level(canvas.points) < 0))
    side = rng.choice([-1, 1])
    centre = triple(np.array([side * 32.0, 10.0, 8.0]) + rng.normal(0, (5, 16, 8)))
    size, angles = np.exp(rng.normal(0, 0.12, 3)), triple(rng.normal(0, 25, 3))
    rough = 3 * smooth_field(rng, canvas.image.shape, 1.0, 12, 1)[0]
    for name, radii, label in (
        ("oedema", (25.0, 28.0, 24.0), OEDEMA),
        ("enhancing", (16.0, 17.0, 15.0), ENHANCING),
        ("core", (10.0, 11.0, 9.0), CORE),
    ):
        blob = Ellipsoid(centre, triple(np.array(radii) * size), angles)
        inside = (blob.level(canvas.points) < rough) & (depth > 2)
        canvas.label[inside] = label
        tissues.append((name, inside))
    return tissues


def contrast(tissues: list[tuple[str, NDArray[np.bool_]]], grey_values: GreyValues) -> NDArray[np.float32]:
    """Image of one MRI sequence without noise: the grey value of each tissue, and 0 outside the brain."""
    image = np.zeros(tissues[0][1].shape, np.float32)
    for name, voxels in tissues:
        image[voxels] = grey_values[name]
    return image


def add_coil(image: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.int16]:
    """Image with blur, a bias field and noise, as measured by the coils of a scanner.

    Grey values are 1 to 4000 in the brain and 0 outside.
    """
    brain = image > 0
    bias = np.exp(smooth_field(rng, image.shape, 0.12, 4, 1)[0])
    measured = ndimage.gaussian_filter(image, 0.5) * bias + rng.normal(0, 12, image.shape)
    return np.asarray(np.where(brain, np.clip(np.rint(measured), 1, 4000), 0), np.int16)
