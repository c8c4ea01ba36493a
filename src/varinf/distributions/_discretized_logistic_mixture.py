from typing import Any

import jax
import jax.numpy as jnp
from numpyro.distributions import constraints

from varinf.distributions._discretized_logistic import DiscretizedLogistic
from varinf.distributions._from_arrays import FromArrays


class DiscretizedLogisticMixture(FromArrays):
    """A mixture of logistic distributions rounded to the whole numbers 0..num_values−1, for each element its own.

    Source: Salimans et al. 2017 (PixelCNN++), equation 2, with locations and scales in units of the values, and
    without its dependence of one colour on another.

    Args:
        logits: logarithms of the weights up to a constant, `[*batch, components]`.
        loc: locations in units of the values, `[*batch, components]`.
        scale: scales in the same units, positive, `[*batch, components]`.
        num_values: how many values there are; 256 for 8-bit pixels.
    """

    # not `real_vector`, which refuses the infinite logits of components that have no weight
    arg_constraints = {  # noqa: RUF012  (NumPyro's protocol)
        "logits": constraints.dependent,
        "loc": constraints.real_vector,
        "scale": constraints.independent(constraints.positive, 1),
    }
    pytree_data_fields = ("logits", "loc", "scale")
    pytree_aux_fields = ("num_values",)

    def __init__(self, logits, loc, scale, num_values: int = 256, *, validate_args: bool | None = None):
        dtype = jnp.result_type(logits, loc, scale, float)
        self.logits, self.loc, self.scale = jnp.broadcast_arrays(
            *(jnp.asarray(array, dtype) for array in (logits, loc, scale))
        )
        self.num_values = num_values
        super().__init__(validate_args=validate_args)

    def _shapes(self):
        return jnp.shape(self.logits)[:-1], ()

    @property
    def support(self):
        return constraints.integer_interval(0, self.num_values - 1)

    @property
    def _components(self) -> DiscretizedLogistic:
        return DiscretizedLogistic(self.loc, self.scale, self.num_values, validate_args=False)

    def log_prob(self, value):
        value = jnp.asarray(value)
        valid = (value >= 0) & (value < self.num_values) & (value == jnp.floor(value))
        log_probs = self._components.log_prob(jnp.where(valid, value, 0)[..., None])
        log_prob = jax.nn.logsumexp(jax.nn.log_softmax(self.logits) + log_probs, axis=-1)
        return jnp.where(valid, log_prob, -jnp.inf)

    def sample(self, key: Any, sample_shape=()):
        component_key, value_key = jax.random.split(key)
        shape = self.shape(sample_shape)
        component = jax.random.categorical(component_key, self.logits, shape=shape)[..., None]
        pick = lambda array: jnp.take_along_axis(  # noqa: E731
            jnp.broadcast_to(array, (*shape, array.shape[-1])), component, axis=-1
        )[..., 0]
        return DiscretizedLogistic(pick(self.loc), pick(self.scale), self.num_values, validate_args=False).sample(
            value_key
        )

    @property
    def mean(self):
        return (jax.nn.softmax(self.logits) * self._components.mean).sum(-1)

    @property
    def variance(self):
        weights, mean = jax.nn.softmax(self.logits), self._components.mean
        centre = (weights * mean).sum(-1, keepdims=True)
        return (weights * (self._components.variance + (mean - centre) ** 2)).sum(-1)
