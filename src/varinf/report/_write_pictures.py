from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import PRNGKeyArray

from varinf.evaluate import encode
from varinf.report._codes import draw_codes
from varinf.report._loss_curves import loss_curves
from varinf.report._manifold import manifold
from varinf.report._progress import progress
from varinf.report._reconstructions import reconstructions
from varinf.report._samples import samples
from varinf.report._tiles import data_range, mean_range
from varinf.report._traversals import draw_traversals


def write_pictures(
    model: Any,
    rows: np.ndarray,
    *,
    history: Mapping[str, Sequence[float]],
    folder: str | Path,
    labels: np.ndarray | None = None,
    snapshots: Sequence[tuple[int, np.ndarray]] = (),
    kind: str = "images",
    columns: Sequence[str] | None = None,
    max_value: float | None = None,
    key: PRNGKeyArray,
) -> list[Path]:
    """Write the pictures of a fitted VAE, those that make sense for it.

    Args:
        model: a VAE.
        rows: held-out data as they are stored, `[n, *event]`; a few thousand at most.
        history: metrics by name, one entry for each epoch, as in `Fit.history`.
        folder: where to; it must exist.
        labels: one per row, for colours.
        snapshots: epochs, and the decoder's means `[m, *event]` at the same codes at each.
        kind: "images" or "table", as in `varinf.data.Spec`.
        columns: the names of a table's columns.
        max_value: the stored value that means white, where it is known.
        key: for draws from the prior.

    Returns:
        The paths of the files.
    """
    folder, encoded = Path(folder), encode(model, rows)
    written = []
    if any(len(values) for values in history.values()):
        written.append(loss_curves(history, folder / "loss_curves.png"))
    written.append(draw_codes(encoded, labels, folder / "codes.png", "held-out rows"))
    if kind != "images":
        written.append(reconstructions(model, rows, folder / "reconstructions.png", columns=columns))
        written.append(
            samples(model, folder / "samples.png", rows=rows, columns=columns, what="held-out data", key=key)
        )
        return written
    limits = data_range(model, rows, max_value)
    written.append(reconstructions(model, rows, folder / "reconstructions.png", limits=limits))
    written.append(samples(model, folder / "samples.png", limits=limits, key=key))
    if encoded.means.shape[1] == 2:
        written.append(manifold(model, folder / "manifold.png", limits=limits))
    else:
        written.append(draw_traversals(model, encoded, folder / "traversals.png", limits))
    if snapshots:
        shown = mean_range(model, limits, np.asarray(snapshots[-1][1]))
        written.append(progress(snapshots, folder / "progress.png", limits=shown))
    return written
