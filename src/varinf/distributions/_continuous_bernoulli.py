import jax
import jax.numpy as jnp
from numpyro.distributions import Distribution, constraints

# Within this of zero the closed forms in the logit lose their digits to cancellation; their Taylor series
# about zero are then exact to the last bit of a float32, and to 1e-12 in float64.
_SMALL = 0.03


class ContinuousBernoulli(Distribution):
    """The density on [0, 1] that is proportional to λ^x (1 − λ)^(1−x), with its normaliser.

    Source: Loaiza-Ganem and Cunningham 2019, equations 5 to 8. In the logit l of λ the density is
    e^(l x) l / (e^l − 1), which is what is computed here.

    Args:
        logits: the log-odds of λ, `[*batch]`.
    """

    arg_constraints = {"logits": constraints.real}  # noqa: RUF012  (NumPyro's protocol)
    support = constraints.unit_interval
    reparametrized_params = ["logits"]  # noqa: RUF012
    pytree_data_fields = ("logits",)

    def __init__(self, logits, *, validate_args: bool | None = None):
        self.logits = jnp.asarray(logits)
        super().__init__(jnp.shape(self.logits), validate_args=validate_args)

    def _split(self):
        """Whether the logit is small; the logit, with zero put where the other form would divide by it."""
        small = jnp.abs(self.logits) < _SMALL
        return small, jnp.where(small, 1.0, self.logits), jnp.where(small, self.logits, 0.0)

    def log_prob(self, value):
        small, large_logit, small_logit = self._split()
        # ln[(e^l − 1) / l], for both signs by (e^l − 1) / l = e^l (1 − e^(−l)) / l.
        size = jnp.abs(large_logit)
        closed = jnp.maximum(large_logit, 0) + jnp.log(-jnp.expm1(-size)) - jnp.log(size)
        square = small_logit**2
        series = small_logit / 2 + square / 24 - square**2 / 2880 + square**3 / 181440
        log_prob = value * self.logits - jnp.where(small, series, closed)
        return jnp.where((value >= 0) & (value <= 1), log_prob, -jnp.inf)

    def sample(self, key, sample_shape=()):
        uniform = jax.random.uniform(key, (*sample_shape, *self.batch_shape), self.logits.dtype)
        return self.icdf(uniform)

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
    def mean(self):
        small, large_logit, small_logit = self._split()
        closed = 1 / -jnp.expm1(-large_logit) - 1 / large_logit
        series = 0.5 + small_logit / 12 - small_logit**3 / 720 + small_logit**5 / 30240
        return jnp.where(small, series, closed)

    @property
    def variance(self):
        small, large_logit, small_logit = self._split()
        half = jnp.clip(jnp.abs(large_logit) / 2, max=40.0)  # beyond, sinh overflows and its inverse is zero
        closed = 1 / large_logit**2 - 1 / (2 * jnp.sinh(half)) ** 2
        series = 1 / 12 - small_logit**2 / 240 + small_logit**4 / 6048
        return jnp.where(small, series, closed)

    def entropy(self):
        return -(self.log_prob(jnp.zeros_like(self.logits)) + self.logits * self.mean)
