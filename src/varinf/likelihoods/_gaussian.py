import math
from typing import ClassVar

import numpy as np
from jaxtyping import Array, Float
from numpyro.distributions import Normal

from varinf._checks import known
from varinf.data import Summary
from varinf.errors import InputError
from varinf.likelihoods._features import identity
from varinf.likelihoods._likelihood import AbstractLikelihood, DataOptions, Parts
from varinf.likelihoods._observation import Standardized
from varinf.likelihoods._parameters import Known, known_number, learned_scale, raw


class Gaussian(AbstractLikelihood):
    """Normal noise; the network gives the mean.

    Args:
        scale: the known standard deviation, a number or an array of the shape of a datum; None learns it.
        shape: of a learned standard deviation: () for one number, or the shape of a datum.

    Raises:
        InputError: a standard deviation that is not positive and finite.
    """

    discrete: ClassVar[bool] = False
    normalized: ClassVar[bool] = True

    scale: Known | None
    raw_scale: Float[Array, "..."] | None

    def __init__(self, scale: float | Array | np.ndarray | None = None, shape: tuple[int, ...] = ()):
        self.scale = None if scale is None else known_number("scale", scale)
        # noise starts as wide as the data
        self.raw_scale = raw(1.0, shape) if scale is None else None

    @classmethod
    def for_data(cls, event_shape: tuple[int, ...], options: DataOptions, summary: Summary | None) -> Parts:
        observation = Standardized.for_data(event_shape, summary)
        variance = options.variance
        if variance is None:
            variance = "per_dimension" if len(event_shape) == 1 else "shared"
        if isinstance(variance, str):
            known("variance", variance, ("per_dimension", "shared"))
            likelihood = cls(shape=event_shape if variance == "per_dimension" else ())
        elif 0 < variance < math.inf:
            likelihood = cls(scale=math.sqrt(variance) / observation.unit)
        else:
            raise InputError(f"variance must be positive and finite, got {variance:g}")
        bias = None if summary is None else observation.standardize(summary.mean)
        return Parts(likelihood, observation, identity, event_shape, bias)

    def output_shape(self, event_shape: tuple[int, ...]) -> tuple[int, ...]:
        return event_shape

    def __call__(self, output: Float[Array, "..."]) -> Normal:
        return Normal(output, learned_scale(self.raw_scale) if self.scale is None else self.scale.value)
