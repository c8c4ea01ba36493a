"""Images as arrays of pixels to be seen: brightness, size, and many of them side by side."""

from typing import Any, NamedTuple

import numpy as np

from varinf.likelihoods import Binarized, Rescaled

Limits = tuple[float, float]
"""The values shown as black and as white."""


TARGET, LARGEST = 84, 256  # of the longer side of a tile, in pixels
GAP = 2


class Tiling(NamedTuple):
    """How images of one size are shown.

    Attributes:
        width: of a tile, in pixels.
        height: of a tile, in pixels.
        columns: how many tiles fit side by side.
        rows: how many lines of tiles make a picture of a good height.
    """

    width: int
    height: int
    columns: int
    rows: int


def tiling(shape: tuple[int, ...], width: int = 1400, height: int = 1000, target: int = TARGET) -> Tiling:
    """How images of shape `(h, w)` or `(h, w, c)` are best shown within about so many pixels."""
    times, by = _scale(shape, target)
    tile_height, tile_width = (times * -(-side // by) for side in shape[:2])
    columns, rows = width // (tile_width + GAP), height // (tile_height + GAP)
    return Tiling(tile_width, tile_height, min(max(columns, 1), 16), min(max(rows, 1), 10))


def value_range(values: np.ndarray, max_value: float | None = None) -> Limits:
    """What is black and what is white in images in stored units.

    Args:
        values: some of them.
        max_value: the stored value that means white, where it is known; then black is 0.
    """
    finite = np.asarray(values)[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    # counts kept in bytes, say, are far from what a byte can hold, and would be shown as black
    if max_value is not None and max_value / 8 < high:
        return 0.0, float(max_value)
    if low >= 0 and high <= 1:
        return 0.0, 1.0
    return low, high


def data_range(model: Any, rows: np.ndarray, max_value: float | None = None) -> Limits:
    """The same for rows, of which the model may know better what is white."""
    known = getattr(model.observation, "max_value", None)
    return value_range(rows, max_value) if known is None else (0.0, float(known))


def mean_range(model: Any, limits: Limits | None, means: np.ndarray) -> Limits:
    """The same for the decoder's means, which some models have in [0, 1] whatever the stored units."""
    if isinstance(model.observation, Binarized | Rescaled):
        return 0.0, 1.0
    return value_range(means) if limits is None else limits


def visible(images: np.ndarray, limits: Limits) -> np.ndarray:
    """Images `[..., h, w]` or `[..., h, w, c]` as `[n, h, w, 3]` in bytes; of c other than 3 or 4, the first.

    Args:
        images: `[n, h, w]` or `[n, h, w, c]`.
        limits: the values shown as black and as white; what lies beyond is clipped.
    """
    images = np.asarray(images, np.float64)
    if images.ndim == 3:
        images = images[..., None]
    images = images[..., : 3 if images.shape[-1] in (3, 4) else 1]
    low, high = limits
    levels = np.nan_to_num((images - low) / (high - low if high > low else 1.0))
    levels = np.rint(255 * np.clip(levels, 0, 1)).astype(np.uint8)
    return np.broadcast_to(levels, (*levels.shape[:-1], 3))


def as_tiles(images: np.ndarray, limits: Limits, target: int = TARGET) -> np.ndarray:
    """Images `[n, h, w]` or `[n, h, w, c]` as tiles `[n, height, width, 3]`; see `visible` and `resized`."""
    return resized(visible(images, limits), target)


def resized(images: np.ndarray, target: int = TARGET) -> np.ndarray:
    """Images `[n, h, w, 3]` with each pixel repeated until the longer side is about `target`.

    Those with a side over `LARGEST` are shrunk by averages over blocks.
    """
    times, by = _scale(images.shape[1:], target)
    return _shrunk(images, by) if by > 1 else images.repeat(times, axis=1).repeat(times, axis=2)


def tile(images: np.ndarray, gap: int = GAP) -> np.ndarray:
    """Images `[rows, columns, h, w, 3]` as one `[height, width, 3]`, with gaps between but not around them."""
    rows, columns, height, width, channels = images.shape
    sheet = np.full((rows, height + gap, columns, width + gap, channels), 255, np.uint8)
    sheet[:, :height, :, :width] = images.transpose(0, 2, 1, 3, 4)
    sheet = sheet.reshape(rows * (height + gap), columns * (width + gap), channels)
    return sheet[: sheet.shape[0] - gap, : sheet.shape[1] - gap]


def _scale(shape: tuple[int, ...], target: int) -> tuple[int, int]:
    """How many times each pixel is repeated, and how many pixels are averaged over."""
    side = max(shape[:2])
    return (1, -(-side // LARGEST)) if side > LARGEST else (max(1, round(target / side)), 1)


def _shrunk(images: np.ndarray, by: int) -> np.ndarray:
    n, height, width, channels = images.shape
    down, right = -height % by, -width % by
    images = np.pad(images, ((0, 0), (0, down), (0, right), (0, 0)), mode="edge")
    blocks = images.reshape(n, (height + down) // by, by, (width + right) // by, by, channels)
    return np.rint(blocks.mean((2, 4))).astype(np.uint8)
