from pathlib import Path

from varinf.evaluate import Calibration
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
    plain_ticks,
    save,
    span,
    write,
)


def selective(calibration: Calibration, path: str | Path, *, what: str = "rows") -> Path:
    """Draw the accuracy among the most confident rows, against what share of all these are.

    Args:
        calibration: from `vi.evaluate.calibration`.
        path: of the PNG file.
        what: the rows are, for the title: "held-out rows", say.

    Returns:
        The path.
    """
    coverage, accuracy = calibration.selective
    figure = new_figure(900, 630)
    write(figure, 24, 30, f"Accuracy of the most confident of {len(coverage):,} {what}", size=TITLE, va="center")
    half = accuracy[(len(accuracy) + 1) // 2 - 1]
    figures = f"accuracy {calibration.accuracy:.2%} of all, {half:.2%} of the more confident half"
    write(figure, 24, 60, figures, size=LABEL, colour=FAINT, va="center")
    axes = new_axes(figure, 120, 92, 750, 450)
    axes.axhline(calibration.accuracy, color=HAIR, linewidth=0.9)
    axes.plot(coverage, accuracy, color=SINGLE, linewidth=1.3)
    axes.set(xlim=(0, 1.005), ylim=span([*accuracy, 1.0]))
    few_ticks(axes, 6, 6)
    plain_ticks(axes)
    name_axes(axes, "coverage: share of rows kept", "accuracy", away=92)
    return save(figure, path)
