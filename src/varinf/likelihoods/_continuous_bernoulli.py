from typing import ClassVar

import numpy as np
from jaxtyping import Array, Float

from varinf import distributions as vd
from varinf.data import Summary
from varinf.likelihoods._features import identity
from varinf.likelihoods._likelihood import AbstractLikelihood, DataOptions, Parts
from varinf.likelihoods._observation import Rescaled


class ContinuousBernoulli(AbstractLikelihood):
    """Grey values as numbers in [0, 1]; the network gives the log-odds of the density's parameter."""

    discrete: ClassVar[bool] = False
    normalized: ClassVar[bool] = True

    @classmethod
    def for_data(cls, event_shape: tuple[int, ...], options: DataOptions, summary: Summary | None) -> Parts:
        bias = None if summary is None else _logit_of_mean(summary.mean / options.scale)
        return Parts(cls(), Rescaled(options.scale, event_shape=event_shape), identity, event_shape, bias)

    def output_shape(self, event_shape: tuple[int, ...]) -> tuple[int, ...]:
        return event_shape

    def __call__(self, output: Float[Array, "..."]) -> vd.ContinuousBernoulli:
        return vd.ContinuousBernoulli(output)


def _logit_of_mean(mean: np.ndarray) -> np.ndarray:
    """The logit at which the density has this mean, by bisection of the rising function."""
    mean = np.clip(mean, 0.02, 0.98)
    low, high = np.full(mean.shape, -60.0), np.full(mean.shape, 60.0)
    for _ in range(50):
        middle = (low + high) / 2
        safe = np.where(np.abs(middle) < 1e-6, 1e-6, middle)
        below = -1 / np.expm1(-safe) - 1 / safe < mean
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return (low + high) / 2
