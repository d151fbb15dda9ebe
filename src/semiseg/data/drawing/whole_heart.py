"""The seven structures of MM-WHS: chambers, myocardium and great vessels, as CT or MRI shows them.

Positions in mm from the middle of the left atrium: x to the right, y to the front, z to the head. The proportions are
textbook anatomy, drawn by hand; no patient data went into them.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from semiseg.data.drawing.canvas import Canvas, Ellipsoid, Triple, Tube, triple
from semiseg.data.drawing.heart import Heart

MYOCARDIUM, LEFT_ATRIUM, LEFT_VENTRICLE, RIGHT_ATRIUM, RIGHT_VENTRICLE, AORTA, PULMONARY_ARTERY = range(1, 8)
WALL_MM = 11.0
CENTRE: Triple = (0, 26, 2)  # of all seven together
CT: Mapping[str, float] = {
    "air": -1000, "lung": -820, "fat": -95, "muscle": 60, "bone": 300, "myocardium": 110,
    "left": 330, "right": 230, "vein": 300,
}  # fmt: skip
MR: Mapping[str, float] = {
    "air": 5, "lung": 45, "fat": 420, "muscle": 190, "bone": 240, "myocardium": 260,
    "left": 700, "right": 640, "vein": 620,
}  # fmt: skip


def paint_whole_heart(canvas: Canvas, heart: Heart, look: Mapping[str, float]) -> None:
    """Paint one patient: later tissues cover earlier ones. ``look``: tissue -> intensity, ``CT`` or ``MR``."""
    _paint_chest(canvas, heart, look)
    left, right = (look[side] * heart.rng.uniform(0.93, 1.07) for side in ("left", "right"))
    canvas.paint(heart.oval((26, 58, -30), (34, 28, 34), (0, 0, 15)), right, RIGHT_VENTRICLE)
    canvas.paint(heart.oval((50, 18, -8), (23, 27, 31)), right, RIGHT_ATRIUM)
    ventricle = heart.oval((-34, 44, -34), (25, 33, 29), (0, 0, 30))
    wall = replace(ventricle, radii=triple(np.array(ventricle.radii) + WALL_MM))
    canvas.paint(wall, look["myocardium"], MYOCARDIUM)
    canvas.paint(ventricle, left, LEFT_VENTRICLE)
    cavity, veins = heart.atrium()
    for vein in veins:
        canvas.paint(vein, look["vein"])
    canvas.paint(cavity, left, LEFT_ATRIUM, canvas.label != MYOCARDIUM)
    artery = Tube([(10, 62, -2), (-8, 52, 28), (-20, 28, 42), (-34, 8, 46)], [14, 15, 14, 11])
    canvas.paint(artery, look["fat"], grow=2)
    canvas.paint(artery, right, PULMONARY_ARTERY)
    aorta = Tube([(-6, 30, -2), (6, 36, 24), (12, 38, 74)], [14, 16, 16])
    canvas.paint(aorta, look["myocardium"], grow=2)
    canvas.paint(aorta, left, AORTA)
    canvas.drop_islands(0.1)


def _paint_chest(canvas: Canvas, heart: Heart, look: Mapping[str, float]) -> None:
    x, y, _ = canvas.points
    canvas.image[:] = look["air"]
    depth = -Ellipsoid((0, 8, 0), (160, 112, 4000), power=2.3).level(canvas.points)
    for skin, tissue in ((0.0, "fat"), (heart.rng.uniform(8, 18), "muscle"), (heart.rng.uniform(22, 30), "lung")):
        canvas.image[depth > skin] = look[tissue]
    canvas.paint(Ellipsoid((0, -86, 0), (34, 26, 4000)), look["muscle"])
    canvas.image[np.hypot(x, y + 68) < 19] = look["bone"]
    canvas.paint(heart.oval((-2, 28, 0), (78, 66, 74), (0, 0, 20)), look["fat"])
    canvas.paint(heart.oval((-24, -44, 0), (11.5, 11.5, 4000)), look["left"])
