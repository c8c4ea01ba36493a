import math

import jax.numpy as jnp
from jaxtyping import Array, Float
from numpyro.distributions import MultivariateNormal

from varinf.posteriors._family import AbstractFamily
from varinf.posteriors._mean_field import positive


class FullRank(AbstractFamily):
    """Normal with a full covariance: a mean, and a lower triangular factor with a positive diagonal."""

    def num_parameters(self, dim: int) -> int:
        return dim + dim * (dim + 1) // 2

    def __call__(self, parameters: Float[Array, "*batch parameters"]) -> MultivariateNormal:
        # p = d + d (d + 1) / 2, solved for d
        dim = (math.isqrt(9 + 8 * parameters.shape[-1]) - 3) // 2
        loc, raw_scale, below = jnp.split(parameters, [dim, 2 * dim], axis=-1)
        diagonal = positive(raw_scale)[..., None] * jnp.eye(dim, dtype=parameters.dtype)
        rows, columns = jnp.tril_indices(dim, -1)
        return MultivariateNormal(loc, scale_tril=diagonal.at[..., rows, columns].set(below))
