from pathlib import Path
from typing import Any

import numpy as np

from varinf.evaluate import encode
from varinf.report._codes import legend_width, scatter_codes
from varinf.report._labels import read_labels
from varinf.report._manifold import manifold_pixels
from varinf.report._style import new_axes, new_figure, save
from varinf.report._tiles import Limits


def readme_picture(
    model: Any, rows: np.ndarray, labels: np.ndarray | None, path: str | Path, *, limits: Limits | None = None
) -> Path:
    """Draw a model of images with two latents at a glance: what it decodes, and where it puts the data.

    Args:
        model: a VAE of images with two latents.
        rows: as they are stored, `[n, *event]`.
        labels: one per row, or None.
        path: of the PNG file.
        limits: the stored values shown as black and as white; read off the images if None.

    Returns:
        The path.
    """
    pixels = manifold_pixels(model, limits, side=560)
    height, width = pixels.shape[:2]
    read = read_labels(labels, len(rows))
    figure = new_figure(width + 106 + height - 24 + legend_width(read), height + 48)
    axes = new_axes(figure, width + 106, 24, height - 30, height - 30)
    scatter_codes(figure, axes, encode(model, rows), read)
    return save(figure, path, [(pixels, 24, 24)])
