"""How far a predictive distribution of numbers can be trusted; NumPy alone, for the predictions of any library."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from varinf.errors import InputError


@dataclass(frozen=True)
class Coverage:
    """How often central intervals hold what they should, and how narrow they are; print it to read it.

    Attributes:
        levels: what share of rows the intervals should hold, `[levels]`.
        observed: what share they hold, `[levels]`.
        width: of the intervals in the units of y, averaged over the rows, `[levels]`.
        crps: the continuous ranked probability score in the units of y, averaged over the rows; 0 is best.
        num_rows: how many rows there are.
    """

    levels: np.ndarray
    observed: np.ndarray
    width: np.ndarray
    crps: float
    num_rows: int

    def __str__(self) -> str:
        lines = [f"rows  {self.num_rows:,}", f"crps  {self.crps:.4g}", "level    observed  mean width"]
        for level, observed, width in zip(self.levels, self.observed, self.width, strict=True):
            lines.append(f"{f'{100 * level:g} %':<8} {observed:>7.1%}   {width:.4g}")
        return "\n".join(lines)


def coverage(draws: ArrayLike, y: ArrayLike, levels: Sequence[float] = (0.5, 0.8, 0.9, 0.95)) -> Coverage:
    """Score draws from predictive distributions, and how often their central intervals hold the truth.

    The ends of an interval are the quantiles at (r / (draws + 1)) of the r-th smallest draw, with straight lines
    between (Hyndman and Fan 1996, definition 6): if y is distributed as the draws are, an interval between two of them
    holds it with just that probability. Quantiles that take the smallest draw for the 0 % one fall short: 93.1 % for
    95 % with 100 draws. The CRPS is E|X − y| − ½ E|X − X'| (Gneiting and Raftery 2007, equation 21, with the sign that
    makes less better); its second mean is over pairs of different draws, which makes it unbiased.

    Args:
        draws: from the predictive distribution of each row, the noise of y included, `[num_draws, n]`.
        y: what was observed, `[n]`.
        levels: shares of rows, each above 0 and below 1.

    Raises:
        InputError: no rows; shapes that do not fit; values that are not finite; a level out of range, or too high for
            so few draws (0.95 needs 39).
    """
    observed = _finite("y", y)
    if observed.ndim != 1 or observed.size == 0:
        raise InputError(f"y: expected one or more numbers, [n], got shape {observed.shape}")
    values = _finite("draws", draws)
    if values.ndim != 2 or values.shape[1] != len(observed):
        raise InputError(f"draws: expected [num_draws, {len(observed)}] to fit y, got shape {values.shape}")
    asked = _levels(levels, len(values))

    # All figures are of differences to y: so they keep their digits far from 0.
    errors = np.sort(values - observed, axis=0)
    num_draws = len(errors)
    lower, upper = np.quantile(errors, [(1 - asked) / 2, (1 + asked) / 2], axis=0, method="weibull")
    held, widths = ((lower <= 0) & (upper >= 0)).mean(1), (upper - lower).mean(1)
    # Σ over pairs |X − X'| of sorted draws: the r-th is larger than r − 1 of them and smaller than the rest.
    signs = 2 * np.arange(1, num_draws + 1) - num_draws - 1
    spread = signs @ errors / (num_draws * (num_draws - 1))
    crps = (np.abs(errors).mean(0) - spread).mean()
    return Coverage(asked, held, widths, float(crps), len(observed))


def _levels(levels: Sequence[float], num_draws: int) -> np.ndarray:
    asked = _finite("levels", levels)
    if asked.ndim != 1 or asked.size == 0 or ((asked <= 0) | (asked >= 1)).any():
        raise InputError(f"levels: expected one or more shares above 0 and below 1, got {levels}")
    # the outermost draws are the quantiles at 1 / (draws + 1) from the ends
    needed = math.ceil(2 / (1 - asked.max()) - 1 - 1e-9)
    if num_draws < needed:
        raise InputError(
            f"draws: an interval of {100 * asked.max():g} % needs at least {needed}, got {num_draws}; draw more, or "
            "pass lower levels"
        )
    return asked


def _finite(name: str, values: ArrayLike) -> np.ndarray:
    try:
        numbers = np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: expected numbers, got something else: {error}") from None
    if not np.isfinite(numbers).all():
        raise InputError(f"{name}: expected finite numbers, got {(~np.isfinite(numbers)).sum()} that are not")
    return numbers
