from pathlib import Path

import numpy as np

from varinf.errors import InputError
from varinf.report._sheet import MARGIN, Sheet
from varinf.report._tiles import Limits, as_tiles, tile, tiling


def grid(images: np.ndarray, path: str | Path, *, limits: Limits, columns: int | None = None) -> Path:
    """A sheet of images, line by line.

    Args:
        images: `[n, h, w]` or `[n, h, w, c]`.
        path: of the PNG.
        limits: the values shown as black and as white.
        columns: images in a line; by default as many as make the sheet about square.

    Raises:
        InputError: no images.
    """
    if not len(images):
        raise InputError("images: expected one or more, got none")
    most = tiling(images.shape[1:]).columns
    columns = min(columns or max(1, round(len(images) ** 0.5)), len(images), most)
    shown = as_tiles(images, limits)
    missing = -len(shown) % columns
    shown = np.concatenate([shown, np.full((missing, *shown.shape[1:]), 255, np.uint8)])
    sheet = Sheet()
    sheet.image(tile(shown.reshape(-1, columns, *shown.shape[1:])), MARGIN, MARGIN)
    return sheet.save(path)
