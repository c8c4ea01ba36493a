from typing import ClassVar

import numpy as np
from jaxtyping import Array, Float

from varinf import distributions as vd
from varinf.data import Summary
from varinf.likelihoods._features import log1p
from varinf.likelihoods._likelihood import AbstractLikelihood, DataOptions, Parts
from varinf.likelihoods._observation import Whole


class Poisson(AbstractLikelihood):
    """Counts; the network gives the logarithm of the rate."""

    discrete: ClassVar[bool] = True
    normalized: ClassVar[bool] = True

    @classmethod
    def for_data(cls, event_shape: tuple[int, ...], options: DataOptions, summary: Summary | None) -> Parts:
        bias = None if summary is None else np.log(np.maximum(summary.mean, 1e-3))
        return Parts(cls(), Whole("poisson", None, event_shape=event_shape), log1p, event_shape, bias)

    def output_shape(self, event_shape: tuple[int, ...]) -> tuple[int, ...]:
        return event_shape

    def __call__(self, output: Float[Array, "..."]) -> vd.PoissonLogRate:
        return vd.PoissonLogRate(output)
