"""The abdomen of the phantom: where organs lie, how they vary, and how they look in late arterial CT.

Positions in mm from the middle of the body at the first lumbar vertebra: x to the right, y to the front, z to the head.
The proportions are textbook anatomy, drawn by hand; no patient data went into them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from semiseg.data.drawing.canvas import Canvas, Ellipsoid, Shape, Triple, Tube, Union, smooth_field, triple

Mask = NDArray[np.bool_]

AIR, LUNG, FAT, MUSCLE, MARROW, CORTEX = -1000.0, -850.0, -100.0, 55.0, 170.0, 420.0
ORGAN_HU: Mapping[str, float] = {
    "liver": 100, "kidney": 205, "spleen": 138, "pancreas": 82, "aorta": 250, "cava": 165, "adrenal": 72, "bile": 5,
    "oesophagus": 40, "gut_wall": 58, "vein": 160, "heart": 220,
}  # fmt: skip
LIVER, R_KIDNEY, SPLEEN, PANCREAS, AORTA, CAVA, R_ADRENAL, L_ADRENAL = range(1, 9)
GALLBLADDER, OESOPHAGUS, STOMACH, DUODENUM, L_KIDNEY = range(9, 14)
WITHOUT_GALLBLADDER = 0.2  # fraction of cases, as after surgery


class Patient:
    """Random anatomy of one case: shifts, sizes, rotations and contrast around textbook values."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        phase = rng.normal(1.0, 0.06)
        self.hu = {name: value * phase + rng.normal(0, 5) for name, value in ORGAN_HU.items()}
        self.fat_mm = rng.uniform(8, 22)
        self.gallbladder = rng.random() >= WITHOUT_GALLBLADDER

    def oval(self, centre: Triple, radii: Triple, angles: Triple = (0, 0, 0), power: float = 2.0) -> Ellipsoid:
        """An ellipsoid with this case's own position, size and rotation."""
        shift, growth = self.rng.normal(0, 3.0, 3), np.exp(self.rng.normal(0, 0.06, 3))
        turn = self.rng.normal(0, 5.0, 3)
        return Ellipsoid(triple(centre + shift), triple(radii * growth), triple(angles + turn), power)

    def tube(self, path: Sequence[Triple], radii: Sequence[float], spread: float = 1.5, squash: float = 1.0) -> Tube:
        """A tube with this case's own course and width."""
        course = np.array(path) + self.rng.normal(0, 1.5 * spread, 3) + self.rng.normal(0, spread, (len(path), 3))
        width = np.array(radii) * np.exp(self.rng.normal(0, 0.08))
        return Tube([triple(point) for point in course], [float(r) for r in width], squash)


def paint_abdomen(canvas: Canvas, patient: Patient, veins: int = 0) -> None:
    """Paint one patient: later tissues cover earlier ones. ``veins``: label id of the portal and splenic veins."""
    canvas.image[:] = AIR
    cavity, below = _paint_frame(canvas, patient)
    _paint_bowel(canvas, patient, cavity & below)
    _paint_liver(canvas, patient, cavity & below)
    _paint_stomach_and_spleen(canvas, patient, cavity & below)
    _paint_vessels(canvas, patient, veins)
    _paint_kidneys(canvas, patient)
    _paint_upper_gut(canvas, patient, cavity)


def add_scanner(canvas: Canvas, rng: np.random.Generator) -> NDArray[np.int16]:
    """The image as a scanner would give it, HU: with partial volume, tissue texture and noise."""
    image = ndimage.gaussian_filter(canvas.image, (0.6, 0.6, 0.4))
    texture = ndimage.gaussian_filter(rng.normal(size=image.shape).astype(np.float32), (1.2, 1.2, 0.6))
    noise = ndimage.gaussian_filter(rng.normal(size=image.shape).astype(np.float32), (0.5, 0.5, 0.0))
    sigma = rng.uniform(7, 12)
    tissue = np.clip((image + 900) / 400, 0.15, 1)  # air and lung have less noise
    image += tissue * (6 / texture.std() * texture + sigma / noise.std() * noise)
    return np.asarray(np.clip(np.rint(image), -1024, 2000), np.int16)


