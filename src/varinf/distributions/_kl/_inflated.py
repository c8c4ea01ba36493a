"""Distributions with a chance of zero set apart."""

import jax
import jax.numpy as jnp
from numpyro import distributions as nd

from varinf.distributions._kl._discrete import bernoulli, of_chance
from varinf.distributions._kl._registry import kl_divergence, no_closed_form, rule, safe_log, weighted


def _log_zero(base):
    """ln b(0) of the distribution that is inflated."""
    return base.log_prob(jnp.zeros((), jnp.result_type(int)))


def _beyond_zero(q, p):
    """The part of KL[q || p] that is due to values other than zero."""
    log_q, log_p = _log_zero(q), _log_zero(p)
    return kl_divergence(q, p) - weighted(jnp.exp(log_q), log_q - log_p)


@rule(nd.ZeroInflatedProbs)
def _(q, p):
    def parts(d):
        _, open_gate, _, log_open = of_chance(d.gate)
        zero = jnp.exp(_log_zero(d.base_dist))
        return d.gate + open_gate * zero, open_gate, log_open, open_gate * (1 - zero)

    q_zero, q_open, q_log_open, q_other = parts(q)
    p_zero, _, p_log_open, _ = parts(p)
    at_zero = weighted(q_zero, safe_log(q_zero) - safe_log(p_zero))
    beyond = weighted(q_open, _beyond_zero(q.base_dist, p.base_dist))
    return at_zero + weighted(q_other, q_log_open - p_log_open) + beyond


@rule(nd.HurdleProbs)
def _(q, p):
    q_gate, p_gate = of_chance(q.gate), of_chance(p.gate)
    if q._is_discrete != p._is_discrete:
        raise no_closed_form(q, p, "of a count and a number")
    if q._is_discrete:
        log_q, log_p = (jax.nn.log1mexp(-_log_zero(d.base_dist)) for d in (q, p))
        beyond = _beyond_zero(q.base_dist, p.base_dist) * jnp.exp(-log_q) - log_q + log_p
    else:
        beyond = kl_divergence(q.base_dist, p.base_dist)
    return bernoulli(q_gate, p_gate) + weighted(q_gate[1], beyond)
