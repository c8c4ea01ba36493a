"""Distributions of positive numbers, of shares and of lifetimes."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammaln
from numpyro import distributions as nd

from varinf.distributions._excess import excess, log_ratio
from varinf.distributions._gamma_ratios import kl_of_shapes
from varinf.distributions._kl._registry import rule

_GAMMA = (nd.Gamma, nd.Exponential)
_POWER_LAW = (nd.Pareto, nd.LowerTruncatedPowerLaw)

# Of the integral over the positive numbers of what falls as e^(−t) does, by the double exponential rule: it has 12
# digits of those that rise from zero as a logarithm or a power does.
_STEPS = np.arange(-58, 62) / 16
_POINTS = np.exp(_STEPS - np.exp(-_STEPS))
_WEIGHTS = _POINTS * (1 + np.exp(-_STEPS)) / 16


def _shape_and_rate(d):
    return (1.0, d.rate) if isinstance(d, nd.Exponential) else (d.concentration, d.rate)


def _gamma(a, b, alpha, beta):
    # of the means, and of the shapes about them
    return alpha * excess(log_ratio(a, alpha) + log_ratio(beta, b)) + kl_of_shapes(a, alpha)


@rule(_GAMMA)
def _(q, p):
    return _gamma(*_shape_and_rate(q), *_shape_and_rate(p))


@rule(nd.Exponential)
def _(q, p):
    return excess(log_ratio(p.rate, q.rate))


@rule(nd.InverseGamma)
def _(q, p):
    return _gamma(q.concentration, q.rate, p.concentration, p.rate)


@rule(nd.Weibull)
def _(q, p):
    # Bauckhage 2013
    k, m = q.concentration, p.concentration
    shift = m * log_ratio(q.scale, p.scale)
    return jnp.log(k / m) - shift + (m - k) * np.euler_gamma / k + jnp.exp(shift + gammaln(1 + m / k)) - 1


@rule(nd.Weibull, _GAMMA)
def _(q, p):
    # Bauckhage 2014
    alpha, beta = _shape_and_rate(p)
    k, log_scaled = q.concentration, jnp.log(q.scale) + jnp.log(beta)
    log_terms = jnp.log(k) + gammaln(alpha) + alpha * (np.euler_gamma / k - log_scaled)
    return log_terms + jnp.exp(log_scaled + gammaln(1 + 1 / k)) - np.euler_gamma - 1


def _dirichlet(a, alpha):
    # of gammas of one rate, but for their sum, which of their shares says nothing
    total, other = a.sum(-1), alpha.sum(-1)
    means = log_ratio(a, alpha) - log_ratio(total, other)[..., None]
    return (alpha * excess(means) + kl_of_shapes(a, alpha)).sum(-1) - kl_of_shapes(total, other)


@rule(nd.Beta)
def _(q, p):
    def shares(d):
        return jnp.stack(jnp.broadcast_arrays(d.concentration1, d.concentration0), axis=-1)

    return _dirichlet(shares(q), shares(p))


@rule(nd.Dirichlet)
def _(q, p):
    return _dirichlet(q.concentration, p.concentration)


@rule(nd.HalfNormal)
def _(q, p):
    return 0.5 * excess(2 * log_ratio(q.scale, p.scale))


@rule(nd.HalfCauchy)
def _(q, p):
    # that of the whole Cauchy distributions, which are symmetric
    return 2 * jnp.log(q.scale + p.scale) - jnp.log(4 * q.scale * p.scale)


def _index_and_least(d) -> tuple[Any, Any]:
    return (d.alpha, d.scale) if isinstance(d, nd.Pareto) else (-1 - d.alpha, d.low)


@rule(_POWER_LAW)
def _(q, p):
    (a, low), (alpha, least) = _index_and_least(q), _index_and_least(p)
    inside = alpha * log_ratio(low, least) + excess(log_ratio(alpha, a))
    return jnp.where(low >= least, inside, jnp.inf)


@rule(nd.Gompertz)
def _(q, p):
    # t = η (e^(b x) − 1) is exponential, and E[x] and E[e^(c x) − 1] are integrals over it: by their closed forms,
    # incomplete gamma functions, what is left of e^η and e^(−η) has few digits or none
    other, ratio = p.concentration, p.rate / q.rate
    dtype = jnp.result_type(q.concentration, ratio, float)
    eta, power = (jnp.asarray(number, dtype)[..., None] for number in (q.concentration, ratio))
    points, weights = jnp.asarray(_POINTS, dtype), jnp.asarray(_WEIGHTS, dtype)
    mean = (weights * jnp.exp(-points) * jnp.log1p(points / eta)).sum(-1)
    # where e^(−t) (1 + t / η)^(c / b) is largest, by ln t; any scale is right that is about this
    half = (power + 1 - eta) / 2
    far = jnp.abs(half) + jnp.sqrt(half**2 + eta)
    scale = jax.lax.stop_gradient(jnp.where(half > 0, far, eta / far))
    t = scale * points
    log_power = power * jnp.log1p(t / eta)
    growth = (scale * weights * jnp.exp(log_power - t) * -jnp.expm1(-log_power)).sum(-1)
    return log_ratio(q.concentration, other * ratio) + (1 - ratio) * mean + other * growth - 1
