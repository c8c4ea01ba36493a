import math

import jax.numpy as jnp
from numpyro.distributions import Distribution, Poisson, constraints
from numpyro.distributions.util import lazy_property

from varinf.distributions._excess import excess
from varinf.distributions._from_arrays import FromArrays
from varinf.distributions._gamma_ratios import stirling_error


class PoissonLogRate(FromArrays, Poisson):
    """Counts of independent events: the Poisson distribution of rate e^log_rate.

    A NumPyro `Poisson`, whose gradient is NaN where e^log_rate is zero or infinite in its precision, and whose log
    density loses its digits to cancellation where counts are large.

    Args:
        log_rate: the logarithm of the rate, `[*batch]`.
    """

    arg_constraints = {"log_rate": constraints.real}  # noqa: RUF012  (NumPyro's protocol)

    def __init__(self, log_rate, *, validate_args: bool | None = None):
        self.log_rate = jnp.asarray(log_rate, jnp.result_type(log_rate, float))
        Distribution.__init__(self, validate_args=validate_args)

    def _shapes(self):
        return jnp.shape(self.log_rate), ()

    @lazy_property
    def rate(self):
        return jnp.exp(self.log_rate)

    def log_prob(self, value):
        value = jnp.asarray(value, self.log_rate.dtype)
        positive = value > 0
        k = jnp.where(positive, value, 1.0)
        # Stirling's formula in ln k! leaves its error, and a function of t = ln(rate / k) zero and flat at t = 0
        t = jnp.where(positive, self.log_rate - jnp.log(k), 0.0)
        above = -k * excess(t) - stirling_error(k) - 0.5 * (jnp.log(k) + math.log(2 * math.pi))
        at_zero = -jnp.exp(jnp.where(positive, 0.0, self.log_rate))
        valid = (value >= 0) & (value == jnp.floor(value))
        return jnp.where(valid, jnp.where(positive, above, at_zero), -jnp.inf)
