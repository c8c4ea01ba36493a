from collections.abc import Sequence
from pathlib import Path

import numpy as np

from varinf.report._sheet import MARGIN, TITLE_HEIGHT, Sheet
from varinf.report._style import FAINT
from varinf.report._tiles import Limits, as_tiles, tile, tiling, value_range

_MOST = 8


def progress(snapshots: Sequence[tuple[int, np.ndarray]], path: str | Path, *, limits: Limits | None = None) -> Path:
    """Draw how the images that a model makes of some fixed codes change over its training.

    Args:
        snapshots: epochs, and images `[m, *event]` of the same codes at each. Up to eight epochs are shown, evenly
            spaced on a logarithmic scale.
        path: of the PNG file.
        limits: the values shown as black and as white; read off the last images if None.

    Returns:
        The path.
    """
    snapshots = sorted(((epoch, np.asarray(images)) for epoch, images in snapshots), key=lambda pair: pair[0])
    limits = value_range(snapshots[-1][1]) if limits is None else limits
    size = tiling(snapshots[-1][1].shape[1:], width=1280)
    sheet, left, top = Sheet(), MARGIN + 96, MARGIN + TITLE_HEIGHT
    sheet.title("Samples during training: means of p(x | z) at the same z")
    for epoch, images in (snapshots[i] for i in evenly_in_log([epoch for epoch, _ in snapshots])):
        tiles = as_tiles(images[: size.columns], limits)
        sheet.label(f"epoch {epoch}", left - 10, top + size.height / 2, colour=FAINT)
        _, bottom = sheet.image(tile(tiles[None]), left, top)
        top = bottom + 2
    return sheet.save(path)


def evenly_in_log(epochs: Sequence[int], most: int = _MOST) -> list[int]:
    """Which of rising numbers to show: the first, the last, and those nearest to even steps of ln(1 + epoch)."""
    if len(epochs) <= most:
        return list(range(len(epochs)))
    logs = np.log1p(np.asarray(epochs, np.float64) - epochs[0])
    chosen: list[int] = []
    for i, wanted in enumerate(np.linspace(logs[0], logs[-1], most)):
        # early on several even steps may fall on one epoch: then the next is taken
        first, last = (chosen[-1] + 1 if chosen else 0), len(epochs) - (most - 1 - i)
        chosen.append(first + int(np.abs(logs[first:last] - wanted).argmin()))
    return chosen
