from pathlib import Path
from typing import Any

import numpy as np

from varinf.evaluate import Codes, decode, encode, event_shape
from varinf.report._latents import at_sigmas
from varinf.report._sheet import MARGIN, TITLE_HEIGHT, Sheet
from varinf.report._style import FAINT
from varinf.report._tiles import Limits, as_tiles, mean_range, tile, tiling

ACTIVE = 0.01
_LINES = 10


def traversals(model: Any, rows: np.ndarray, path: str | Path, *, limits: Limits | None = None) -> Path:
    """Draw what each of the most active latents does: one line each, from −3 to 3, the others at the prior's mean.

    A latent is active where the variance of its posterior mean over the data is above 0.01 (Burda, Grosse and
    Salakhutdinov 2016, section 5.2). At most ten lines.

    Args:
        model: a VAE of images.
        rows: as they are stored, `[n, *event]`, to find the active latents by.
        path: of the PNG file.
        limits: the stored values shown as black and as white; read off the images if None.

    Returns:
        The path.
    """
    return draw_traversals(model, encode(model, rows), path, limits)


def draw_traversals(model: Any, encoded: Codes, path: str | Path, limits: Limits | None) -> Path:
    """The same, for rows that are encoded already."""
    activity = encoded.activity
    order = np.argsort(-activity, kind="stable")
    active = int((activity > ACTIVE).sum())
    chosen = order[: min(_LINES, max(active, 1))]
    if encoded.kl is not None:
        chosen = chosen[np.argsort(-encoded.kl[chosen], kind="stable")]
    columns = tiling(event_shape(model), width=1280).columns
    steps = np.linspace(-3, 3, 13 if columns >= 13 else 7 if columns >= 7 else 5)
    sigmas = np.zeros((len(chosen), len(steps), len(activity)))
    sigmas[np.arange(len(chosen)), :, chosen] = steps
    means = decode(model, at_sigmas(model, sigmas.reshape(-1, len(activity))))
    tiles = as_tiles(means, mean_range(model, limits, means))
    tiles = tiles.reshape(len(chosen), len(steps), *tiles.shape[1:])
    height, width = tiles.shape[2:4]

    sheet, left, top = Sheet(), MARGIN + 130, MARGIN + TITLE_HEIGHT + 26
    shown = f", {len(chosen)} shown" if len(chosen) < active else ""
    sheet.title(f"Latents one by one, the others at the prior's mean ({active} of {len(activity)} active{shown})")
    sheet.image(tile(tiles), left, top)
    for i, step in enumerate(steps):
        name = f"{step:+.3g}" if step else "0"
        sheet.label(name.replace("-", "−"), left + i * (width + 2) + width / 2, top - 14, align="center", colour=FAINT)
    for i, latent in enumerate(chosen):
        middle = top + i * (height + 2) + height / 2
        sheet.label(f"z{_subscript(latent + 1)}", MARGIN, middle, align="left")
        worth = f"var {activity[latent]:.2f}" if encoded.kl is None else f"{encoded.kl[latent]:.2f} nats"
        sheet.label(worth, left - 10, middle, colour=FAINT)
    return sheet.save(path)


def _subscript(number: int) -> str:
    return str(number).translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉"))
