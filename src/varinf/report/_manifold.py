from pathlib import Path
from typing import Any

import numpy as np

from varinf.evaluate import decode, event_shape
from varinf.report._latents import at_sigmas, latent_dim, quantiles
from varinf.report._sheet import MARGIN, TITLE_HEIGHT, Sheet
from varinf.report._style import FAINT
from varinf.report._tiles import Limits, as_tiles, mean_range, tile, tiling


def manifold(model: Any, path: str | Path, *, limits: Limits | None = None) -> Path:
    """Draw the images that a decoder of two latents makes of a grid of codes: the prior's quantiles, 1 % to 99 %.

    The first latent grows to the right, the second upwards, as in the map of the codes.

    Args:
        model: a VAE of images with two latents.
        path: of the PNG file.
        limits: the stored values shown as black and as white; read off the images if None.

    Returns:
        The path.

    Raises:
        ValueError: not two latents.
    """
    sheet, top = Sheet(), MARGIN + TITLE_HEIGHT
    sheet.title("Means of p(x | z) over the quantiles of the prior, 1 % to 99 %")
    right, bottom = sheet.image(manifold_pixels(model, limits), MARGIN + 30, top)
    sheet.label("z₁  →", right, bottom + 18, colour=FAINT)
    sheet.label("z₂", MARGIN + 20, top + 10, colour=FAINT)
    sheet.label("↑", MARGIN + 18, top + 34, colour=FAINT)
    return sheet.save(path, bottom=22)


def manifold_pixels(model: Any, limits: Limits | None, side: int = 1000) -> np.ndarray:
    """The grid alone, `[height, width, 3]`."""
    if latent_dim(model) != 2:
        raise ValueError(f"the manifold is drawn of two latents, this model has {latent_dim(model)}; see traversals")
    size = tiling(event_shape(model), side, side, target=48)
    count = max(5, min(18, side // max(size.width, size.height)))
    across, up = np.meshgrid(quantiles(count), quantiles(count)[::-1])
    means = decode(model, at_sigmas(model, np.stack([across, up], -1).reshape(-1, 2)))
    tiles = as_tiles(means, mean_range(model, limits, means), side // count - 1)
    return tile(tiles.reshape(count, count, *tiles.shape[1:]), gap=1)
