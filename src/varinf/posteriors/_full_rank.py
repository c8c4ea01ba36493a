import math
from typing import ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from varinf.distributions import MultivariateNormalTriL
from varinf.posteriors._family import AbstractNormalFamily
from varinf.posteriors._mean_field import positive, raw


class FullRank(AbstractNormalFamily):
    """Normal with a full covariance: a mean, and a lower triangular factor with a positive diagonal."""

    triangular: ClassVar[bool] = True
    needs_curvature: ClassVar[bool] = False

    def num_parameters(self, dim: int) -> int:
        return dim + dim * (dim + 1) // 2

    def __call__(self, parameters: Float[Array, "*batch parameters"]) -> MultivariateNormalTriL:
        # p = d + d (d + 1) / 2, solved for d
        dim = (math.isqrt(9 + 8 * parameters.shape[-1]) - 3) // 2
        loc, raw_scale, below = jnp.split(parameters, [dim, 2 * dim], axis=-1)
        diagonal = positive(raw_scale)[..., None] * np.eye(dim, dtype=parameters.dtype)
        rows, columns = np.tril_indices(dim, -1)
        return MultivariateNormalTriL(loc, diagonal.at[..., rows, columns].set(below))

    def moved(
        self, parameters: Float[Array, " parameters"], shift: Float[Array, " dim"], scale: Float[Array, "..."]
    ) -> MultivariateNormalTriL:
        q = self(parameters)
        loc = shift + (scale @ q.loc[..., None])[..., 0]
        return MultivariateNormalTriL(loc, scale @ q.scale_tril)

    def standard(self, dim: int, scale: float | Float[Array, ""] = 1.0) -> Float[Array, " parameters"]:
        return jnp.concatenate([jnp.zeros(dim), jnp.full(dim, raw(scale)), jnp.zeros(dim * (dim - 1) // 2)])

    def num_noise(self, dim: int) -> int:
        return dim

    def from_noise(
        self, parameters: Float[Array, " parameters"], noise: Float[Array, "draws noise"]
    ) -> Float[Array, "draws dim"]:
        q = self(parameters)
        return q.loc + noise @ q.scale_tril.T
