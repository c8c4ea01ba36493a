import math
from typing import Any

import jax.numpy as jnp
from numpyro.distributions import constraints

from varinf._noise import normal
from varinf.distributions._from_arrays import FromArrays


class MultivariateNormalDiag(FromArrays):
    """Normal distribution of a vector with independent components.

    Args:
        loc: the mean, `[*batch, dim]`.
        scale_diag: the standard deviations, positive, `[*batch, dim]` or what broadcasts to it.
    """

    arg_constraints = {  # noqa: RUF012  (NumPyro's protocol)
        "loc": constraints.real_vector,
        "scale_diag": constraints.independent(constraints.positive, 1),
    }
    support: Any = constraints.real_vector
    reparametrized_params = ["loc", "scale_diag"]  # noqa: RUF012
    pytree_data_fields = ("loc", "scale_diag")

    def __init__(self, loc, scale_diag, *, validate_args: bool | None = None):
        loc, scale_diag = jnp.asarray(loc), jnp.asarray(scale_diag)
        shape = jnp.broadcast_shapes(jnp.shape(loc), jnp.shape(scale_diag))
        if not shape:
            raise ValueError("MultivariateNormalDiag: expected vectors for loc and scale_diag, got scalars")
        dtype = jnp.result_type(loc, scale_diag, float)
        self.loc = jnp.broadcast_to(loc.astype(dtype), shape)
        self.scale_diag = jnp.broadcast_to(scale_diag.astype(dtype), shape)
        super().__init__(validate_args=validate_args)

    def _shapes(self):
        shape = jnp.broadcast_shapes(jnp.shape(self.loc), jnp.shape(self.scale_diag))
        return shape[:-1], shape[-1:]

    def sample(self, key: Any, sample_shape=()):
        (noise,) = normal(key, [(*sample_shape, *jnp.shape(self.loc))], jnp.result_type(self.loc))
        return self.loc + self.scale_diag * noise

    def log_prob(self, value):
        standard = (value - self.loc) / self.scale_diag
        log_density = -0.5 * standard**2 - jnp.log(self.scale_diag) - 0.5 * math.log(2 * math.pi)
        return log_density.sum(-1)

    @property
    def mean(self):
        return self.loc

    @property
    def variance(self):
        return self.scale_diag**2

    @property
    def covariance_matrix(self):
        """The covariance, `[*batch, dim, dim]`."""
        return self.variance[..., None] * jnp.eye(self.loc.shape[-1], dtype=self.scale_diag.dtype)

    def entropy(self):
        return (jnp.log(self.scale_diag) + 0.5 * (1 + math.log(2 * math.pi))).sum(-1)
