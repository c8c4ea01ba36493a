"""How far predicted class probabilities can be trusted; NumPy alone, for the predictions of any library."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from varinf._checks import at_least_one
from varinf.errors import InputError

_ROUNDING = 1e-3  # of the sum of a row's probabilities: that of half precision


class Reliability(NamedTuple):
    """Accuracy against confidence, in bins of rows from the least to the most confident.

    Attributes:
        confidence: the mean probability of the predicted class in each bin, `[bins]`; NaN where it is empty.
        accuracy: the share of the bin's rows whose predicted class is right, `[bins]`; NaN where it is empty.
        count: how many rows are in each bin, `[bins]`.
    """

    confidence: np.ndarray
    accuracy: np.ndarray
    count: np.ndarray

    @property
    def ece(self) -> float:
        """The expected calibration error: |accuracy − confidence|, averaged over the rows."""
        held = self.count > 0
        gaps = np.abs(self.accuracy[held] - self.confidence[held])
        return float(self.count[held] @ gaps / self.count.sum())


class Selective(NamedTuple):
    """Accuracy among the most confident rows, the others left out.

    Attributes:
        coverage: the share of rows kept, 1/n to 1, `[n]`.
        accuracy: among those kept, `[n]`; in the mean over all orders of rows of equal confidence.
    """

    coverage: np.ndarray
    accuracy: np.ndarray


@dataclass(frozen=True)
class Calibration:
    """How good class probabilities are, and how far they are what they say; print it to read it.

    Attributes:
        nll: −ln of the probability of the true class in nats, averaged over the rows; infinite if that is 0 for one.
        num_impossible: how many rows have probability exactly 0 for their class.
        brier: Σ_k (p_k − [y = k])², averaged over the rows: from 0 to 2 (Brier 1950).
        accuracy: the share of rows whose predicted class is right.
        ece_equal_width: the expected calibration error in bins of equal width (Naeini, Cooper and Hauskrecht 2015; Guo
            et al. 2017, equation 3), from 0 to 1.
        ece_equal_mass: the same in bins of as many rows each (Nixon et al. 2019, section 3).
        reliability_equal_width: the curve that `ece_equal_width` is read off.
        reliability_equal_mass: the curve that `ece_equal_mass` is read off.
        selective: accuracy against coverage (Geifman and El-Yaniv 2017), from the most confident row on.
    """

    nll: float
    num_impossible: int
    brier: float
    accuracy: float
    ece_equal_width: float
    ece_equal_mass: float
    reliability_equal_width: Reliability
    reliability_equal_mass: Reliability
    selective: Selective

    def __str__(self) -> str:
        n, bins = len(self.selective.coverage), len(self.reliability_equal_width.count)
        half = self.selective.accuracy[(n + 1) // 2 - 1]
        impossible = (
            f"; rows with probability 0 for their class: {self.num_impossible:,}" if self.num_impossible else ""
        )
        return (
            f"rows      {n:,}\n"
            f"nll       {self.nll:.4f} nats per row{impossible}\n"
            f"brier     {self.brier:.4f} of at most 2\n"
            f"accuracy  {self.accuracy:.2%}; {half:.2%} in the more confident half\n"
            f"ece       {self.ece_equal_width:.4f} in {bins} bins of equal width, "
            f"{self.ece_equal_mass:.4f} in {bins} of equal mass"
        )


def calibration(probs: ArrayLike, y: ArrayLike, num_bins: int = 15) -> Calibration:
    """Score predicted class probabilities, and their confidence against how often they are right.

    The predicted class is the one of the largest probability, the first of equals; that probability is the confidence.
    A bin of equal width takes in its upper border (Guo et al. 2017). Bins of equal mass differ by at most one row; rows
    of equal confidence all count with the accuracy of these together, so no figure depends on the order of the rows.
    Nothing is clipped: a probability of exactly 0 for a row's class makes nll infinite.

    Args:
        probs: probabilities, `[n, classes]`, each row with sum 1; or of class 1 out of two, `[n]`.
        y: true classes, whole numbers from 0 to classes − 1, `[n]`.
        num_bins: for both ways to bin; of equal width they divide 0 to 1.

    Raises:
        InputError: no rows; shapes that do not fit; probabilities that are negative, NaN or of another sum than 1 (by
            more than 1e-3); classes that are no whole numbers or out of range; no bins.
    """
    at_least_one("num_bins", num_bins)
    p = _probabilities(probs)
    classes = _classes(y, *p.shape)
    rows = np.arange(len(p))

    given = p[rows, classes]
    num_impossible = int((given == 0).sum())
    nll = np.inf if num_impossible else -np.log(given).mean() + 0.0  # not −0
    predicted = p.argmax(1)
    confidence, right = p[rows, predicted], predicted == classes
    p[rows, classes] -= 1
    brier = np.square(p).sum(1).mean()

    order = np.argsort(confidence, kind="stable")
    confidence, right = confidence[order], right[order]
    shared = _shared_by_equals(confidence, right)
    borders = np.arange(1, num_bins) / num_bins
    equal_width = _curve(np.searchsorted(borders, confidence), confidence, right, num_bins)
    equal_mass = _curve(rows * num_bins // len(p), confidence, shared, num_bins)
    kept = rows + 1
    return Calibration(
        nll=float(nll),
        num_impossible=num_impossible,
        brier=float(brier),
        accuracy=float(right.mean()),
        ece_equal_width=equal_width.ece,
        ece_equal_mass=equal_mass.ece,
        reliability_equal_width=equal_width,
        reliability_equal_mass=equal_mass,
        selective=Selective(kept / len(p), np.cumsum(shared[::-1]) / kept),
    )


def _shared_by_equals(confidence: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Of each row, how often those of its confidence are right, for rows in order of confidence."""
    _, starts, counts = np.unique(confidence, return_index=True, return_counts=True)
    return np.repeat(np.add.reduceat(right.astype(np.float64), starts) / counts, counts)


