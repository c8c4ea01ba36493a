import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.special import betainc
from numpyro.distributions import constraints
from numpyro.distributions.util import promote_shapes

from varinf.distributions._from_arrays import FromArrays
from varinf.distributions._gamma_ratios import stirling_error
from varinf.distributions._softplus import softplus

_FAR = 30.0


class NegativeBinomialLogMean(FromArrays):
    """Counts whose rate is gamma-distributed: the negative binomial, of mean e^log_mean = m and variance m + m² / c.

    The distribution of NumPyro's `NegativeBinomial2(m, c)`, whose gradient is NaN where e^log_mean or its inverse
    overflows, and which loses digits to cancellation where c or the counts are large.

    Args:
        log_mean: the logarithm of the mean, `[*batch]`.
        concentration: c, positive, `[*batch]`; as it rises the distribution becomes Poisson.
    """

    arg_constraints = {  # noqa: RUF012  (NumPyro's protocol)
        "log_mean": constraints.real,
        "concentration": constraints.positive,
    }
    support: Any = constraints.nonnegative_integer
    pytree_data_fields = ("log_mean", "concentration")

    def __init__(self, log_mean, concentration, *, validate_args: bool | None = None):
        dtype = jnp.result_type(log_mean, concentration, float)
        same_rank: Any = promote_shapes(*(jnp.asarray(value, dtype) for value in (log_mean, concentration)))
        self.log_mean, self.concentration = same_rank
        super().__init__(validate_args=validate_args)

    def _shapes(self):
        return jnp.broadcast_shapes(self.log_mean.shape, self.concentration.shape), ()

    def sample(self, key: Any, sample_shape=()):
        gamma_key, count_key = jax.random.split(key)
        shape = (*sample_shape, *self.batch_shape)
        log_gamma = jax.random.loggamma(gamma_key, self.concentration, shape, self.log_mean.dtype)
        return jax.random.poisson(count_key, jnp.exp(log_gamma + self._log_ratio))

    @property
    def _log_ratio(self):
        """ln(m / c)"""
        return self.log_mean - jnp.log(self.concentration)

    def log_prob(self, value):
        value = jnp.asarray(value, self.log_mean.dtype)
        c = self.concentration
        at_zero = -c * softplus(self._log_ratio)
        k = jnp.where(value > 0, value, 1.0)
        n = k + c
        # Stirling's formula in each of the three ln Γ leaves their errors, and a function of t = ln(m / k) that is
        # zero and flat at t = 0: k t − n ln(1 + (k / n)(e^t − 1)), which is the same with c and −t for k and t. Of the
        # two, the one with the smaller share, in which nothing cancels.
        t = self.log_mean - jnp.log(k)
        fewer = k < c
        a, s = jnp.where(fewer, k, c), jnp.where(fewer, t, -t)
        share, far = a / n, s > _FAR
        near = jnp.log1p(share * jnp.expm1(jnp.where(far, 0.0, s)))
        # here e^s could overflow
        beyond = s + jnp.log(share + (1 - share) * jnp.exp(-jnp.where(far, s, _FAR)))
        whole = jnp.where(far, beyond, near)
        errors = stirling_error(n) - stirling_error(c) - stirling_error(k)
        above = a * s - n * whole + errors + 0.5 * (jnp.log(c / n) - jnp.log(k) - math.log(2 * math.pi))
        valid = (value >= 0) & (value == jnp.floor(value))
        return jnp.where(valid, jnp.where(value > 0, above, at_zero), -jnp.inf)

    def cdf(self, value):
        """The probability of counts up to `value`.

        In float32 to 2e-3 for means and concentrations up to 1,000; not to be used in float32 far beyond, where JAX's
        incomplete beta function loses its digits.
        """
        count = jnp.floor(value)
        below = betainc(self.concentration, jnp.maximum(count, 0) + 1, jax.nn.sigmoid(-self._log_ratio))
        return jnp.where(count < 0, 0.0, below)

    @property
    def mean(self):
        return jnp.broadcast_to(jnp.exp(self.log_mean), self.batch_shape)

    @property
    def variance(self):
        return self.mean * (1 + jnp.exp(self._log_ratio))