def _paint_frame(canvas: Canvas, patient: Patient) -> tuple[Mask, Mask]:
    """Skin, fat, wall, ribs, spine, lungs and heart; returns the cavity and what lies below the diaphragm."""
    x, y, z = canvas.points
    body = Ellipsoid((0, 0, 0), (152, 106, 4000), power=2.35)
    depth = -body.level(canvas.points)  # mm below the skin
    couch = (np.abs(y + 128 - x * x / 1500) < 3) & (depth < 0)
    canvas.image[couch] = -250
    canvas.image[depth > 0] = FAT
    wall = patient.fat_mm * (1 + 0.25 * np.clip(y / 100, -1, 1)) - 3
    canvas.image[depth > wall] = MUSCLE
    cavity = depth > wall + 12
    canvas.image[cavity] = FAT
    rib = (np.mod(z + 0.42 * y + patient.rng.uniform(0, 26), 26) < 9) & (np.abs(depth - wall - 6) < 4.5)
    rib &= z > -70 + 0.62 * (y + 100)
    canvas.image[rib] = 0.6 * CORTEX
    dome = 88 + 5 * np.tanh(x / 30) + patient.rng.normal(0, 4)
    dome -= 50 * (np.clip(np.abs(x) - 50, 0, None) / 75) ** 2 + 50 * (np.clip(np.abs(y - 5) - 20, 0, None) / 80) ** 2
    _paint_chest(canvas, patient, cavity & (z > dome + 3))
    canvas.image[cavity & (np.abs(z - dome) < 3)] = MUSCLE
    _paint_spine(canvas, patient)
    return cavity, z < dome - 2


def _paint_chest(canvas: Canvas, patient: Patient, chest: Mask) -> None:
    lung = LUNG + 40 * smooth_field(patient.rng, chest.shape, 1.0, 14, 1)[0]
    canvas.image[chest] = lung[chest]
    canvas.paint(Ellipsoid((-6, -15, 120), (34, 48, 70)), 20, within=chest)
    canvas.paint(patient.oval((-22, 28, 122), (62, 46, 40), (0, 15, 20)), 25, within=chest, grow=4)
    canvas.paint(patient.oval((-22, 28, 122), (58, 42, 36), (0, 15, 20)), patient.hu["heart"], within=chest)


def _paint_spine(canvas: Canvas, patient: Patient) -> None:
    x, y, z = canvas.points
    for side in (-1, 1):
        canvas.paint(Ellipsoid((side * 36, -76, 0), (30, 19, 4000)), MUSCLE)
        canvas.paint(
            patient.tube([(side * 28, -50, 15), (side * 38, -44, -50), (side * 50, -38, -140)], [8, 17, 24]), MUSCLE
        )
    phase = np.mod(z + patient.rng.uniform(0, 34), 34)
    processes = (np.abs(y + 70) < 5) & (np.abs(x) < 40) & (phase > 12) & (phase < 22)
    arch = (np.hypot(x, y + 78) < 16) | ((np.abs(x) < 4) & (y > -108) & (y < -84) & (phase < 24))
    canvas.image[processes | arch] = 0.75 * CORTEX
    canvas.image[np.hypot(x, y + 78) < 9.5] = 30
    column = np.hypot(x / 23, (y + 50) / 19) * 20
    canvas.image[column < 20] = np.where(phase > 28, 85, CORTEX)[column < 20]
    canvas.image[(column < 17) & (phase > 2) & (phase < 26)] = MARROW


def _paint_bowel(canvas: Canvas, patient: Patient, cavity: Mask) -> None:
    """Colon and small bowel: unlabelled neighbours of the organs, with gas, stool or fluid."""
    rng = patient.rng
    colon = [
        patient.tube([(98, -12, -140), (100, -5, -80), (94, 10, -38)], [21, 22, 19], 4),
        patient.tube(
            [(94, 20, -38), (55, 62, -46), (0, 72, -50), (-60, 60, -30), (-100, 5, 5)], [18, 17, 16, 16, 15], 6
        ),
        patient.tube([(-104, -15, 5), (-108, -20, -60), (-100, -10, -140)], [14, 14, 15], 4),
    ]
    small = []
    for _ in range(26):
        start = np.array([rng.uniform(-80, 75), rng.uniform(-5, 62), rng.uniform(-135, -48)])
        turns = start + np.cumsum(rng.normal(0, 22, (3, 3)) * (1.2, 0.8, 0.7), 0)
        small.append(patient.tube([triple(point) for point in turns], [rng.uniform(9, 13)] * 3))
    for loop in [*small, *colon]:
        content = rng.choice([25.0, 40.0, 10.0, -650.0] if loop in small else [-750.0, 5.0, -150.0])
        canvas.paint(loop, patient.hu["gut_wall"], within=cavity)
        canvas.paint(loop, content, within=cavity, grow=-3.5)


