"""What labels are: a few classes, or numbers."""

from typing import NamedTuple

import numpy as np

from varinf.report._style import MOST_CLASSES, OTHER, class_colours


class Classes(NamedTuple):
    """Labels that name classes.

    Attributes:
        names: of the classes.
        colours: of the classes.
        index: which class each row belongs to.
    """

    names: list[str]
    colours: list[str]
    index: np.ndarray


class Numbers(NamedTuple):
    """Labels on a scale.

    Attributes:
        values: one per row; some may not be finite.
    """

    values: np.ndarray


def read_labels(labels: np.ndarray | None, count: int) -> Classes | Numbers | None:
    """Up to `MOST_CLASSES` different labels are classes; beyond that numbers are a scale, names are cut off.

    Args:
        labels: one per row; anything but a vector is taken as no labels.
        count: of rows.
    """
    if labels is None or np.ndim(labels) != 1 or len(labels) != count:
        return None
    labels = np.asarray(labels)
    numeric = labels.dtype.kind in "iuf"
    if labels.dtype.kind == "f":
        finite = labels[np.isfinite(labels)]
        if len(finite) < count or (finite != np.rint(finite)).any():
            return Numbers(labels.astype(np.float64))
    values, index, counts = np.unique(
        labels if numeric else labels.astype(str), return_inverse=True, return_counts=True
    )
    if len(values) > MOST_CLASSES and numeric:
        return Numbers(labels.astype(np.float64))
    names = [f"{value:g}" if numeric else _short(str(value)) for value in values]
    if len(values) <= MOST_CLASSES:
        return Classes(names, class_colours(len(values)), index)
    kept = np.sort(np.argsort(-counts, kind="stable")[: MOST_CLASSES - 1])
    place = np.full(len(values), len(kept))
    place[kept] = np.arange(len(kept))
    others = f"{len(values) - len(kept)} others"
    return Classes([*(names[i] for i in kept), others], [*class_colours(len(kept)), OTHER], place[index])


def _short(name: str, longest: int = 18) -> str:
    return name if len(name) <= longest else name[: longest - 1] + "…"
