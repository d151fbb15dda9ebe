"""Slices of one test case with the truth's contours and each method's, in radiological orientation."""

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray

from semiseg.report.colours import LETTER_COLOUR, ORGAN_COLOURS

Array = NDArray[Any]

PLANES = ("axial", "coronal", "sagittal")
EDGES = {"axial": "RLAP", "coronal": "RLSI", "sagittal": "APSI"}  # left, right, top, bottom of each picture
WINDOW = (0.5, 99.5)  # percentiles of the prepared image shown as black and as white
WIDTH_INCHES = 7.2
DOTS_PER_INCH = 110
MARGIN_MM = 20.0  # of the image shown around everything that is marked
GAP_MM = 12.0  # between two planes
LABEL_MM2 = 450.0  # an organ's cut surface that has room for its abbreviation
FILL = 0.35  # of the colour that marks an organ
SHADE: dict[str, Any] = {"facecolor": "black", "alpha": 0.4, "edgecolor": "none", "pad": 0.7}  # behind text on bone


@dataclass(frozen=True)
class Scan:
    """A volume ``[x y z]`` whose axes run to the patient's left, back and feet; spacing in mm along them."""

    array: Array
    spacing: tuple[float, float, float]

    def cut(self, plane: str, place: int) -> Array:
        """A slice as it is shown: rows from the top, columns from the left of the picture."""
        axis = 2 - PLANES.index(plane)
        picture: Array = np.take(self.array, place, axis).T
        return picture

    def inside(self, box: tuple[slice, slice, slice]) -> "Scan":
        """A part of the volume."""
        return Scan(self.array[box], self.spacing)

    def size_mm(self, plane: str) -> tuple[float, float]:
        """Width and height of a slice."""
        sides = [side * step for side, step in zip(self.array.shape, self.spacing, strict=True)]
        del sides[2 - PLANES.index(plane)]
        return sides[0], sides[1]


@dataclass(frozen=True)
class Scene:
    """What all pictures of a case share. organs: label id -> abbreviation, in the order of the colours."""

    image: Scan
    truth: Scan
    organs: Mapping[int, str]
    places: Mapping[str, int]

    @cached_property
    def window(self) -> tuple[float, float]:
        """Values of the image shown as black and as white."""
        low, high = np.percentile(self.image.array, WINDOW)
        return float(low), float(high)


def radiological(array: Array, affine: NDArray[np.float64]) -> Scan:
    """Flip and permute an array in any stored order; affine: its voxels -> RAS+ mm. Oblique axes go to the nearest."""
    from nibabel.orientations import apply_orientation, axcodes2ornt, io_orientation, ornt_transform

    stored = io_orientation(affine)
    change = ornt_transform(stored, axcodes2ornt(("L", "P", "I")))
    sides = np.sqrt((affine[:3, :3] ** 2).sum(0))
    x, y, z = (float(sides[np.flatnonzero(stored[:, 0] == axis)[0]]) for axis in range(3))
    return Scan(apply_orientation(array, change), (x, y, z))


def best_slices(truth: Scan, organs: Sequence[int]) -> dict[str, int]:
    """Per plane the slice that meets the most organs; of several, the one with the largest labelled area."""
    places = {}
    for plane in PLANES:
        across = tuple({0, 1, 2} - {2 - PLANES.index(plane)})
        areas = np.stack([(truth.array == organ).sum(axis=across) for organ in organs])
        places[plane] = int(np.lexsort((areas.sum(0), (areas > 0).sum(0)))[-1])
    return places


def surroundings(labels: Sequence[Scan]) -> tuple[slice, slice, slice]:
    """Box of everything that any of the label maps marks, and a margin."""
    marked = np.any([scan.array > 0 for scan in labels], axis=0)
    sides = []
    for axis, step in enumerate(labels[0].spacing):
        places = np.flatnonzero(marked.any(axis=tuple({0, 1, 2} - {axis})))
        margin = math.ceil(MARGIN_MM / step)
        sides.append(slice(max(int(places[0]) - margin, 0), int(places[-1]) + margin + 1))
    return sides[0], sides[1], sides[2]


