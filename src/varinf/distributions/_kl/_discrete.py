"""Distributions of classes and of counts."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from numpyro import distributions as nd

from varinf.distributions._bernoulli import Bernoulli
from varinf.distributions._excess import excess, log_ratio
from varinf.distributions._kl._registry import no_closed_form, rule, safe_log, weighted
from varinf.distributions._softplus import softplus
from varinf.errors import InputError

BERNOULLI = (Bernoulli, nd.BernoulliProbs, nd.BernoulliLogits)
_BINOMIAL = (nd.BinomialProbs, nd.BinomialLogits)
CATEGORICAL = (nd.CategoricalProbs, nd.CategoricalLogits)
_GEOMETRIC = (nd.GeometricProbs, nd.GeometricLogits)
_MULTINOMIAL = (nd.MultinomialProbs, nd.MultinomialLogits)
_BY_LOGITS = (
    Bernoulli,
    nd.BernoulliLogits,
    nd.BinomialLogits,
    nd.CategoricalLogits,
    nd.GeometricLogits,
    nd.MultinomialLogits,
)


def two(d):
    """p, 1 − p, ln p and ln(1 − p) of what has a probability or its log-odds."""
    if isinstance(d, _BY_LOGITS):
        # by ln σ, which stays finite where a probability rounds to 0 or 1
        logits = jnp.asarray(d.logits)
        return jax.nn.sigmoid(logits), jax.nn.sigmoid(-logits), -softplus(-logits), -softplus(logits)
    return of_chance(d.probs)


def of_chance(probs):
    """p, 1 − p, ln p and ln(1 − p)."""
    probs = jnp.asarray(probs, jnp.result_type(probs, float))
    possible = probs < 1
    return probs, 1 - probs, safe_log(probs), jnp.where(possible, jnp.log1p(-jnp.where(possible, probs, 0)), -jnp.inf)


def _term(q, p, log):
    """q ln(q / p) − q + p given ln(p / q), which is p where q is 0: summed over all classes, a KL.

    Where it is infinite its derivative is 0.
    """
    possible = q >= jnp.finfo(q.dtype).tiny  # else e^log could overflow
    both = possible & (log > -jnp.inf)
    return jnp.where(both, q * excess(jnp.where(both, log, 0)), jnp.where(possible, jnp.inf, p))


def bernoulli(q, p):
    """KL of two-way choices, each given as `of_chance` gives it."""
    return sum(_term(q[i], p[i], p[i + 2] - q[i + 2]) for i in range(2))


@rule(BERNOULLI)
def _(q, p):
    return bernoulli(two(q), two(p))


def _need_equal(q, p, name, q_count, p_count):
    """The count of q, after a check that p has the same: when run, where the counts are traced."""
    if isinstance(q_count, Tracer) or isinstance(p_count, Tracer):
        message = f"no closed form is known for KL[q || p] of different {name}"
        return eqx.error_if(jnp.asarray(q_count), jnp.any(q_count != p_count), message)
    if not np.all(np.equal(q_count, p_count)):
        raise no_closed_form(q, p, f"of different {name}")
    return q_count


@rule(_BINOMIAL)
def _(q, p):
    count = _need_equal(q, p, "total_count", q.total_count, p.total_count)
    return weighted(count, bernoulli(two(q), two(p)))


@rule(_GEOMETRIC)
def _(q, p):
    # 1 / p trials on average, the last a success
    return bernoulli(two(q), two(p)) / two(q)[0]


@rule(nd.GammaPoisson)
def _(q, p):
    # a negative binomial: per failure 1 / (1 − c) trials, each a success with the chance c = 1 / (1 + rate)
    def chance(d):
        rate = jnp.asarray(d.rate, jnp.result_type(d.rate, float))
        return 1 / (1 + rate), rate / (1 + rate), -jnp.log1p(rate), -jnp.log1p(1 / rate)

    count = _need_equal(q, p, "concentration", q.concentration, p.concentration)
    return count * bernoulli(chance(q), chance(p)) / chance(q)[1]


@rule(nd.Poisson)
def _(q, p):
    q_rate, p_rate = (jnp.asarray(d.rate, jnp.result_type(d.rate, float)) for d in (q, p))
    return _term(q_rate, p_rate, log_ratio(p_rate, jnp.where(q_rate > 0, q_rate, 1)))


def class_log_probs(d):
    """ln p of each class."""
    if isinstance(d, _BY_LOGITS):
        return jax.nn.log_softmax(jnp.asarray(d.logits))
    return safe_log(jnp.asarray(d.probs))


def _classes(q, p):
    log_q, log_p = class_log_probs(q), class_log_probs(p)
    if log_q.shape[-1] != log_p.shape[-1]:
        raise InputError(f"KL[q || p] needs as many classes in both, got {log_q.shape[-1]} and {log_p.shape[-1]}")
    return _term(jnp.exp(log_q), jnp.exp(log_p), log_p - log_q).sum(-1)


@rule(CATEGORICAL)
def _(q, p):
    return _classes(q, p)


@rule(_MULTINOMIAL)
def _(q, p):
    # of different counts, no value is possible under both
    count = jnp.asarray(q.total_count)
    return jnp.where(count == p.total_count, weighted(count, _classes(q, p)), jnp.inf)


@rule(nd.DiscreteUniform)
def _(q, p):
    q_size, p_size = (jnp.asarray(d.high) - d.low + 1 for d in (q, p))
    return jnp.where((q.low >= p.low) & (q.high <= p.high), jnp.log(p_size) - jnp.log(q_size), jnp.inf)
