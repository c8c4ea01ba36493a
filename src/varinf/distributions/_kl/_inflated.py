"""Distributions with a chance of zero set apart."""

from typing import Any

import jax
import jax.numpy as jnp
from numpyro import distributions as nd

from varinf.distributions._kl._discrete import BERNOULLI, CATEGORICAL, bernoulli, class_log_probs, of_chance, two
from varinf.distributions._kl._registry import kl_divergence, no_closed_form, rule, safe_log, weighted


def _base(d):
    """The distribution that is inflated."""
    base = d.base_dist
    while isinstance(base, nd.ExpandedDistribution):
        base = base.base_dist
    return base


def _log_zero(base) -> Any:
    """ln b(0)"""
    if isinstance(base, nd.DiscreteUniform):
        # whose own is that of any value, or a warning
        low, high, size = _ends_and_size(base)
        return jnp.where((low <= 0) & (high >= 0), -jnp.log(size), -jnp.inf)
    return base.log_prob(jnp.zeros((), jnp.result_type(int)))


def _ends_and_size(uniform):
    low, high = jnp.asarray(uniform.low), jnp.asarray(uniform.high)
    return low, high, high - low + 1


def _beyond_zero(q, p):
    """Σ q(x) ln(q(x) / p(x)) over the values x other than zero."""
    whole = kl_divergence(q, p)
    # where p may have no chance of zero, not as the whole but for zero's part: both may be infinite
    if isinstance(q, nd.DiscreteUniform):
        (low, high, size), (p_low, p_high, p_size) = _ends_and_size(q), _ends_and_size(p)
        inside = (jnp.where(low == 0, 1, low) >= p_low) & (jnp.where(high == 0, -1, high) <= p_high)
        log_ratio = jnp.where(inside, jnp.log(p_size) - jnp.log(size), jnp.inf)
        return weighted(-jnp.expm1(_log_zero(q)), log_ratio)
    if isinstance(q, BERNOULLI):
        q_two, p_two = two(q), two(p)
        return weighted(q_two[0], q_two[2] - p_two[2])
    if isinstance(q, CATEGORICAL):
        log_q, log_p = (class_log_probs(d)[..., 1:] for d in (q, p))
        return weighted(jnp.exp(log_q), log_q - log_p).sum(-1)
    log_q, log_p = _log_zero(q), _log_zero(p)
    return whole - weighted(jnp.exp(log_q), log_q - log_p)


@rule(nd.ZeroInflatedProbs)
def _(q, p):
    def parts(d):
        _, open_gate, _, log_open = of_chance(d.gate)
        zero = jnp.exp(_log_zero(_base(d)))
        return d.gate + open_gate * zero, open_gate, log_open, open_gate * (1 - zero)

    q_zero, q_open, q_log_open, q_other = parts(q)
    p_zero, _, p_log_open, _ = parts(p)
    at_zero = weighted(q_zero, safe_log(q_zero) - safe_log(p_zero))
    beyond = weighted(q_open, _beyond_zero(_base(q), _base(p)))
    return at_zero + weighted(q_other, q_log_open - p_log_open) + beyond


@rule(nd.HurdleProbs)
def _(q, p):
    q_gate, p_gate = of_chance(q.gate), of_chance(p.gate)
    if q._is_discrete != p._is_discrete:
        raise no_closed_form(q, p, "of a count and a number")
    if q._is_discrete:
        log_q, log_p = (jax.nn.log1mexp(-_log_zero(_base(d))) for d in (q, p))
        beyond = _beyond_zero(_base(q), _base(p)) * jnp.exp(-log_q) - log_q + log_p
    else:
        beyond = kl_divergence(_base(q), _base(p))
    return bernoulli(q_gate, p_gate) + weighted(q_gate[1], beyond)
