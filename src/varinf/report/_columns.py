"""Pictures of a table: a small plot for each of its first columns."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from varinf.report._style import TITLE, few_ticks, name_axes, new_axes, new_figure, write

MOST = 12
_WIDTH = 260


def column_axes(
    count: int, names: Sequence[str] | None, title: str, x: str = "", y: str = "", height: int = _WIDTH
) -> tuple[Figure, list[Axes]]:
    """Axes for the first `MOST` of so many columns, each titled with its column's name.

    Args:
        count: how many columns the table has.
        names: of the columns; numbered from 0 if None.
        title: of the whole.
        x: the name of the x axes, shown under the lowest.
        y: the name of the y axes, shown beside the leftmost.
        height: of each plot in pixels.
    """
    shown = min(count, MOST)
    across = min(shown, 4 if shown > 6 or shown == 4 else 3)
    down = -(-shown // across)
    left, top = 64 if y else 36, 96
    right, below = 62, 78
    figure = new_figure(max(left + across * (_WIDTH + right) - right + 30, 760), top + down * (height + below))
    rest = f" (the first {MOST} of {count} columns)" if count > MOST else ""
    write(figure, 24, 30, title + rest, size=TITLE, va="center")
    many = []
    for j in range(shown):
        line, place = divmod(j, across)
        axes = new_axes(figure, left + place * (_WIDTH + right), top + line * (height + below), _WIDTH, height)
        lowest = j + across >= shown
        name = _short(f"column {j}" if names is None else str(names[j]))
        name_axes(axes, x if lowest else "", y if place == 0 else "", name)
        few_ticks(axes, 4, 4)
        many.append(axes)
    return figure, many


def _short(name: str, longest: int = 32) -> str:
    return name if len(name) <= longest else name[: longest - 1] + "…"
