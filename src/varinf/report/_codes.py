from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import Normal, Stroke

from varinf.evaluate import Codes, encode
from varinf.report._labels import Classes, Numbers, read_labels
from varinf.report._style import (
    CONTINUOUS,
    INK,
    LABEL,
    OTHER,
    SINGLE,
    SMALL,
    TITLE,
    darker,
    few_ticks,
    name_axes,
    new_axes,
    new_figure,
    plain_ticks,
    save,
    set_legend,
    span,
    write,
)

_SIDE = 820


def codes(model: Any, rows: np.ndarray, labels: np.ndarray | None, path: str | Path, *, what: str = "rows") -> Path:
    """Draw the map of the posterior means, coloured by label.

    Two latents are shown as they are, more by their first two principal components, one by its histogram.

    Args:
        model: a VAE.
        rows: as they are stored, `[n, *event]`.
        labels: one per row, or None. Up to twelve classes have a legend; more numbers than that have a colour bar.
        path: of the PNG file.
        what: the rows are, for the title: "held-out rows", say.

    Returns:
        The path.
    """
    return draw_codes(encode(model, rows), labels, path, what)


def draw_codes(encoded: Codes, labels: np.ndarray | None, path: str | Path, what: str = "rows") -> Path:
    """The same, for rows that are encoded already."""
    n, dim = encoded.means.shape
    read = read_labels(labels, n)
    height = _SIDE if dim > 1 else 440
    figure = new_figure(86 + _SIDE + legend_width(read), height + 140)
    by = "" if read is None else ", by label"
    means = "Posterior means" if dim < 3 else f"Posterior means of {dim} latents"
    write(figure, 24, 30, f"{means} of {n:,} {what}{by}", size=TITLE, va="center")
    axes = new_axes(figure, 86, 66, _SIDE, height)
    scatter_codes(figure, axes, encoded, read)
    return save(figure, path)


def legend_width(labels: Classes | Numbers | None) -> int:
    """How many pixels the legend takes to the right of a map, with a margin."""
    if isinstance(labels, Classes):
        return 64 + 11 * max(map(len, labels.names))
    return 30 if labels is None else 110


def scatter_codes(figure: Figure, axes: Axes, encoded: Codes, labels: Classes | Numbers | None) -> None:
    """The map itself, with its legend to the right."""
    n, dim = encoded.means.shape
    if dim == 1:
        _histogram(axes, encoded.means[:, 0], labels)
        return
    places, names = (encoded.means, ("z₁", "z₂")) if dim == 2 else _principal(encoded.means)
    size = float(np.clip(12_000 / n, 3, 22))
    dots = {"s": size, "alpha": 0.75, "linewidth": 0}
    if isinstance(labels, Classes):
        colours = np.array(labels.colours)[labels.index]
        axes.scatter(*places.T, c=colours, **dots)
        _name_classes(axes, places, labels)
    elif isinstance(labels, Numbers):
        known = np.isfinite(labels.values)
        axes.scatter(*places[~known].T, color=OTHER, **dots)
        axes.scatter(*places[known].T, c=labels.values[known], cmap=CONTINUOUS, **dots)
    else:
        axes.scatter(*places.T, color=SINGLE, **(dots | {"alpha": 0.5}))
    _equal_scales(axes, places)
    few_ticks(axes, 7, 7)
    plain_ticks(axes)
    name_axes(axes, *names)
    _key(figure, axes, labels)


def _name_classes(axes: Axes, places: np.ndarray, labels: Classes) -> None:
    """Short names at the middle of their classes too, for those who tell few colours apart."""
    if len(labels.names) == 1 or max(map(len, labels.names)) > 10:
        return
    size = 11 if max(map(len, labels.names)) <= 2 else LABEL
    halo = [Stroke(linewidth=2.5, foreground="white", alpha=0.9), Normal()]
    for i, (name, colour) in enumerate(zip(labels.names, labels.colours, strict=True)):
        x, y = np.median(places[labels.index == i], axis=0)
        look = {"fontsize": size, "weight": "bold", "color": darker(colour), "ha": "center", "va": "center"}
        axes.text(x, y, name, path_effects=halo, parse_math=False, **look)


