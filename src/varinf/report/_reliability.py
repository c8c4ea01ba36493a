from pathlib import Path

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import StrMethodFormatter, SymmetricalLogLocator

from varinf.evaluate import Calibration
from varinf.report._style import (
    DATA,
    FAINT,
    LABEL,
    SINGLE,
    TITLE,
    few_ticks,
    name_axes,
    new_axes,
    new_figure,
    save,
    set_legend,
    write,
)


def reliability(calibration: Calibration, path: str | Path, *, what: str = "rows") -> Path:
    """Draw the reliability diagram: accuracy against confidence in bins, and beneath how many rows are in each.

    Bars are bins of equal width, dots those of equal mass; below the diagonal the predictions are too confident. The
    line through a dot is two standard errors each way: if it does not reach the diagonal, that is hardly chance.

    Args:
        calibration: from `vi.evaluate.calibration`.
        path: of the PNG file.
        what: the rows are, for the title: "held-out rows", say.

    Returns:
        The path.
    """
    width, mass = calibration.reliability_equal_width, calibration.reliability_equal_mass
    edges = np.linspace(0, 1, len(width.count) + 1)
    figure = new_figure(760, 910)
    write(figure, 24, 30, f"Accuracy against confidence of {width.count.sum():,} {what}", size=TITLE, va="center")
    figures = (
        f"ECE {calibration.ece_equal_width:.4f} in bins of equal width, {calibration.ece_equal_mass:.4f} of equal mass"
    )
    write(figure, 24, 60, figures, size=LABEL, colour=FAINT, va="center")

    axes = new_axes(figure, 90, 92, 640, 560)
    axes.stairs(np.nan_to_num(width.accuracy), edges, fill=True, color=DATA)
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=0.9)
    held = mass.count > 0
    x, y, count = mass.confidence[held], mass.accuracy[held], mass.count[held]
    # of the share of right ones if the confidence is what it says; rounding may take it over 1
    errors = 2 * np.sqrt(np.maximum(x * (1 - x), 0) / count)
    inside = np.minimum(errors, [y, 1 - y])
    axes.errorbar(x, y, inside, fmt="o-", markersize=3, linewidth=1.1, elinewidth=0.7, color=SINGLE, clip_on=False)
    axes.set(xlim=(0, 1), ylim=(0, 1.01))
    few_ticks(axes, 6, 6)
    axes.tick_params(labelbottom=False)
    name_axes(axes, "", "accuracy", away=62)
    handles = [Patch(color=DATA), Line2D([], [], color=SINGLE, marker="o", markersize=3, linewidth=1.1)]
    set_legend(axes, handles, ["bins of equal width", "bins of equal mass"], loc="upper left", handlelength=1.4)

    counts = new_axes(figure, 90, 680, 640, 150)
    counts.stairs(width.count, edges, fill=True, color=DATA)
    counts.set(xlim=(0, 1), yscale="symlog", ylim=(0, 1.3 * width.count.max()))
    counts.yaxis.set_major_locator(SymmetricalLogLocator(base=10, linthresh=1))
    counts.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    name_axes(counts, "confidence: probability of the predicted class", "rows", away=62)
    return save(figure, path)
