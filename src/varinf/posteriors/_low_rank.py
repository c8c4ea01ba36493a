from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from varinf._checks import at_least_one
from varinf.distributions import LowRankMultivariateNormal
from varinf.posteriors._family import AbstractNormalFamily
from varinf.posteriors._mean_field import positive, raw

_LEAST_SHARE = 1e-3
_SHARED = 0.1  # of each component's variance, that is F Fᵀ's to begin with


class LowRank(AbstractNormalFamily):
    """Normal with covariance F Fᵀ + diag(s²): few directions in which the components go together.

    Source: Ong, Nott and Smith 2018.

    Args:
        rank: columns of F; no more are used than there are dimensions.
    """

    triangular: ClassVar[bool] = False
    needs_curvature: ClassVar[bool] = False
    rank: int = eqx.field(static=True)

    def __init__(self, rank: int = 10):
        self.rank = at_least_one("rank", rank)

    def num_parameters(self, dim: int) -> int:
        return dim * (2 + self._columns(dim))

    def __call__(self, parameters: Float[Array, "*batch parameters"]) -> LowRankMultivariateNormal:
        loc, scale, factor = self._parts(parameters)
        return LowRankMultivariateNormal(loc, factor, scale**2)

    def moved(
        self, parameters: Float[Array, " parameters"], shift: Float[Array, " dim"], scale: Float[Array, "..."]
    ) -> LowRankMultivariateNormal:
        loc, own, factor = self._parts(parameters)
        return LowRankMultivariateNormal(shift + scale * loc, scale[..., None] * factor, (scale * own) ** 2)

    def standard(self, dim: int, scale: float | Float[Array, ""] = 1.0) -> Float[Array, " parameters"]:
        # F = 0 is a saddle: columns that differ, and are so large that none goes to it
        columns = self._columns(dim)
        factor = jnp.cos(jnp.arange(1, dim + 1)[:, None] * jnp.arange(1, columns + 1))
        factor *= _SHARED**0.5 * scale / jnp.sqrt((factor**2).sum(1, keepdims=True))
        return jnp.concatenate([jnp.zeros(dim), jnp.full(dim, raw((1 - _SHARED) ** 0.5 * scale)), factor.ravel()])

    def num_noise(self, dim: int) -> int:
        return dim + self._columns(dim)

    def from_noise(
        self, parameters: Float[Array, " parameters"], noise: Float[Array, "draws noise"]
    ) -> Float[Array, "draws dim"]:
        loc, scale, factor = self._parts(parameters)
        own, shared = jnp.split(noise, [loc.shape[-1]], axis=-1)
        return loc + scale * own + shared @ factor.T

    def _columns(self, dim: int) -> int:
        return min(self.rank, dim)

    def _parts(self, parameters: Float[Array, "*batch parameters"]) -> tuple[Array, Array, Array]:
        size = parameters.shape[-1]
        # p = d (2 + min(rank, d)), solved for d
        dim = size // (2 + self.rank)
        if dim < self.rank:
            dim = next(d for d in range(1, self.rank + 1) if d * (2 + d) == size)
        loc, raw_scale, factor = jnp.split(parameters, [dim, 2 * dim], axis=-1)
        factor = factor.reshape(*factor.shape[:-1], dim, -1)
        # with less of a component's own, single precision could not tell the covariance from a singular one
        least = _LEAST_SHARE * jnp.sqrt((factor**2).sum(-1) + _LEAST_SHARE**2)
        return loc, positive(raw_scale) + least, factor
