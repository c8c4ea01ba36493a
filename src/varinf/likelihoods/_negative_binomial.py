from typing import ClassVar

import numpy as np
from jaxtyping import Array, Float

from varinf import distributions as vd
from varinf.data import Summary
from varinf.likelihoods._features import log1p
from varinf.likelihoods._likelihood import AbstractLikelihood, DataOptions, Parts
from varinf.likelihoods._observation import Whole
from varinf.likelihoods._parameters import Known, known_number, raw

# Of 1 / concentration, when learned: counts that are Poisson would take the concentration to infinity.
_FLOOR = 1e-4


class NegativeBinomial(AbstractLikelihood):
    """Counts that scatter more than a Poisson's; the network gives the logarithm of the mean.

    The variance is mean + mean² / concentration. What is learned is 1 / concentration, which for Poisson counts goes to
    its end at 1e-4.

    Args:
        concentration: known, a positive number or an array of the shape of a datum; None learns it, from 1 on.
        shape: of a learned concentration: () for one number, or the shape of a datum.

    Raises:
        InputError: a concentration that is not positive and finite.
    """

    discrete: ClassVar[bool] = True
    normalized: ClassVar[bool] = True

    concentration: Known | None
    raw_dispersion: Float[Array, "..."] | None

    def __init__(self, concentration: float | Array | np.ndarray | None = None, shape: tuple[int, ...] = ()):
        self.concentration = None if concentration is None else known_number("concentration", concentration)
        self.raw_dispersion = raw(1 - _FLOOR, shape) if concentration is None else None

    @classmethod
    def for_data(cls, event_shape: tuple[int, ...], options: DataOptions, summary: Summary | None) -> Parts:
        bias = None if summary is None else np.log(np.maximum(summary.mean, 1e-3))
        likelihood = cls(shape=event_shape if len(event_shape) == 1 else ())
        return Parts(likelihood, Whole("negative_binomial", None, event_shape=event_shape), log1p, event_shape, bias)

    def output_shape(self, event_shape: tuple[int, ...]) -> tuple[int, ...]:
        return event_shape

    def __call__(self, output: Float[Array, "..."]) -> vd.NegativeBinomialLogMean:
        if self.concentration is not None:
            return vd.NegativeBinomialLogMean(output, self.concentration.value)
        return vd.NegativeBinomialLogMean(output, 1 / (vd.softplus(self.raw_dispersion) + _FLOOR))
