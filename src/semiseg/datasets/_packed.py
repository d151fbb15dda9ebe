"""Decoder of the packed copy of the prepared Left Atrium cases (``cases/<case>.npz``).

Such a file holds ``lut``, the distinct grey values (float32); ``residual_xz``, per voxel the difference between its
level number and a linear prediction; ``weights`` of that prediction (int32, in 1/4096; row 0 is for the first slice,
which has none before it); ``shape_zyx``; and ``label_bits_xz``. A level is predicted from the two rows above it in its
slice (seven and five neighbours) and from 5 x 5 neighbours in the slice before.
"""

import lzma
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from semiseg.base.errors import UserError

UNIT = 4096  # weights are integers in units of 1/4096
ABOVE, TWO_ABOVE = slice(1, 8), slice(8, 13)  # weights of the rows above; 0 is the constant, 13.. the slice before
Floats = NDArray[np.float64]


def read_packed(path: Path) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Image and label ``[x y z]``, bit for bit as packed. Raises UserError for a damaged file."""
    try:
        with np.load(path, allow_pickle=False) as file:
            content = {name: file[name] for name in file.files}
        shape = tuple(int(side) for side in content["shape_zyx"])
        residual = np.frombuffer(lzma.decompress(content["residual_xz"].tobytes()), np.uint8).reshape(shape)
        bits = np.frombuffer(lzma.decompress(content["label_bits_xz"].tobytes()), np.uint8)
        label = np.unpackbits(bits)[: residual.size].reshape(shape)
        image = content["lut"][_levels(residual, content["weights"].astype(np.float64))]
    except (OSError, EOFError, KeyError, ValueError, IndexError, lzma.LZMAError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} cannot be unpacked ({error}): the file is damaged, fetch it again") from None
    return np.ascontiguousarray(image.transpose(2, 1, 0)), np.ascontiguousarray(label.transpose(2, 1, 0))


def _levels(residual: NDArray[np.uint8], weights: Floats) -> NDArray[np.uint8]:
    """Undo the prediction slice by slice. Float64 holds every sum exactly: all are integers below 2**53."""
    signed = residual.astype(np.int64)
    signed = (signed >> 1) ^ -(signed & 1)  # zig-zag code: 0, -1, 1, -2, ...
    levels = np.zeros(residual.shape, np.uint8)
    for index, part in enumerate(signed):
        row = weights[min(index, 1)]
        base = np.full(part.shape, row[0] + UNIT / 2)
        if index:
            base += ndimage.correlate(levels[index - 1].astype(np.float64), row[13:].reshape(5, 5), mode="nearest")
        _fill_slice(levels[index], part, base, row)
    return levels


def _fill_slice(out: NDArray[np.uint8], signed: NDArray[Any], base: Floats, row: Floats) -> None:
    above = two_above = np.zeros(out.shape[1] + 6)
    for y in range(len(out)):
        total = (
            base[y] + np.correlate(above, row[ABOVE], "valid") + np.correlate(two_above[1:-1], row[TWO_ABOVE], "valid")
        )
        predicted = np.floor(total / UNIT).clip(0, 255).astype(np.int64)
        out[y] = (predicted + signed[y]) & 255
        above, two_above = np.pad(out[y].astype(np.float64), 3, mode="edge"), above
