"""Figures as files: PNG, SVG and PDF, whole or not there; equal content has equal bytes."""

import base64
import io
import textwrap
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from semiseg.base.files import atomic
from semiseg.report.charts import STYLE

DOTS_PER_INCH = 200  # of PNG files, and of slices and 3D views within SVG and PDF
FILE_STYLE: dict[Any, Any] = {**STYLE, "pdf.fonttype": 42}  # text stays text in every form
LETTERS_PER_INCH = 13  # of a heading
UNDATED: dict[str, dict[str, Any]] = {
    ".png": {"Software": None},
    ".svg": {"Date": None, "Creator": None},
    ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


def add_heading(figure: Figure, *sentences: str) -> None:
    """Write sentences above the panels, as wide as the figure; its layout makes room for them."""
    lines = textwrap.wrap(". ".join(sentences), int(LETTERS_PER_INCH * figure.get_figwidth()))
    figure.suptitle("\n".join(lines), fontsize=9)


def save(figure: Figure, out: Path) -> None:
    """Write the figure in the format that the suffix of ``out`` names, one of ``UNDATED``."""
    with matplotlib.rc_context(FILE_STYLE), atomic(out) as temporary:
        figure.savefig(temporary, format=out.suffix[1:], dpi=DOTS_PER_INCH, metadata=UNDATED[out.suffix])


def as_address(figure: Figure, dots_per_inch: int) -> str:
    """The figure as PNG within an address (``data:``), for a page of one file."""
    buffer = io.BytesIO()
    with matplotlib.rc_context(FILE_STYLE):
        figure.savefig(buffer, format="png", dpi=dots_per_inch, metadata=UNDATED[".png"])
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
