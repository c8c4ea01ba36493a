from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from varinf.evaluate import Coverage, calibration
from varinf.models import Prediction
from varinf.report._coverage import coverage as draw_coverage
from varinf.report._loss_curves import loss_curves
from varinf.report._reliability import reliability
from varinf.report._selective import selective
from varinf.report._uncertain_inputs import uncertain_inputs
from varinf.report._uncertainties import uncertainties

_PARTS = {"reconstruction": "E[ln p(y | x, w)]", "kl": "KL[q(w) || p(w)] / training rows"}
_WHAT = "held-out rows"


def write_classifier_pictures(
    prediction: Prediction,
    x: np.ndarray,
    y: np.ndarray,
    *,
    classes: Sequence[str] | Sequence[int],
    history: Mapping[str, Sequence[float]],
    folder: str | Path,
    max_value: float | None = None,
) -> list[Path]:
    """Write the pictures of a fitted network that predicts classes, those that make sense for it.

    Args:
        prediction: for held-out inputs.
        x: these inputs as they are stored, `[n, *event]`.
        y: their classes, whole numbers from 0, `[n]`.
        classes: their names.
        history: metrics by name, one entry for each epoch, as in `Fit.history`.
        folder: where to; it must exist.
        max_value: the stored value that means white, where it is known.

    Returns:
        The paths of the files.
    """
    folder, found, predicted = Path(folder), calibration(prediction.mean, y), prediction.mean.argmax(1)
    names = np.asarray(classes)
    shown = uncertain_inputs(
        x,
        prediction.epistemic,
        folder / "uncertain_inputs.png",
        given=names[y],
        predicted=names[predicted],
        limits=None if max_value is None else (0.0, max_value),
        what=_WHAT,
    )
    right = predicted == y
    written = [
        reliability(found, folder / "reliability.png", what=_WHAT),
        selective(found, folder / "selective.png", what=_WHAT),
        uncertainties(
            prediction.epistemic, prediction.aleatoric, folder / "uncertainties.png", right=right, what=_WHAT
        ),
    ]
    return _with_curves(history, folder, written, shown)


def write_regressor_pictures(
    prediction: Prediction,
    coverage: Coverage,
    x: np.ndarray,
    *,
    y: np.ndarray,
    target: str,
    history: Mapping[str, Sequence[float]],
    folder: str | Path,
    max_value: float | None = None,
) -> list[Path]:
    """Write the pictures of a fitted network that predicts a number, those that make sense for it.

    Args:
        prediction: for held-out inputs.
        coverage: of intervals for them, at many levels.
        x: these inputs as they are stored, `[n, *event]`.
        y: the numbers, `[n]`.
        target: what they are called.
        history: metrics by name, one entry for each epoch, as in `Fit.history`.
        folder: where to; it must exist.
        max_value: the stored value that means white, where it is known.

    Returns:
        The paths of the files.
    """
    folder, unit = Path(folder), f"standard deviation of {target}"
    epistemic, aleatoric = np.sqrt(prediction.epistemic), np.sqrt(prediction.aleatoric)
    shown = uncertain_inputs(
        x,
        epistemic,
        folder / "uncertain_inputs.png",
        given=[f"{value:.4g}" for value in y],
        predicted=[f"{value:.4g}" for value in prediction.mean],
        limits=None if max_value is None else (0.0, max_value),
        unit=unit,
        what=_WHAT,
    )
    written = [
        draw_coverage(coverage, folder / "coverage.png", what=_WHAT),
        uncertainties(epistemic, aleatoric, folder / "uncertainties.png", unit=unit, what=_WHAT),
    ]
    return _with_curves(history, folder, written, shown)


def _with_curves(
    history: Mapping[str, Sequence[float]], folder: Path, written: list[Path], shown: Path | None
) -> list[Path]:
    if shown is not None:
        written = [*written, shown]
    if any(len(values) for values in history.values()):
        written = [loss_curves(history, folder / "loss_curves.png", parts=_PARTS), *written]
    return written
