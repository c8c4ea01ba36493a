from pathlib import Path

import numpy as np
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike

from varinf.errors import InputError
from varinf.report._style import (
    HELD_OUT,
    SINGLE,
    TITLE,
    TRAIN,
    few_ticks,
    name_axes,
    new_axes,
    new_figure,
    save,
    set_legend,
    span,
    write,
)

_RIGHT, _WRONG = TRAIN, HELD_OUT


def uncertainties(
    epistemic: ArrayLike,
    aleatoric: ArrayLike,
    path: str | Path,
    *,
    right: ArrayLike | None = None,
    unit: str = "nats",
    what: str = "rows",
) -> Path:
    """Draw epistemic against aleatoric uncertainty, a point for each row.

    Args:
        epistemic: what more data would take away, `[n]`: the mutual information of class and weights in nats, say.
        aleatoric: what is left, `[n]`: the expected entropy in nats, say.
        path: of the PNG file.
        right: whether the predicted class is right, `[n]`, for colours; or None.
        unit: of both.
        what: the rows are, for the title: "held-out rows", say.

    Returns:
        The path.

    Raises:
        InputError: no rows; lengths that differ.
    """
    y, x = np.asarray(epistemic, np.float64), np.asarray(aleatoric, np.float64)
    n = y.size
    for name, values in (("epistemic", y), ("aleatoric", x), ("right", right)):
        if values is not None and (np.shape(values) != (n,) or n == 0):
            raise InputError(f"{name}: expected [n] with n at least 1, as many of each, got shape {np.shape(values)}")
    figure = new_figure(900, 760)
    write(figure, 24, 30, f"Epistemic against aleatoric uncertainty of {n:,} {what}", size=TITLE, va="center")
    axes = new_axes(figure, 110, 92, 750, 580)
    dots = {"s": float(np.clip(12_000 / n, 3, 22)), "alpha": 0.6, "linewidth": 0, "clip_on": False}
    if right is None:
        axes.scatter(x, y, color=SINGLE, **dots)
    else:
        correct = np.asarray(right, bool)
        # the wrong ones, which are fewer, on top
        axes.scatter(x[correct], y[correct], color=_RIGHT, **dots)
        axes.scatter(x[~correct], y[~correct], color=_WRONG, **dots)
        handles = [Line2D([], [], marker="o", linestyle="", markersize=4, color=c) for c in (_RIGHT, _WRONG)]
        names = [f"right   {correct.sum():,}", f"wrong   {n - correct.sum():,}"]
        set_legend(
            axes, handles, names, loc="lower right", bbox_to_anchor=(1, 1), ncols=2, handletextpad=0.2, borderpad=0
        )
    axes.set(xlim=span(x), ylim=span(y))
    few_ticks(axes, 6, 6)
    name_axes(axes, f"aleatoric ({unit})", f"epistemic ({unit})", away=82)
    return save(figure, path)
