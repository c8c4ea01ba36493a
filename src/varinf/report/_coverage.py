from pathlib import Path

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from varinf.evaluate import Coverage
from varinf.report._style import (
    FAINT,
    HAIR,
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


def coverage(coverage: Coverage, path: str | Path, *, what: str = "rows") -> Path:
    """Draw what share of rows the central intervals hold, against what share they should.

    Below the diagonal they are too narrow. The band is two standard errors each way, for independent rows.

    Args:
        coverage: from `vi.evaluate.coverage`; of many levels, for a smooth curve.
        path: of the PNG file.
        what: the rows are, for the title: "held-out rows", say.

    Returns:
        The path.
    """
    order = np.argsort(coverage.levels)
    figure = new_figure(760, 830)
    title = f"Rows inside central intervals, of {coverage.num_rows:,} {what}"
    write(figure, 24, 30, title, size=TITLE, va="center")
    write(figure, 24, 60, f"CRPS {coverage.crps:.4g}", size=LABEL, colour=FAINT, va="center")
    axes = new_axes(figure, 90, 92, 640, 640)
    nominal = np.linspace(0, 1, 201)
    error = 2 * np.sqrt(nominal * (1 - nominal) / coverage.num_rows)
    axes.fill_between(nominal, nominal - error, nominal + error, color=HAIR, alpha=0.35, linewidth=0)
    axes.plot([0, 1], [0, 1], color=HAIR, linewidth=0.9)
    axes.plot(
        coverage.levels[order], coverage.observed[order], "o-", color=SINGLE, linewidth=1.3, markersize=3, clip_on=False
    )
    axes.set(xlim=(0, 1), ylim=(0, 1))
    few_ticks(axes, 6, 6)
    name_axes(axes, "nominal: share of rows that should be inside", "observed: share that is", away=62)
    handles = [Line2D([], [], color=SINGLE, marker="o", markersize=3), Patch(color=HAIR, alpha=0.35, linewidth=0)]
    set_legend(axes, handles, ["observed", "if calibrated, ± 2 standard errors"], loc="upper left", handlelength=1.4)
    return save(figure, path)
