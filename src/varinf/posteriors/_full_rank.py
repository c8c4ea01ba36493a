import math
from typing import Any, ClassVar, Self

import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray
from numpyro.distributions import MultivariateNormal

from varinf.posteriors._family import AbstractFamily
from varinf.posteriors._mean_field import RAW_ONE, positive


class FullRank(AbstractFamily):
    """Normal with a full covariance: a mean, and a lower triangular factor with a positive diagonal."""

    triangular: ClassVar[bool] = True
    needs_curvature: ClassVar[bool] = False

    def built(self, dim: int, *, key: PRNGKeyArray) -> Self:
        return self

    def num_parameters(self, dim: int) -> int:
        return dim + dim * (dim + 1) // 2

    def __call__(self, parameters: Float[Array, "*batch parameters"]) -> MultivariateNormal:
        # p = d + d (d + 1) / 2, solved for d
        dim = (math.isqrt(9 + 8 * parameters.shape[-1]) - 3) // 2
        loc, raw_scale, below = jnp.split(parameters, [dim, 2 * dim], axis=-1)
        diagonal = positive(raw_scale)[..., None] * jnp.eye(dim, dtype=parameters.dtype)
        rows, columns = jnp.tril_indices(dim, -1)
        return MultivariateNormal(loc, scale_tril=diagonal.at[..., rows, columns].set(below))

    def moved(
        self, parameters: Float[Array, " parameters"], shift: Float[Array, " dim"], scale: Float[Array, "..."]
    ) -> MultivariateNormal:
        q: Any = self(parameters)
        return MultivariateNormal(shift + scale @ q.loc, scale_tril=scale @ q.scale_tril)

    def standard(self, dim: int) -> Float[Array, " parameters"]:
        return jnp.concatenate([jnp.zeros(dim), jnp.full(dim, RAW_ONE), jnp.zeros(dim * (dim - 1) // 2)])

    def num_noise(self, dim: int) -> int:
        return dim

    def from_noise(
        self, parameters: Float[Array, " parameters"], noise: Float[Array, "draws noise"]
    ) -> Float[Array, "draws dim"]:
        q: Any = self(parameters)
        return q.loc + noise @ q.scale_tril.T

    def entropy(self, parameters: Float[Array, " parameters"], noise: Float[Array, "draws noise"]) -> Float[Array, ""]:
        return self(parameters).entropy()
