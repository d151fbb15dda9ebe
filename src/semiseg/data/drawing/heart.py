"""The chest of the MRI phantom: a left atrium with its veins among the other chambers, as late enhancement shows it.

Positions in mm from the middle of the left atrium: x to the right, y to the front, z to the head. Grey values are
arbitrary, as in MRI. The proportions are textbook anatomy, drawn by hand; no patient data went into them.
"""

import numpy as np
from numpy.typing import NDArray

from semiseg.data.drawing.canvas import Canvas, Ellipsoid, Shape, Triple, Tube, Union, smooth_field, triple

ATRIUM = 1
AIR, LUNG, FAT, MUSCLE, BONE, BLOOD, SCAR = 4.0, 35.0, 190.0, 120.0, 150.0, 300.0, 420.0


class Heart:
    """Random anatomy of one case around textbook values."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.growth = float(0.9 * np.exp(rng.normal(0, 0.09)))

    def oval(self, centre: Triple, radii: Triple, angles: Triple = (0, 0, 0)) -> Ellipsoid:
        """An ellipsoid with this case's own position, size and rotation."""
        size = np.array(radii) * self.growth * np.exp(self.rng.normal(0, 0.07, 3))
        turn = np.array(angles) + self.rng.normal(0, 8, 3)
        return Ellipsoid(triple(np.array(centre) + self.rng.normal(0, 2, 3)), triple(size), triple(turn))

    def atrium(self) -> tuple[Shape, list[Tube]]:
        """The labelled cavity with the mouths of its veins, and the veins beyond them."""
        rng = self.rng
        parts: list[Shape] = [self.oval((0, 0, 0), (33, 20, 25)), self.oval((4, 6, -6), (26, 20, 20))]
        parts.append(Tube([(-22, 8, 8), (-36, 18, 12), (-42, 28, 10)], [9, 8, 6]))  # appendage
        beyond = []
        for side, height in ((-1, 13), (-1, -9), (1, 14), (1, -8)):
            root = np.array([side * 24.0, -8.0, height]) * self.growth
            mouth = root + np.array([side * 12.0, -6.0, 2.0]) + rng.normal(0, 2.5, 3)
            end = mouth + np.array([side * 34.0, -12.0, np.sign(height) * 8.0]) + rng.normal(0, 6, 3)
            width = rng.uniform(5.5, 8.5)
            parts.append(Tube([triple(root), triple(mouth)], [width + 2, width]))
            beyond.append(Tube([triple(mouth), triple(end)], [width, width * 0.6]))
        return Union(parts, soft=7), beyond


def paint_heart(canvas: Canvas, heart: Heart) -> None:
    """Paint one patient: later tissues cover earlier ones."""
    x, y, _ = canvas.points
    rng = heart.rng
    depth = -Ellipsoid((0, 8, 0), (160, 112, 4000), power=2.3).level(canvas.points)
    for skin, value in ((0.0, FAT), (rng.uniform(8, 18), MUSCLE), (rng.uniform(22, 30), LUNG)):
        canvas.image[depth > skin] = value
    canvas.paint(Ellipsoid((0, -86, 0), (34, 26, 4000)), MUSCLE)
    canvas.image[np.hypot(x, y + 68) < 19] = BONE
    canvas.paint(heart.oval((-6, 22, -8), (66, 58, 62), (0, 0, 20)), FAT)
    _paint_chambers(canvas, heart)
    cavity, veins = heart.atrium()
    scar = smooth_field(rng, canvas.image.shape, 1.0, 9, 1)[0]
    box, wall = canvas.inside(cavity, grow=2.8)
    canvas.image[box][wall] = np.where(scar > 0.9, SCAR, MUSCLE + 40)[box][wall]
    blood = BLOOD * rng.uniform(0.85, 1.05)
    for vein in veins:
        canvas.paint(vein, blood)
    canvas.paint(cavity, blood, ATRIUM)


def _paint_chambers(canvas: Canvas, heart: Heart) -> None:
    """Neighbours of the same brightness, so that intensity alone does not give the atrium's border."""
    blood = BLOOD * heart.rng.uniform(0.85, 1.1, 5)
    left = heart.oval((-36, 44, -34), (30, 38, 34), (0, 0, 30))
    canvas.paint(left, MUSCLE, grow=9)
    canvas.paint(left, blood[0])
    right = heart.oval((22, 58, -30), (36, 26, 34), (0, 0, 15))
    canvas.paint(right, MUSCLE, grow=4)
    canvas.paint(right, blood[1])
    atrium = heart.oval((50, 22, -6), (22, 25, 30))
    canvas.paint(atrium, MUSCLE + 30, grow=3)
    canvas.paint(atrium, blood[2])
    root = Tube([(-8, 30, -20), (4, 30, 12), (12, 34, 70)], [14, 15, 15])
    canvas.paint(root, MUSCLE + 30, grow=2.5)
    canvas.paint(root, blood[3])
    canvas.paint(Tube([(30, 12, 25), (26, 14, 80)], [10, 9]), blood[2])
    down = heart.oval((-24, -44, 0), (11.5, 11.5, 4000))
    canvas.paint(down, MUSCLE + 20, grow=2.5)
    canvas.paint(down, blood[4])
    canvas.paint(heart.oval((-4, -31, 0), (8, 5.5, 4000)), MUSCLE)


def add_coil(canvas: Canvas, rng: np.random.Generator) -> NDArray[np.int16]:
    """The image as a scanner would give it: with uneven receiver coils and Rician noise, grey values from 0."""
    bias = np.exp(smooth_field(rng, canvas.image.shape, 0.22, 4, 1)[0])
    signal = canvas.image * bias + 10 * rng.normal(size=canvas.image.shape).astype(np.float32)
    real, imaginary = rng.normal(0, rng.uniform(18, 28), (2, *canvas.image.shape)).astype(np.float32)
    return np.asarray(np.rint(np.hypot(signal + real, imaginary)), np.int16)
