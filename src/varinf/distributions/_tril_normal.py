import math
from typing import Any

import jax.numpy as jnp
from numpyro.distributions import constraints

from varinf._noise import normal
from varinf.distributions._from_arrays import FromArrays, same_rank, solve_lower
from varinf.errors import InputError


class MultivariateNormalTriL(FromArrays):
    """Normal distribution of a vector with covariance L Lᵀ, given the lower triangular L.

    Args:
        loc: the mean, `[*batch, dim]`.
        scale_tril: L, with a positive diagonal, `[*batch, dim, dim]`; the two batches broadcast.
    """

    arg_constraints = {  # noqa: RUF012  (NumPyro's protocol)
        "loc": constraints.real_vector,
        "scale_tril": constraints.lower_cholesky,
    }
    support: Any = constraints.real_vector
    reparametrized_params = ["loc", "scale_tril"]  # noqa: RUF012
    pytree_data_fields = ("loc", "scale_tril")

    def __init__(self, loc, scale_tril, *, validate_args: bool | None = None):
        dtype = jnp.result_type(loc, scale_tril, float)
        loc, scale_tril = jnp.asarray(loc, dtype), jnp.asarray(scale_tril, dtype)
        if loc.ndim < 1 or scale_tril.ndim < 2 or scale_tril.shape[-2:] != loc.shape[-1:] * 2:
            raise InputError(
                "MultivariateNormalTriL: expected loc [*batch, dim] and scale_tril [*batch, dim, dim], "
                f"got {loc.shape} and {scale_tril.shape}"
            )
        (self.loc,), self.scale_tril = same_rank([loc], scale_tril)
        super().__init__(validate_args=validate_args)

    def _shapes(self):
        loc, scale_tril = jnp.shape(self.loc), jnp.shape(self.scale_tril)
        return jnp.broadcast_shapes(loc[:-1], scale_tril[:-2]), loc[-1:]

    def sample(self, key: Any, sample_shape=()):
        (noise,) = normal(key, [self.shape(sample_shape)], self.loc.dtype)
        return self.loc + jnp.einsum("...ij,...j->...i", self.scale_tril, noise)

    def log_prob(self, value):
        standard = solve_lower(self.scale_tril, value - self.mean)
        half_log_det = jnp.log(jnp.diagonal(self.scale_tril, axis1=-2, axis2=-1)).sum(-1)
        return -0.5 * (standard**2).sum(-1) - half_log_det - 0.5 * self.loc.shape[-1] * math.log(2 * math.pi)

    @property
    def mean(self):
        return jnp.broadcast_to(self.loc, self.shape())

    @property
    def variance(self):
        return jnp.broadcast_to((self.scale_tril**2).sum(-1), self.shape())

    @property
    def covariance_matrix(self):
        """The covariance, `[*batch, dim, dim]`."""
        covariance = self.scale_tril @ jnp.swapaxes(self.scale_tril, -1, -2)
        return jnp.broadcast_to(covariance, (*self.shape(), self.loc.shape[-1]))

    def entropy(self):
        logs = jnp.log(jnp.diagonal(self.scale_tril, axis1=-2, axis2=-1))
        return jnp.broadcast_to((logs + 0.5 * (1 + math.log(2 * math.pi))).sum(-1), self.batch_shape)