def _equal_scales(axes: Axes, places: np.ndarray) -> None:
    """Limits that show all places, with as many units to a pixel on one axis as on the other."""
    box = axes.get_window_extent()
    lows, highs = np.transpose([span(places[:, 0], 0.03), span(places[:, 1], 0.03)])
    pixels = np.array([box.width, box.height])
    half = pixels * ((highs - lows) / pixels).max() / 2
    middle = (lows + highs) / 2
    axes.set_xlim(middle[0] - half[0], middle[0] + half[0])
    axes.set_ylim(middle[1] - half[1], middle[1] + half[1])


def _key(figure: Figure, axes: Axes, labels: Classes | Numbers | None) -> None:
    """What the colours mean."""
    if isinstance(labels, Classes):
        handles = [Line2D([], [], marker="o", linestyle="", markersize=4.5, color=c) for c in labels.colours]
        set_legend(
            axes,
            handles,
            labels.names,
            loc="upper left",
            bbox_to_anchor=(1.0, 1.0),
            handletextpad=0.2,
            borderaxespad=0.4,
        )
    elif isinstance(labels, Numbers):
        box = axes.get_position()
        bar = figure.add_axes((box.x1 + 0.025, box.y1 - 0.4 * box.height, 0.014, 0.4 * box.height))
        low, high = span(labels.values, 0)
        bar.imshow(np.linspace(1, 0, 256)[:, None], aspect="auto", cmap=CONTINUOUS, extent=(0, 1, low, high))
        bar.set_xticks([])
        bar.yaxis.tick_right()
        bar.tick_params(length=2, width=0.6, labelsize=SMALL, labelcolor=INK)
        for spine in bar.spines.values():
            spine.set_visible(False)


def _histogram(axes: Axes, z: np.ndarray, labels: Classes | Numbers | None) -> None:
    """One latent: how many rows lie where, for each class; against the label where that is a number."""
    low, high = span(z, 0.03)
    name_axes(axes, "z", "rows")
    if isinstance(labels, Numbers):
        axes.scatter(z, labels.values, s=8, color=SINGLE, alpha=0.6, linewidth=0)
        axes.set_ylim(span(labels.values))
        name_axes(axes, "z", "label")
    else:
        edges = np.linspace(low, high, 50)
        index = labels.index if labels else np.zeros(len(z), int)
        for i, colour in enumerate(labels.colours if labels else [SINGLE]):
            counts = np.histogram(z[index == i], edges)[0]
            axes.stairs(counts, edges, color=colour, linewidth=1.2)
            axes.stairs(counts, edges, color=colour, fill=True, alpha=0.15)
        if labels:
            set_legend(
                axes,
                [Line2D([], [], color=c, linewidth=1.6) for c in labels.colours],
                labels.names,
                loc="upper left",
                bbox_to_anchor=(1.0, 1.0),
                handlelength=1.2,
            )
    axes.set_xlim(low, high)


def _principal(means: np.ndarray) -> tuple[np.ndarray, tuple[str, str]]:
    """The first two principal components of codes, and what share of the variance each explains."""
    centred = np.nan_to_num(means - means.mean(0))
    left, singular, _ = np.linalg.svd(centred, full_matrices=False)
    places = np.zeros((len(means), 2))
    rank = min(2, len(singular))
    places[:, :rank] = left[:, :rank] * singular[:rank]
    total = (singular**2).sum()
    shares = [*(singular[:2] ** 2 / total if total > 0 else [0.0, 0.0]), 0.0, 0.0]
    first, second = (f"principal component {i + 1} ({shares[i]:.0%} of the variance)" for i in (0, 1))
    return places, (first, second)
