import functools
import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from varinf._checks import at_least_one
from varinf.errors import InputError
from varinf.objectives._objective import AbstractObjective, Metrics
from varinf.objectives._score_function import surrogate_of_weights
from varinf.objectives._terms import Request, Terms


class Renyi(AbstractObjective):
    """The variational Rényi bound E[1/(1−α) ln 1/S Σ_s w_s^(1−α)], w = p(x, z) / q(z | x), per datum in nats.

    At α = 0 it is the importance-weighted bound, at α = 1 the Monte Carlo ELBO; it falls as α rises. For every α ≥ 0
    and every S it is a lower bound on ln p(x), and with one sample it is the ELBO whatever α is. For α < 0 its limit
    for many samples is an upper bound, and with few it may lie on either side.

    The metric `renyi` is this bound, `iwae` the importance-weighted one of the same draws. Early stopping watches
    `renyi`, but `iwae` where α < 0, since the higher of two upper bounds is not the better one. For local latents
    only, and with score-function gradients where the draws are not reparameterised, as `IWAE`.

    Source: Li and Turner 2016, equations 6, 14 and 15.

    Args:
        alpha: α, the order of the divergence; any finite number. It is traced: another one of the same side of zero
            does not compile again.
        num_samples: S, the draws for each datum.

    Raises:
        InputError: an order that is not finite, or no samples.
    """

    alpha: Float[Array, ""]
    num_samples: int = eqx.field(static=True)
    bound: str = eqx.field(static=True)

    def __init__(self, alpha: float = 0.5, num_samples: int = 10):
        if not math.isfinite(alpha):
            raise InputError(f"alpha must be a finite number, got {alpha}")
        self.alpha = jnp.asarray(alpha, jnp.result_type(float))
        self.num_samples = at_least_one("num_samples", num_samples)
        self.bound = "renyi" if alpha >= 0 else "iwae"

    @property
    def request(self) -> Request:
        return Request(self.num_samples, closed_form_kl=False, stop_posterior=False)

    def loss(self, terms: Terms) -> tuple[Float[Array, ""], Metrics]:
        log_weights = terms.log_weights()
        log_mean = functools.partial(_log_power_mean, order=1 - self.alpha)
        bound = terms.mean(log_mean(log_weights))
        iwae = terms.mean(jax.nn.logsumexp(log_weights, axis=0) - math.log(self.num_samples))
        reconstruction = terms.mean(terms.log_likelihood.mean(0))
        elbo = terms.mean(log_weights.mean(0))
        metrics = {"loss": -bound, "renyi": bound, "iwae": iwae, "elbo": elbo, "reconstruction": reconstruction}
        score = surrogate_of_weights(terms, log_mean, log_weights, estimator="reparam")
        return -bound - score, metrics | {"kl": reconstruction - elbo}

    def draw_gradient(self, terms: Terms, gradient: PyTree[Array]) -> PyTree[Array]:
        return gradient


def _log_power_mean(log_weights: Float[Array, "samples batch"], order: Float[Array, ""]) -> Float[Array, " batch"]:
    """1/a ln 1/S Σ_s w_s^a, and its limit, the mean of ln w, at a = 0."""
    a = jnp.where(order == 0, 1, order)
    # Relative to the weight whose power is the largest, nothing overflows; and with 1 taken from each power, nothing
    # cancels however near a is to 0.
    top = jax.lax.stop_gradient(jnp.where(a > 0, log_weights.max(0), log_weights.min(0)))
    top = jnp.where(jnp.isfinite(top), top, 0)
    power_mean = top + jnp.log1p(jnp.expm1(a * (log_weights - top)).mean(0)) / a
    return jnp.where(order == 0, log_weights.mean(0), power_mean)
