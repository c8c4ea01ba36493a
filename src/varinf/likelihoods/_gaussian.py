import math
from typing import ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpyro.distributions import Normal

from varinf._checks import known
from varinf._tree import Constant
from varinf.data import Summary
from varinf.distributions import softplus
from varinf.errors import InputError
from varinf.likelihoods._features import identity
from varinf.likelihoods._likelihood import AbstractLikelihood, DataOptions, Parts
from varinf.likelihoods._observation import Standardized

# A learned standard deviation ends here, in units of the data's own. Without an end, a column that can be
# copied without error (a constant one, say) would take the density to infinity.
_FLOOR = 1e-3


class _Known(Constant):
    value: Float[Array, "..."]


class Gaussian(AbstractLikelihood):
    """Normal noise; the network gives the mean.

    Args:
        scale: the known standard deviation, a number or an array of the shape of a datum; None learns it.
        shape: of a learned standard deviation: () for one number, or the shape of a datum.
    """

    discrete: ClassVar[bool] = False
    normalized: ClassVar[bool] = True

    scale: _Known | None
    raw_scale: Float[Array, "..."] | None

    def __init__(self, scale: float | Array | np.ndarray | None = None, shape: tuple[int, ...] = ()):
        self.scale = None if scale is None else _Known(jnp.asarray(scale, jnp.result_type(float)))
        # softplus(x) = 1: noise starts as wide as the data
        self.raw_scale = jnp.full(shape, math.log(math.e - 1), jnp.result_type(float)) if scale is None else None

    @classmethod
    def for_data(cls, event_shape: tuple[int, ...], options: DataOptions, summary: Summary | None) -> Parts:
        columns = len(event_shape) == 1
        shape = event_shape if columns else ()
        shift, unit = np.zeros(shape), np.ones(shape)
        if summary is not None:
            shift, unit = (summary.mean, summary.std) if columns else (summary.overall_mean, summary.overall_std)
            shift, unit = np.asarray(shift, np.float64), np.asarray(unit, np.float64)
            unit = np.where(unit > 0, unit, 1.0)
        observation = Standardized(shift, unit, math.prod(event_shape))
        variance = options.variance
        if variance is None:
            variance = "per_dimension" if columns else "shared"
        if isinstance(variance, str):
            known("variance", variance, ("per_dimension", "shared"))
            likelihood = cls(shape=event_shape if variance == "per_dimension" else ())
        elif 0 < variance < math.inf:
            likelihood = cls(scale=math.sqrt(variance) / unit)
        else:
            raise InputError(f"variance must be positive and finite, got {variance:g}")
        bias = None if summary is None else np.broadcast_to((summary.mean - shift) / unit, event_shape)
        return Parts(likelihood, observation, identity, event_shape, bias)

    def output_shape(self, event_shape: tuple[int, ...]) -> tuple[int, ...]:
        return event_shape

    def __call__(self, output: Float[Array, "..."]) -> Normal:
        if self.scale is not None:
            return Normal(output, self.scale.value)
        return Normal(output, softplus(self.raw_scale) + _FLOOR)
