from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import PRNGKeyArray

from varinf.evaluate import event_shape
from varinf.report._columns import column_axes
from varinf.report._latents import sample
from varinf.report._sheet import MARGIN, TITLE_HEIGHT, Sheet
from varinf.report._style import DATA, MODEL, save, set_legend, span
from varinf.report._tiles import Limits, as_tiles, data_range, mean_range, tile, tiling


def samples(
    model: Any,
    path: str | Path,
    *,
    rows: np.ndarray | None = None,
    limits: Limits | None = None,
    columns: Sequence[str] | None = None,
    what: str = "data",
    key: PRNGKeyArray,
) -> Path:
    """Draw what the model makes of codes drawn from the prior.

    Of images: the means of p(x | z), and for some of the same codes a draw of each. Of a table: the histogram of each
    column, of draws and, where rows are given, of the data.

    Args:
        model: a VAE.
        path: of the PNG file.
        rows: data as they are stored, to set beside a table's draws.
        limits: of images, the stored values shown as black and as white; read off the draws if None.
        columns: the names of a table's columns.
        what: the rows are, for the title: "held-out data", say.
        key: for the draws.

    Returns:
        The path.
    """
    shape = event_shape(model)
    if len(shape) == 1:
        return _table(model, path, rows, columns, what, key)
    size = tiling(shape, width=1300, height=800)
    across, down = max(2, round(0.64 * size.columns)), size.rows
    aside = max(1, size.columns - across)
    means, draws = sample(model, across * down, key=key)
    stored = data_range(model, draws) if limits is None else limits
    mean_tiles = as_tiles(means, mean_range(model, stored, means)).reshape(down, across, size.height, size.width, 3)
    draw_tiles = as_tiles(draws, mean_range(model, stored, draws)).reshape(mean_tiles.shape)[:, :aside]
    sheet, top = Sheet(), MARGIN + TITLE_HEIGHT
    words = sheet.title("Means of p(x | z), z from the prior")
    right, _ = sheet.image(tile(mean_tiles), MARGIN, top)
    left = max(right, words) + 30
    sheet.title("Draws from p(x | z), same z", left=left)
    sheet.image(tile(draw_tiles), left, top)
    return sheet.save(path)


def _table(
    model: Any, path: str | Path, rows: np.ndarray | None, columns: Sequence[str] | None, what: str, key: PRNGKeyArray
) -> Path:
    _, draws = sample(model, 2000, key=key)
    figure, many = column_axes(
        draws.shape[1],
        columns,
        "Samples from the model" + ("" if rows is None else f", beside {what}"),
        height=150,
    )
    for j, axes in enumerate(many):
        drawn = draws[:, j].astype(np.float64)
        data = drawn[:0] if rows is None else rows[:, j].astype(np.float64)
        edges = _edges(data, drawn, min(len(data) or len(drawn), len(drawn)))
        handles, names = [], []
        if len(data):
            handles.append(axes.stairs(_share(data, edges), edges, fill=True, color=DATA))
            names.append("data")
        handles.append(axes.stairs(_share(drawn, edges), edges, color=MODEL, linewidth=1.2))
        axes.set(xlim=(edges[0], edges[-1]), yticks=[])
        axes.spines["left"].set_visible(False)
        if j == 0:
            set_legend(figure, handles, [*names, "samples"], loc="upper right", ncols=2, handlelength=1.2)
    return save(figure, path)


def _edges(data: np.ndarray, drawn: np.ndarray, count: int) -> np.ndarray:
    """Bins over nearly all of the values, more for a larger count; one for each number where the data are whole."""
    values = np.concatenate([data, drawn])
    values = values[np.isfinite(values)]
    if not len(values):
        return np.linspace(0, 1, 3)
    low, high = np.quantile(values, [0.002, 0.998])
    if len(data):
        low, high = min(low, np.quantile(data, 0.005)), max(high, np.quantile(data, 0.995))
    if len(data) and high - low <= 40 and (data == np.rint(data)).all():
        return np.arange(np.floor(low), np.ceil(high) + 2) - 0.5
    return np.linspace(*span([low, high], 0.02), int(np.clip(3 * count ** (1 / 3), 10, 40)))


def _share(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    return np.histogram(values, edges)[0] / max(len(values), 1)
