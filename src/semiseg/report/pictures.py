"""Slices of one test case with the truth's contours and each method's, in radiological orientation."""

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

Array = NDArray[Any]

PLANES = ("axial", "coronal", "sagittal")
EDGES = {"axial": "RLAP", "coronal": "RLSI", "sagittal": "APSI"}  # left, right, top, bottom of each picture
ORGAN_COLOURS = (
    "#56B4E9", "#E69F00", "#F0E442", "#00C08B", "#D55E00", "#CC79A7", "#5B9BFF",
    "#BBCC33", "#FFAABB", "#99DDFF", "#EE8866", "#C9A27C", "#B58CFF", "#AAAA00", "#44BB99",
)  # fmt: skip
WINDOW = (0.5, 99.5)  # percentiles of the prepared image shown as black and as white
WIDTH_INCHES = 7.2
DOTS_PER_INCH = 110
MARGIN_MM = 20.0  # of the image shown around everything that is marked
GAP_MM = 12.0  # between two planes
LABEL_MM2 = 450.0  # an organ's cut surface that has room for its abbreviation


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
    low, high = np.percentile(image.array, WINDOW)
    sizes = {plane: image.size_mm(plane) for plane in PLANES}
    total = sum(width for width, _ in sizes.values()) + GAP_MM * (len(PLANES) - 1)
    tallest = max(height for _, height in sizes.values())
    figure = Figure(figsize=(WIDTH_INCHES, WIDTH_INCHES * tallest / total), facecolor="black")
    left = 0.0
    for plane, (width, height) in sizes.items():
        axes = figure.add_axes((left / total, (1 - height / tallest) / 2, width / total, height / tallest))
        left += width + GAP_MM
        frame = (0.0, width, height, 0.0)
        slice_ = image.cut(plane, places[plane])
        axes.imshow(slice_, "gray", vmin=low, vmax=high, extent=frame, interpolation="bilinear")
        for (organ, name), colour in zip(organs.items(), organ_colours(len(organs)), strict=True):
            mask = truth.cut(plane, places[plane]) == organ
            if predicted is None:
                _contour(axes, mask, frame, colour, 1.5, fill=0.35)
                _name(axes, mask, frame, name)
            else:
                _contour(axes, mask, frame, "white", 0.8)
                _contour(axes, predicted.cut(plane, places[plane]) == organ, frame, colour, 1.5)
        axes.set(xlim=frame[:2], ylim=frame[2:])
        axes.axis("off")
        _edges(axes, plane)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DOTS_PER_INCH, facecolor="black", metadata={"Software": None})
    return _compact(buffer)


def organ_colours(count: int) -> list[str]:
    """Colours that stand out on grey; they repeat after fifteen organs, whose names stand in the picture."""
    return [ORGAN_COLOURS[place % len(ORGAN_COLOURS)] for place in range(count)]


def _centres(mask: Array, frame: tuple[float, float, float, float]) -> tuple[Array, Array]:
    """Positions of the voxel centres in mm, columns and rows."""
    rows, columns = mask.shape
    return (np.arange(columns) + 0.5) * frame[1] / columns, (np.arange(rows) + 0.5) * frame[2] / rows


def _contour(
    axes: Axes, mask: Array, frame: tuple[float, float, float, float], colour: str, width: float, fill: float = 0.0
) -> None:
    if not mask.any():
        return
    across, down = _centres(mask, frame)
    field = mask.astype(float)
    if fill:
        axes.contourf(across, down, field, levels=[0.5, 1.5], colors=[colour], alpha=fill)
    axes.contour(across, down, field, levels=[0.5], colors=[colour], linewidths=width)


def _name(axes: Axes, mask: Array, frame: tuple[float, float, float, float], name: str) -> None:
    rows, columns = mask.shape
    if mask.sum() * (frame[1] / columns) * (frame[2] / rows) < LABEL_MM2:
        return
    across, down = _centres(mask, frame)
    y, x = (places.mean() for places in np.nonzero(mask))
    position = np.interp(x, np.arange(columns), across), np.interp(y, np.arange(rows), down)
    axes.annotate(name, position, color="white", fontsize=7, ha="center", va="center", fontweight="bold")


def _edges(axes: Axes, plane: str) -> None:
    """The patient's directions at the picture's edges."""
    spots = ((0.015, 0.5), (0.985, 0.5), (0.5, 0.985), (0.5, 0.015))
    sides = (("left", "center"), ("right", "center"), ("center", "top"), ("center", "bottom"))
    for letter, (x, y), (across, up) in zip(EDGES[plane], spots, sides, strict=True):
        axes.text(x, y, letter, transform=axes.transAxes, color="#FFE27A", fontsize=9, ha=across, va=up)


def _compact(png: io.BytesIO) -> bytes:
    """The picture with a palette of 256 colours, about a third of the size."""
    from PIL import Image

    smaller = io.BytesIO()
    Image.open(png).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(smaller, "PNG", optimize=True)
    return smaller.getvalue()
