"""How every picture looks: sizes in pixels, colours, and the one way to a PNG file.

Figures are made by matplotlib's objects alone: no pyplot, no settings that others could see or change.
"""

import io
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.image import imsave
from matplotlib.text import Text
from matplotlib.textpath import TextPath
from matplotlib.ticker import MaxNLocator, ScalarFormatter
from numpy.typing import ArrayLike

from varinf._files import write_file

Block = tuple[np.ndarray, int, int]
"""Pixels `[height, width, 3]`, and where their upper left corner is: left, top."""

DPI = 150
INK, FAINT, HAIR = "#222222", "#767676", "#b8b8b8"
TITLE, LABEL, SMALL = 9.5, 8.0, 7.0  # points

TRAIN, HELD_OUT = "#4477aa", "#d1495b"
DATA, MODEL = "#c3c7cd", "#d1495b"
SINGLE = "#4477aa"
OTHER = "#c8c8c8"
CONTINUOUS = "viridis"

_STEPS = [1, 2, 2.5, 5, 10]  # between ticks, times a power of ten

# Paul Tol's qualitative scheme of twelve: told apart with every common kind of colour vision. The first n are spread
# over the whole.
_TOL = [
    *("332288", "6699cc", "88ccee", "44aa99", "117733", "999933"),
    *("ddcc77", "661100", "cc6677", "aa4466", "882255", "aa4499"),
]
_CHOICE = {
    1: [1],
    2: [1, 8],
    3: [1, 6, 8],
    4: [1, 4, 6, 8],
    5: [0, 2, 4, 6, 8],
    6: [0, 2, 4, 6, 8, 11],
    7: [0, 2, 3, 4, 6, 8, 11],
    8: [0, 2, 3, 4, 5, 6, 8, 11],
    9: [0, 2, 3, 4, 5, 6, 8, 10, 11],
    10: [0, 2, 3, 4, 5, 6, 7, 8, 10, 11],
    11: [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11],
}
MOST_CLASSES = len(_TOL)


def class_colours(count: int) -> list[str]:
    """Colours for up to `MOST_CLASSES` classes."""
    return [f"#{_TOL[i]}" for i in _CHOICE.get(count, range(count))]


def darker(colour: str) -> str:
    """A colour with a third of black in it, fit for letters."""
    red, green, blue = to_rgb(colour)
    return to_hex((0.65 * red, 0.65 * green, 0.65 * blue))


def new_figure(width: float, height: float) -> Figure:
    """A white figure of this many pixels."""
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def new_axes(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes with two thin spines, placed in pixels from the figure's upper left corner."""
    total_width, total_height = figure.get_size_inches() * DPI
    bottom = total_height - top - height
    axes = figure.add_axes(
        (left / total_width, bottom / total_height, width / total_width, height / total_height), facecolor="none"
    )
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set(linewidth=0.6, color=HAIR)
    axes.tick_params(length=2.5, width=0.6, color=HAIR, labelcolor=INK, labelsize=SMALL, pad=2.5)
    for axis in (axes.xaxis, axes.yaxis):
        axis.get_offset_text().set(fontsize=SMALL, color=FAINT)
    return axes


def few_ticks(axes: Axes, x: int = 6, y: int = 5, whole: bool = False) -> None:
    """At most about so many ticks on each axis; with `whole`, only at whole numbers on the x axis."""
    axes.xaxis.set_major_locator(MaxNLocator(x, steps=_STEPS, integer=whole, min_n_ticks=1))
    axes.yaxis.set_major_locator(MaxNLocator(y, steps=_STEPS))


def name_axes(axes: Axes, x: str = "", y: str = "", title: str = "", *, away: float = 56) -> None:
    """The names of the axes, and a title flush left; none is read as mathematics.

    The name of the y axis stands so many pixels away from it, in a line with those above and below.
    """
    for text in (
        axes.set_xlabel(x, fontsize=LABEL, color=INK, labelpad=3),
        axes.set_ylabel(y, fontsize=LABEL, color=INK, labelpad=3),
        axes.set_title(title, fontsize=LABEL, color=INK, loc="left", pad=5),
    ):
        text.set_parse_math(False)
    axes.yaxis.set_label_coords(-away / axes.get_window_extent().width, 0.5)


def plain_ticks(axes: Axes) -> None:
    """Numbers at the ticks in full, rather than with an offset above the axis, where the title is."""
    for axis in (axes.xaxis, axes.yaxis):
        plain = ScalarFormatter(useOffset=False)
        plain.set_scientific(False)
        axis.set_major_formatter(plain)


def write(
    figure: Figure, left: float, top: float, text: str, *, size: float = LABEL, colour: str = INK, **rest
) -> Text:
    """Text at a place in pixels from the figure's upper left corner; never read as mathematics."""
    width, height = figure.get_size_inches() * DPI
    return figure.text(left / width, 1 - top / height, text, fontsize=size, color=colour, parse_math=False, **rest)


def text_width(text: str, size: float) -> float:
    """How many pixels a line of text takes."""
    return TextPath((0, 0), text, size=size * DPI / 72).get_extents().xmax


def set_legend(owner: Axes | Figure, handles: Sequence, names: Sequence[str], **rest) -> None:
    """A legend without a frame, whose names are shown as they are."""
    # Names that begin with an underscore would be left out, so they are set afterwards.
    legend = owner.legend(handles, ["x"] * len(names), frameon=False, fontsize=LABEL, labelcolor=INK, **rest)
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set_text(name)
        text.set_parse_math(False)


def span(values: ArrayLike, pad: float = 0.05) -> tuple[float, float]:
    """Limits of an axis that shows these values, of which some are finite, with a margin."""
    given = np.asarray(values, np.float64)
    given = given[np.isfinite(given)]
    low, high = (given.min(), given.max()) if given.size else (0.0, 1.0)
    margin = pad * (high - low)
    # A constant gets room in proportion to itself, so that its neighbours in double precision are told apart.
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        margin = 0.5 * max(abs(low), abs(high)) or 0.5
    return float(low - margin), float(high + margin)


def save(figure: Figure, path: str | Path, blocks: Sequence[Block] = ()) -> Path:
    """Write the figure as a PNG, whole or not at all.

    Args:
        figure: one of `new_figure`.
        path: of the file.
        blocks: pixels to be shown one for one, with the places of their upper left corners.
    """
    canvas = figure.canvas
    if not isinstance(canvas, FigureCanvasAgg):
        raise TypeError(f"expected a figure drawn by Agg, got {type(canvas).__name__}")
    with warnings.catch_warnings():
        # of names in a script that the font lacks: they show as boxes
        warnings.filterwarnings("ignore", message=".*missing from font")
        canvas.draw()
    pixels = np.array(canvas.buffer_rgba())
    for block, left, top in blocks:
        # matplotlib's own images are resampled, which is slow and need not give back the same pixels
        height, width = block.shape[:2]
        pixels[top : top + height, left : left + width, :3] = block
    path, content = Path(path), io.BytesIO()
    imsave(content, pixels, format="png", dpi=DPI, pil_kwargs={"compress_level": 3})
    write_file(path, content.getvalue())
    return path
