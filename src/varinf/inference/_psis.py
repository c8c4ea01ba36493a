"""Pareto-smoothed importance sampling (Vehtari, Simpson, Gelman, Yao and Gabry 2024)."""

import math
from typing import NamedTuple

import numpy as np
from scipy import special, stats

_SHORTEST = 50  # ratios of a tail that was halved
_TAME = 0.5  # of the draws, that the weights must count for
_EVEN = 0.99  # from which on, a tail that is of no distribution is of no account
_LEAST = 1e-290  # for what is to be positive, and divided by
_SIGNIFICANT = 0.05  # below which a tail is not of its distribution
_EQUAL = 1e-3  # spread of log ratios by which weighting changes nothing


class Smoothed(NamedTuple):
    """Importance weights with a smoothed tail.

    Attributes:
        log_weights: normalised, so that the weights sum to one, `[n]`.
        khat: the shape of the generalised Pareto distribution of the largest ratios. Below 0.5 the ratios have a
            finite variance; up to 0.7 estimates from them can be relied on.
        khat_stderr: its standard error (Smith 1987), were the ratios independent.
        conclusive: false where the weights are good, but no tail is of such a distribution: more ratios may have one.
    """

    log_weights: np.ndarray
    khat: float
    khat_stderr: float
    conclusive: bool = True


def smooth(log_ratios: np.ndarray, rounding: float = 0.0) -> Smoothed:
    """Replace the largest importance ratios by quantiles of a generalised Pareto distribution fitted to them.

    The largest are the min(n / 5, 3 √n) of Vehtari et al., halved until they are of such a distribution by a test of
    Cramér and von Mises, as Bader, Yan and Zhang (2018) find a threshold. Else one that happens to be at a value that
    many ratios are near, as in one dimension about each extremum of ln p − ln q, has a fit of k = 5 to a q that is all
    but exact. Where none of them is of such a distribution, it is 0 if the weights count for 99 % of the draws,
    else the published number; this too where they count for less than half: the largest may then be alone at a narrow
    peak of p that q all but misses.

    Args:
        log_ratios: ln p − ln q of draws from q, up to a constant, `[n]`.
        rounding: spread of log ratios that is nothing but rounding; k-hat is 0 where they spread no further than that
            or than a thousandth.
    """
    log_ratios = np.asarray(log_ratios, np.float64)
    log_weights = log_ratios - log_ratios.max()
    count = len(log_weights)
    tail_length = math.ceil(min(0.2 * count, 3 * math.sqrt(count)))
    constant = Smoothed(_normalized(log_weights), 0.0, 0.0)
    if -log_weights.min() <= max(rounding, _EQUAL) or tail_length < 5:
        return constant
    weights = np.exp(log_weights)
    share = weights.sum() ** 2 / (weights**2).sum() / count
    order = np.argsort(log_weights)
    length, tails, conclusive = tail_length, [], True
    while True:
        below = math.exp(log_weights[order[-length - 1]])
        exceedances = np.exp(log_weights[order[-length:]]) - below
        if exceedances[-1] <= _LEAST or exceedances[-1] - exceedances[0] <= 1e-12 * exceedances[-1]:
            return constant
        pareto = stats.genpareto(*_fit_pareto(np.maximum(exceedances, _LEAST)))
        tails.append((length, below, pareto))
        # the p-value is that of a distribution known beforehand: of one that was fitted it is smaller still
        if stats.cramervonmises(exceedances, pareto.cdf).pvalue > _SIGNIFICANT:
            break
        if length < 2 * _SHORTEST or share < _TAME:
            conclusive = share < _TAME
            if share > _EVEN:
                return constant._replace(conclusive=conclusive)
            del tails[1:]
            break
        length //= 2
    length, below, pareto = tails[-1]
    quantiles = pareto.ppf((np.arange(length) + 0.5) / length)
    log_weights[order[-length:]] = np.minimum(np.log(quantiles + below), 0.0)
    khat = pareto.args[0]
    return Smoothed(_normalized(log_weights), khat, (1 + khat) / math.sqrt(length), conclusive)


def _normalized(log_weights: np.ndarray) -> np.ndarray:
    return log_weights - np.logaddexp.reduce(log_weights)


def _fit_pareto(x: np.ndarray) -> tuple[float, float, float]:
    """Shape, place (0) and scale of a generalised Pareto distribution for sorted positive x (Zhang and Stephens 2009).

    The shape is drawn towards 0.5 with the weight of ten observations, as Vehtari et al. do.
    """
    count = len(x)
    points = 30 + int(math.sqrt(count))
    quartile = x[int(count / 4 + 0.5) - 1]
    theta = 1 / x[-1] + (1 - np.sqrt(points / (np.arange(1, points + 1) - 0.5))) / (3 * quartile)
    shapes = np.log1p(-theta[:, None] * x).mean(1)
    likelihood = count * (np.log(-theta / shapes) - shapes - 1)
    best = float(theta @ special.softmax(likelihood))
    shape = float(np.log1p(-best * x).mean())
    return (count * shape + 10 * 0.5) / (count + 10), 0.0, -shape / best