def _curve(bins: np.ndarray, confidence: np.ndarray, right: np.ndarray, num_bins: int) -> Reliability:
    count = np.bincount(bins, minlength=num_bins)

    def means(values: np.ndarray) -> np.ndarray:
        return np.divide(np.bincount(bins, values, num_bins), count, out=np.full(num_bins, np.nan), where=count > 0)

    return Reliability(means(confidence), means(right), count)


def _probabilities(probs: ArrayLike) -> np.ndarray:
    """A copy in double precision, `[n, classes]`."""
    try:
        p = np.array(probs, np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"probs: expected numbers [n, classes], got something else: {error}") from None
    if p.ndim not in (1, 2) or p.size == 0:
        raise InputError(
            f"probs: expected one or more rows, [n, classes] or [n] for class 1 of two, got shape {p.shape}"
        )
    if p.ndim == 2 and p.shape[1] == 1:
        raise InputError(f"probs: expected two or more classes, got shape {p.shape}; pass [n] for class 1 of two")
    at = np.argwhere(~np.isfinite(p) | (p < 0) | (p > 1 + _ROUNDING))
    if len(at):
        found = p[tuple(at[0])]
        raise InputError(f"probs: expected probabilities, from 0 to 1, got {found:g} in row {at[0][0]}; not logits")
    if p.ndim == 1:
        return np.stack([np.maximum(1 - p, 0), p], axis=1)
    sums = p.sum(1)
    off = np.flatnonzero(np.abs(sums - 1) > _ROUNDING)
    if len(off):
        raise InputError(f"probs: expected rows with sum 1, got {sums[off[0]]:g} in row {off[0]}; divide by the sums")
    return p


def _classes(y: ArrayLike, n: int, num_classes: int) -> np.ndarray:
    try:
        classes = np.asarray(y)
        numbers = classes.astype(np.float64)
    except (TypeError, ValueError):
        raise InputError("y: expected classes as whole numbers from 0, got something else; number them") from None
    if numbers.shape != (n,):
        raise InputError(f"y: expected one class for each of the {n} rows of probs, got shape {numbers.shape}")
    bad = np.flatnonzero(~np.isin(numbers, np.arange(num_classes)))
    if len(bad):
        found = f"{numbers[bad[0]]:g} in row {bad[0]}"
        raise InputError(
            f"y: expected whole numbers from 0 to {num_classes - 1}, as probs has {num_classes} classes, got {found}"
        )
    return numbers.astype(np.intp)
