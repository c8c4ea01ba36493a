from typing import Any

import jax
import jax.numpy as jnp
from numpyro.distributions import constraints

from varinf.distributions._from_arrays import FromArrays, in_long_rows
from varinf.distributions._softplus import softplus


class DiscretizedLogistic(FromArrays):
    """A logistic distribution rounded to the whole numbers 0..num_values−1; the ends take the tails.

    Source: Salimans et al. 2017 (PixelCNN++), equation 2, with one component.

    Args:
        loc: location in units of the values, `[*batch]`.
        scale: scale in the same units, positive, `[*batch]`.
        num_values: how many values there are; 256 for 8-bit pixels.
    """

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}  # noqa: RUF012
    pytree_data_fields = ("loc", "scale")
    pytree_aux_fields = ("num_values",)

    def __init__(self, loc, scale, num_values: int = 256, *, validate_args: bool | None = None):
        dtype = jnp.result_type(loc, scale, float)
        self.loc, self.scale = jnp.broadcast_arrays(*(jnp.asarray(array, dtype) for array in (loc, scale)))
        self.num_values = num_values
        super().__init__(validate_args=validate_args)

    def _shapes(self):
        return jnp.broadcast_shapes(jnp.shape(self.loc), jnp.shape(self.scale)), ()

    @property
    def support(self):
        return constraints.integer_interval(0, self.num_values - 1)

    @in_long_rows
    def log_prob(self, value):
        upper = (value + 0.5 - self.loc) / self.scale
        lower = (value - 0.5 - self.loc) / self.scale
        # ln[σ(u) − σ(l)] = ln σ(u) + ln σ(−l) + ln(1 − e^(l−u)): no cancellation, however far out the value.
        width = jnp.log(-jnp.expm1(-1 / self.scale))
        inner = -softplus(-upper) - softplus(lower) + width
        log_prob = jnp.where(
            value == 0, -softplus(-upper), jnp.where(value == self.num_values - 1, -softplus(lower), inner)
        )
        valid = (value >= 0) & (value < self.num_values) & (value == jnp.floor(value))
        return jnp.where(valid, log_prob, -jnp.inf)

    def sample(self, key: Any, sample_shape=()):
        noise = jax.random.logistic(key, (*sample_shape, *self.batch_shape), self.loc.dtype)
        return jnp.clip(jnp.round(self.loc + self.scale * noise), 0, self.num_values - 1)

    def _moments(self):
        """A whole number near the mean, and E[x − c], E[(x − c)²], by a loop that holds one value at a time.

        Summed over the steps k from either side, weighted by the chance that x lies beyond; about c, all terms of
        the square are positive, so that nothing cancels.
        """
        centre = jnp.clip(jnp.round(self.loc), 0, self.num_values - 1)

        def add(k, moments):
            apart = k - centre
            side = jnp.where(apart > 0, 1, -1)
            beyond = jax.nn.sigmoid(side * (self.loc - k + 0.5) / self.scale)
            first, second = moments
            return first + side * beyond, second + side * (2 * apart - 1) * beyond

        zero = jnp.zeros_like(centre)
        return centre, *jax.lax.fori_loop(1, self.num_values, add, (zero, zero))

    @property
    def mean(self):
        centre, first, _ = self._moments()
        return centre + first

    @property
    def variance(self):
        _, first, second = self._moments()
        return second - first**2