def draw_slices(
    image: Scan, truth: Scan, predicted: Scan | None, organs: Mapping[int, str], places: Mapping[str, int]
) -> bytes:
    """PNG of the three slices: the truth with names, or (with ``predicted``) a method's contours over the truth's.

    organs: label id -> abbreviation, in the order of the colours.
    """
    scene = Scene(image, truth, organs, places)
    sizes = {plane: image.size_mm(plane) for plane in PLANES}
    total = sum(width for width, _ in sizes.values()) + GAP_MM * (len(PLANES) - 1)
    tallest = max(height for _, height in sizes.values())
    figure = Figure(figsize=(WIDTH_INCHES, WIDTH_INCHES * tallest / total), dpi=DOTS_PER_INCH, facecolor="black")
    left = 0.0
    for plane, (width, height) in sizes.items():
        axes = figure.add_axes((left / total, (1 - height / tallest) / 2, width / total, height / tallest))
        left += width + GAP_MM
        plot_slice(axes, scene, plane, predicted)
        add_directions(axes, plane)
    return _png(figure)


def plot_slice(axes: Axes, scene: Scene, plane: str, predicted: Scan | None, width: float = 1.5) -> None:
    """Fill a panel (in mm) with one slice: the truth with names, or a method's contours over the truth's white ones.

    Organs are filled faintly where no other contour would be hidden. width: of the coloured contours, points.
    """
    across, down = scene.image.size_mm(plane)
    place = scene.places[plane]
    truth = scene.truth.cut(plane, place)
    shown = truth if predicted is None else predicted.cut(plane, place)
    low, high = scene.window
    grey = np.clip((scene.image.cut(plane, place) - low) / (high - low or 1), 0, 1)
    picture = np.repeat(grey[..., None], 3, axis=-1)
    colours = dict(zip(scene.organs, organ_colours(len(scene.organs)), strict=True))
    if predicted is None:
        for organ, colour in colours.items():
            picture[shown == organ] = (1 - FILL) * picture[shown == organ] + FILL * np.array(to_rgb(colour))
    axes.imshow(picture, extent=(0.0, across, down, 0.0), interpolation="bilinear")
    step = np.array([across, down]) / shown.T.shape
    if predicted is not None:
        for organ in scene.organs:
            _add_contours(axes, truth == organ, step, "white", width / 2)
    for organ, colour in colours.items():
        _add_contours(axes, shown == organ, step, colour, width)
        if predicted is None:
            _add_name(axes, shown == organ, step, scene.organs[organ])
    axes.set(xlim=(0, across), ylim=(down, 0))
    axes.axis("off")


def add_directions(axes: Axes, plane: str, size: float = 9) -> None:
    """The patient's directions at the picture's edges; size: of the letters, points."""
    spots = ((0.015, 0.5), (0.985, 0.5), (0.5, 0.985), (0.5, 0.015))
    sides = (("left", "center"), ("right", "center"), ("center", "top"), ("center", "bottom"))
    for letter, (x, y), (across, up) in zip(EDGES[plane], spots, sides, strict=True):
        spot: dict[str, Any] = {"transform": axes.transAxes, "ha": across, "va": up, "bbox": SHADE}
        axes.text(x, y, letter, color=LETTER_COLOUR, fontsize=size, **spot)


def organ_colours(count: int) -> list[str]:
    """Colours that stand out on grey; they repeat after fifteen organs, whose names stand in the picture."""
    return [ORGAN_COLOURS[place % len(ORGAN_COLOURS)] for place in range(count)]


def _add_contours(axes: Axes, mask: Array, step: Array, colour: str, width: float) -> None:
    """Outline a mask ``[rows columns]`` half-way between voxels; step: size of a voxel, mm across and down."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return
    tight = np.pad(mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], 1).astype(np.float32)
    corner = np.array([columns[0], rows[0]]) - 0.5  # a padded voxel less, half a voxel more: its centre
    lines = [(points[:, ::-1] + corner) * step for points in _outlines(tight)]
    axes.add_collection(LineCollection(lines, colors=colour, linewidths=width), autolim=False)


def _outlines(mask: Array) -> list[Array]:
    """Closed lines ``[points 2]``, row and column, half-way between marked and unmarked voxels."""
    from skimage.measure import find_contours

    lines: list[Array] = find_contours(mask, 0.5)
    return lines


def _add_name(axes: Axes, mask: Array, step: Array, name: str) -> None:
    if mask.sum() * step.prod() < LABEL_MM2:
        return
    y, x = (places.mean() + 0.5 for places in np.nonzero(mask))
    position = (x * step[0], y * step[1])
    axes.annotate(name, position, color="white", fontsize=7, ha="center", va="center", fontweight="bold", bbox=SHADE)


def _png(figure: Figure) -> bytes:
    """The figure as PNG with a palette of 256 colours, about a third of the size of one without."""
    from PIL import Image

    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")  # type: ignore[no-untyped-call]
    file = io.BytesIO()
    picture.quantize(256, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
    return file.getvalue()
