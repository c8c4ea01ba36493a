from typing import Any

import jax.numpy as jnp
from numpyro.distributions import constraints

from varinf._noise import uniform
from varinf.distributions._from_arrays import FromArrays, in_long_rows

# Within this of zero the closed forms in the logit lose their digits to cancellation; their Taylor series
# about zero are then exact to the last bit of a float32, and to 1e-12 in float64.
_SMALL = 0.03


class ContinuousBernoulli(FromArrays):
    """The density on [0, 1] that is proportional to λ^x (1 − λ)^(1−x), with its normaliser.

    Source: Loaiza-Ganem and Cunningham 2019, equations 5 to 8. In the logit l of λ the density is
    e^(l x) l / (e^l − 1), which is what is computed here.

    Args:
        logits: the log-odds of λ, `[*batch]`.
    """

    arg_constraints = {"logits": constraints.real}  # noqa: RUF012  (NumPyro's protocol)
    support: Any = constraints.unit_interval
    reparametrized_params = ["logits"]  # noqa: RUF012
    pytree_data_fields = ("logits",)

    def __init__(self, logits, *, validate_args: bool | None = None):
        self.logits = jnp.asarray(logits, jnp.result_type(logits, float))
        super().__init__(validate_args=validate_args)

    def _shapes(self):
        return jnp.shape(self.logits), ()

    def _split(self, limit: float = _SMALL):
        """Whether the logit is small; the logit, with one put where the closed form would divide by zero; and with
        zero where it is large."""
        small = jnp.abs(self.logits) < limit
        return small, jnp.where(small, 1.0, self.logits), jnp.where(small, self.logits, 0.0)

    @in_long_rows
    def log_prob(self, value):
        small, large_logit, small_logit = self._split()
        # ln[(e^l − 1) / l], for both signs by (e^l − 1) / l = e^l (1 − e^(−l)) / l.
        size = jnp.abs(large_logit)
        closed = jnp.maximum(large_logit, 0) + jnp.log(-jnp.expm1(-size)) - jnp.log(size)
        square = small_logit**2
        series = small_logit / 2 + square / 24 - square**2 / 2880 + square**3 / 181440
        log_prob = value * self.logits - jnp.where(small, series, closed)
        return jnp.where((value >= 0) & (value <= 1), log_prob, -jnp.inf)

    def sample(self, key: Any, sample_shape=()):
        return self.icdf(uniform(key, (*sample_shape, *self.batch_shape), self.logits.dtype))

    def icdf(self, q):
        """The x below which lies the probability q; `[...]` like q."""
        small, large_logit, small_logit = self._split()
        # ln(1 + q (e^l − 1)) / l; for a positive logit by the mirror image, so that e^l cannot overflow.
        size = -jnp.abs(large_logit)
        mirrored = jnp.where(large_logit > 0, 1 - q, q)
        low = jnp.log1p(mirrored * jnp.expm1(size)) / size
        closed = jnp.where(large_logit > 0, 1 - low, low)
        step = q * (1 - q) / 2
        series = q + step * small_logit + step * (1 - 2 * q) / 3 * small_logit**2
        return jnp.clip(jnp.where(small, series, closed), 0, 1)

    @property
    def _moment_limit(self) -> float:
        # The moments are first and second derivatives, where more cancels: below 1, float32 would keep 3 digits of
        # the variance. Their series have more terms, enough for a float32 up to here.
        return 1.0 if jnp.finfo(self.logits.dtype).bits <= 32 else 0.05

    @property
    def mean(self):
        small, large_logit, small_logit = self._split(self._moment_limit)
        size = jnp.abs(large_logit)
        low = 1 / size + jnp.exp(-size) / jnp.expm1(-size)  # of a negative logit; of a positive one by the mirror image
        closed = jnp.where(large_logit > 0, 1 - low, low)
        square = small_logit**2
        series = 0.5 + small_logit * (1 / 12 - square / 720 + square**2 / 30240 - square**3 / 1209600)
        return jnp.where(small, series, closed)

    @property
    def variance(self):
        small, large_logit, small_logit = self._split(self._moment_limit)
        half = jnp.clip(jnp.abs(large_logit) / 2, max=40.0)  # beyond, sinh overflows and its inverse is zero
        closed = 1 / large_logit**2 - 1 / (2 * jnp.sinh(half)) ** 2
        square = small_logit**2
        series = 1 / 12 - square / 240 + square**2 / 6048 - square**3 / 172800 + square**4 / 5322240
        return jnp.where(small, series, closed)

    def entropy(self):
        return -(self.log_prob(jnp.zeros_like(self.logits)) + self.logits * self.mean)