def _paint_liver(canvas: Canvas, patient: Patient, cavity: Mask) -> None:
    hu, rng = patient.hu["liver"], patient.rng
    liver = Union(
        [
            patient.oval((70, 0, 32), (70, 82, 66), (0, -8, 0), 2.3),
            patient.oval((96, -4, -22), (38, 56, 50)),
            patient.oval((2, 44, 52), (78, 34, 28), (0, -10, -8)),
        ],
        soft=16,
    )
    canvas.paint(liver, hu, LIVER, cavity)
    inside = canvas.label == LIVER
    for _ in range(9):
        start = np.array([rng.uniform(20, 60), rng.uniform(-15, 25), rng.uniform(20, 60)])
        end = start + rng.normal(0, 1, 3) * (45, 45, 30)
        vein = Tube([triple(start), triple((start + end) / 2 + rng.normal(0, 6, 3)), triple(end)], [5.0, 3.5, 2.0])
        canvas.paint(vein, hu + 28, LIVER, inside)
    for _ in range(rng.poisson(0.6)):
        spot = Ellipsoid(triple(np.array([70, 0, 30]) + rng.normal(0, 30, 3)), (float(rng.uniform(4, 12)),) * 3)
        canvas.paint(spot, rng.choice([5.0, 60.0]), LIVER, inside)


def _paint_stomach_and_spleen(canvas: Canvas, patient: Patient, cavity: Mask) -> None:
    rng, wall = patient.rng, patient.hu["gut_wall"]
    canvas.paint(patient.oval((-88, -38, 42), (28, 50, 47), (12, 0, 22), 2.2), patient.hu["spleen"], SPLEEN, cavity)
    course: list[Triple] = [(-46, 6, 66), (-54, 20, 46), (-52, 42, 22), (-26, 54, 4), (8, 48, 0), (32, 34, 8)]
    stomach = patient.tube(course, [31, 30, 26, 22, 17, 12], 3)
    canvas.paint(stomach, FAT, 0, cavity, grow=3)
    canvas.paint(stomach, wall, STOMACH, cavity)
    content = float(rng.choice([20.0, 35.0, 45.0, 140.0], p=[0.35, 0.35, 0.2, 0.1]))
    canvas.paint(stomach, content, STOMACH, cavity, grow=-5)
    level = rng.uniform(38, 60)  # gas rises to the front of a patient lying on the back
    canvas.paint(stomach, -880, STOMACH, cavity & (canvas.points[1] > level), grow=-5)


def _paint_vessels(canvas: Canvas, patient: Patient, veins: int) -> None:
    vein = patient.hu["vein"]
    portal = patient.tube([(14, 12, -90), (14, 13, -30), (15, 11, 2), (32, 8, 18), (54, 6, 32)], [6, 6, 7, 7, 5])
    splenic = patient.tube([(15, 7, 3), (-20, 4, 12), (-52, -14, 24), (-84, -30, 34)], [5, 4.5, 4, 4])
    artery = patient.tube([(-8, -12, 6), (-6, 2, -16), (-4, 8, -90)], [4, 4, 4])
    renal = patient.tube([(44, -42, -18), (16, -20, -10), (-6, -7, -8), (-42, -44, -4)], [4.5, 5, 4, 4.5])
    arterial = patient.hu["aorta"]
    for vessel, hu, label in ((portal, vein, veins), (splenic, vein, veins), (artery, arterial, 0), (renal, vein, 0)):
        canvas.paint(vessel, FAT, grow=3)
        canvas.paint(vessel, hu, label)
    cava = patient.tube(
        [(22, -2, 125), (23, -6, 92), (22, -12, 58), (19, -18, 18), (18, -20, -40), (15, -22, -140)],
        [12, 12.5, 12, 11.5, 11, 10.5],
    )
    aorta = patient.tube(
        [(-27, -34, 140), (-24, -31, 92), (-12, -22, 48), (-9, -20, 0), (-8, -20, -60), (-6, -21, -140)],
        [13, 12.5, 11.5, 10.5, 9.5, 9],
    )
    canvas.paint(cava, patient.hu["cava"], CAVA)
    canvas.paint(aorta, FAT, grow=2.5)
    canvas.paint(aorta, patient.hu["aorta"], AORTA)


