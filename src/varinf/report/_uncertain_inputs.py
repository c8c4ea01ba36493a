from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from varinf._checks import at_least_one
from varinf.errors import InputError
from varinf.report._sheet import MARGIN, TITLE_HEIGHT, Sheet
from varinf.report._style import FAINT, HELD_OUT, INK
from varinf.report._tiles import GAP, Limits, as_tiles, tile, tiling, value_range

_LINE = 22  # pixels from one line of words under a tile to the next
_LETTER = 10  # the width of a letter in pixels
_LEAST = 70  # the width that a tile takes with the words beneath it


def uncertain_inputs(
    rows: np.ndarray,
    epistemic: ArrayLike,
    path: str | Path,
    *,
    given: ArrayLike | None = None,
    predicted: ArrayLike | None = None,
    k: int = 24,
    limits: Limits | None = None,
    unit: str = "nats",
    what: str = "rows",
) -> Path | None:
    """Draw the images with the most epistemic uncertainty, the most uncertain first, with their labels beneath.

    Args:
        rows: as they are stored, `[n, h, w]` or `[n, h, w, c]`; of a table `[n, columns]` nothing is drawn.
        epistemic: uncertainty, `[n]`.
        path: of the PNG file.
        given: labels, `[n]`, numbers or names; or None.
        predicted: labels, `[n]`, or None; those other than the given ones are red.
        k: how many images to show; all, if there are fewer.
        limits: the stored values shown as black and as white; read off the rows if None.
        unit: of the uncertainty.
        what: the rows are, for the title: "held-out rows", say.

    Returns:
        The path; None for a table.

    Raises:
        InputError: no rows; lengths that differ; k less than one.
    """
    if rows.ndim < 3:
        return None
    if not len(rows):
        raise InputError("rows: expected one or more, got none")
    uncertainty = np.asarray(epistemic, np.float64)
    labels = {"given": given, "predicted": predicted}
    labels = {name: np.asarray(values) for name, values in labels.items() if values is not None}
    for name, values in {"epistemic": uncertainty, **labels}.items():
        if values.shape != rows.shape[:1]:
            raise InputError(f"{name}: expected one for each of the {len(rows)} rows, got shape {values.shape}")
    chosen = np.argsort(-uncertainty, kind="stable")[: at_least_one("k", k)]
    size = tiling(rows.shape[1:], width=1240)
    lines = -(-len(chosen) // size.columns)
    columns = -(-len(chosen) // lines)
    tiles = as_tiles(rows[chosen], value_range(rows) if limits is None else limits)
    beside = max(0, -(-(_LEAST - size.width) // 2))
    tiles = np.pad(tiles, ((0, 0), (0, 0), (beside, beside), (0, 0)), constant_values=255)
    width = size.width + 2 * beside
    wrong = labels["given"] != labels["predicted"] if len(labels) == 2 else np.zeros(len(rows), bool)

    sheet, left, top = Sheet(), MARGIN + 100, MARGIN + TITLE_HEIGHT
    sheet.title(f"The most epistemic uncertainty in {unit}: {len(chosen)} of {len(rows):,} {what}")
    bottom = top
    for start in range(0, len(chosen), columns):
        line = chosen[start : start + columns]
        _, bottom = sheet.image(tile(tiles[None, start : start + columns]), left, top)
        for name in [*labels, "epistemic"]:
            bottom += _LINE
            sheet.label(name, left - 10, bottom - 8, colour=FAINT)
            for j, i in enumerate(line):
                x = left + j * (width + GAP) + width / 2
                text = f"{uncertainty[i]:#.2g}" if name == "epistemic" else _name(labels[name][i], width)
                colour = HELD_OUT if name == "predicted" and wrong[i] else INK
                sheet.label(text, x, bottom - 8, align="center", colour=colour)
        top = bottom + 18
    return sheet.save(path, bottom=_LINE * (len(labels) + 1))


def _name(label: object, width: int) -> str:
    """A label in no more letters than there is room for."""
    text = f"{label:g}" if isinstance(label, float | np.floating) else str(label)
    longest = max(4, width // _LETTER)
    return text if len(text) <= longest else text[: longest - 1] + "…"
