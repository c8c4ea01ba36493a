from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from varinf.evaluate import decode, encode
from varinf.report._columns import column_axes
from varinf.report._sheet import MARGIN, TITLE_HEIGHT, Sheet
from varinf.report._style import FAINT, HAIR, SINGLE, save, span
from varinf.report._tiles import Limits, as_tiles, data_range, mean_range, tile, tiling


def reconstructions(
    model: Any,
    rows: np.ndarray,
    path: str | Path,
    *,
    limits: Limits | None = None,
    columns: Sequence[str] | None = None,
) -> Path:
    """Draw data beside their reconstructions: the mean of p(x | z) at the posterior mean of z.

    Args:
        model: a VAE.
        rows: as they are stored; images `[n, h, w]` or `[n, h, w, c]`, or a table `[n, columns]`.
        path: of the PNG file.
        limits: of images, the stored values shown as black and as white; read off the rows if None.
        columns: the names of a table's columns.

    Returns:
        The path.
    """
    if rows.ndim == 2:
        return _table(model, rows, path, columns)
    limits = data_range(model, rows) if limits is None else limits
    size = tiling(rows.shape[1:], height=840)
    pairs = max(1, min(size.rows // 2, 5, -(-len(rows) // size.columns)))
    count = min(len(rows), pairs * size.columns)
    chosen = rows[np.linspace(0, len(rows) - 1, count).astype(int)]
    means = decode(model, encode(model, chosen).means)
    both = [as_tiles(chosen, limits), as_tiles(means, mean_range(model, limits, means))]
    sheet, left, top = Sheet(), MARGIN + 118, MARGIN + TITLE_HEIGHT
    sheet.title("Data and their reconstructions")
    for start in range(0, count, size.columns):
        for name, tiles in zip(("data", "reconstruction"), both, strict=True):
            line = tiles[start : start + size.columns]
            sheet.label(name, left - 10, top + size.height / 2, colour=FAINT)
            _, bottom = sheet.image(tile(line[None]), left, top)
            top = bottom + 2
        top += 14
    return sheet.save(path)


def _table(model: Any, rows: np.ndarray, path: str | Path, columns: Sequence[str] | None) -> Path:
    rows = rows[:1000]
    means = decode(model, encode(model, rows).means).astype(np.float64)
    title = "Reconstruction against data, in the units of the data"
    figure, many = column_axes(rows.shape[1], columns, title, "data", "reconstruction")
    for j, axes in enumerate(many):
        x, y = rows[:, j].astype(np.float64), means[:, j]
        ends = span(np.concatenate([x, y]))
        axes.plot(ends, ends, color=HAIR, linewidth=0.8, zorder=1)
        axes.scatter(x, y, s=min(12, max(3, 2000 / len(x))), color=SINGLE, alpha=0.6, linewidth=0, zorder=2)
        axes.set(xlim=ends, ylim=ends)
        # the same numbers as on the x axis
        axes.tick_params(labelleft=False)
        axes.yaxis.get_offset_text().set_visible(False)
        axes.yaxis.set_label_coords(-0.07, 0.5)
    return save(figure, path)