def _paint_kidneys(canvas: Canvas, patient: Patient) -> None:
    """Kidneys in their fat capsule with the adrenal glands above."""
    for side, height, kidney, adrenal in ((1, -22, R_KIDNEY, R_ADRENAL), (-1, -8, L_KIDNEY, L_ADRENAL)):
        shape = patient.oval((side * 64.0, -46.0, height), (27, 25, 53), (10, -side * 12.0, side * 20.0))
        behind = canvas.label != AORTA
        canvas.paint(shape, FAT, 0, behind, grow=8)
        canvas.paint(shape, patient.hu["kidney"], kidney, behind)
        canvas.paint(replace(shape, radii=triple(np.array(shape.radii) * 0.62)), patient.hu["kidney"] - 38, kidney)
        hilum = triple(np.add(shape.centre, (-side * 13.0, 5.0, 0.0)))
        canvas.paint(Ellipsoid(hilum, (14, 9, 20), shape.angles), -40)
        gland = _adrenal(patient, side)
        canvas.paint(gland, FAT, 0, (canvas.label != AORTA) & (canvas.label != CAVA), grow=5)
        canvas.paint(gland, patient.hu["adrenal"], adrenal, canvas.label == 0)


def _adrenal(patient: Patient, side: int) -> Shape:
    """Two limbs like an inverted Y; the left one lies lower and further from the middle."""
    if side > 0:
        top, middle, ends = (27.0, -32.0, 54.0), (31.0, -37.0, 42.0), ((41.0, -52.0, 28.0), (31.0, -56.0, 28.0))
    else:
        top, middle, ends = (-32.0, -22.0, 46.0), (-34.0, -30.0, 36.0), ((-46.0, -42.0, 20.0), (-33.0, -46.0, 20.0))
    shift = patient.rng.normal(0, 2.0, 3)
    limbs = [[triple(np.array(point) + shift) for point in (top, middle, end)] for end in ends]
    width = float(np.exp(patient.rng.normal(0, 0.1)))
    return Union([Tube(limb, [5.2 * width, 5.6 * width, 4.6 * width]) for limb in limbs], soft=2)


def _paint_upper_gut(canvas: Canvas, patient: Patient, cavity: Mask) -> None:
    """Pancreas, duodenum around its head, gallbladder, oesophagus."""
    rng, free = patient.rng, cavity & (canvas.label != AORTA) & (canvas.label != CAVA)
    pancreas = patient.tube(
        [(34, 6, -18), (26, 12, -2), (4, 20, 6), (-28, 14, 14), (-74, -16, 30)], [17, 15, 12, 13, 11], 2.5
    )
    canvas.paint(pancreas, FAT, 0, free, grow=3)
    canvas.paint(pancreas, patient.hu["pancreas"], PANCREAS, free)
    course: list[Triple] = [
        (36, 32, 8), (52, 18, 4), (58, 6, -18), (52, 2, -46), (24, 4, -58), (-12, 4, -57), (-30, 10, -40),
    ]  # fmt: skip
    duodenum = patient.tube(course, [12, 12, 12.5, 12.5, 11, 11, 11], 2)
    canvas.paint(duodenum, FAT, 0, free & (canvas.label != PANCREAS), grow=2)
    canvas.paint(duodenum, patient.hu["gut_wall"], DUODENUM, free)
    canvas.paint(duodenum, float(rng.choice([20.0, 35.0, 60.0])), DUODENUM, free, grow=-4)
    if patient.gallbladder:
        bladder = patient.oval((60, 46, -14), (15, 17, 27), (25, 0, 0))
        canvas.paint(bladder, patient.hu["gut_wall"], GALLBLADDER, cavity, grow=1)
        canvas.paint(bladder, patient.hu["bile"], GALLBLADDER, cavity, grow=-1)
    gullet = patient.tube([(-6, -14, 140), (-9, -10, 96), (-20, -4, 80), (-42, -2, 70)], [9.5, 9.5, 10, 10])
    open_way = (canvas.label != AORTA) & (canvas.label != STOMACH)
    canvas.paint(gullet, FAT, 0, open_way & (canvas.label != LIVER), grow=2)
    canvas.paint(gullet, patient.hu["oesophagus"], OESOPHAGUS, open_way)
