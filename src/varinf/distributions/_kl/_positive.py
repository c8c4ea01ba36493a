"""Distributions of positive numbers, of shares and of lifetimes."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.scipy.special import exp1, gammaincc, gammaln
from numpyro import distributions as nd

from varinf.distributions._excess import excess, log_ratio
from varinf.distributions._gamma_ratios import kl_of_shapes
from varinf.distributions._kl._registry import rule

_GAMMA = (nd.Gamma, nd.Exponential)
_POWER_LAW = (nd.Pareto, nd.LowerTruncatedPowerLaw)


def _gamma_function(x):
    return jnp.exp(gammaln(x))


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
    k, m, ratio = q.concentration, p.concentration, q.scale / p.scale
    log_ratio = jnp.log(ratio)
    return jnp.log(k / m) - m * log_ratio + (m - k) * np.euler_gamma / k + ratio**m * _gamma_function(1 + m / k) - 1


@rule(nd.Weibull, _GAMMA)
def _(q, p):
    # Bauckhage 2014
    alpha, beta = _shape_and_rate(p)
    k, scaled = q.concentration, q.scale * beta
    log_terms = jnp.log(k) + gammaln(alpha) + alpha * (np.euler_gamma / k - jnp.log(scaled))
    return log_terms + scaled * _gamma_function(1 + 1 / k) - np.euler_gamma - 1


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
    # with u = η e^(b x), u − η is exponential: E[x] = e^η E1(η) / b and E[e^(c x)] = e^η η^(−c/b) Γ(1 + c/b, η)
    eta, b, other, c = q.concentration, q.rate, p.concentration, p.rate
    mean = jnp.exp(eta) * exp1(eta) / b
    shape = 1 + c / b
    power = jnp.exp(eta - c / b * jnp.log(eta) + gammaln(shape)) * gammaincc(shape, eta)
    return jnp.log(eta * b / (other * c)) + (b - c) * mean - 1 + other * (power - 1)
