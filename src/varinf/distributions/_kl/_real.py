"""Distributions of numbers, of angles and on intervals."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammaln, i0e, i1e
from numpyro import distributions as nd

from varinf.distributions._continuous_bernoulli import ContinuousBernoulli
from varinf.distributions._kl._registry import rule

_LAPLACE = (nd.Laplace, nd.AsymmetricLaplace, nd.AsymmetricLaplaceQuantile)


def _two_sides(d) -> tuple[Any, Any, Any]:
    """The location, and the scales of the two exponentials to its left and right."""
    if isinstance(d, nd.Laplace):
        return d.loc, d.scale, d.scale
    d = getattr(d, "_ald", d)
    return d.loc, d.left_scale, d.right_scale


@rule(_LAPLACE)
def _(q, p):
    (q_loc, left, right), (p_loc, p_left, p_right) = _two_sides(q), _two_sides(p)
    # E[(x − m)₊] and E[(m − x)₊] for p's location m; their difference is the mean of x − m
    shift = p_loc - q_loc
    above, excess = shift >= 0, right - left - shift
    far = jnp.where(above, shift / right, -shift / left)
    tail = jnp.where(above, right**2, left**2) / (left + right) * jnp.exp(-far)
    over, under = jnp.where(above, tail, tail + excess), jnp.where(above, tail - excess, tail)
    return jnp.log(p_left + p_right) - jnp.log(left + right) - 1 + over / p_right + under / p_left


@rule(nd.Cauchy)
def _(q, p):
    # Chyzak and Nielsen 2019
    square = (q.scale + p.scale) ** 2 + (q.loc - p.loc) ** 2
    return jnp.log(square) - jnp.log(4 * q.scale * p.scale)


@rule(nd.Gumbel)
def _(q, p):
    ratio, shift = q.scale / p.scale, (q.loc - p.loc) / p.scale
    return np.euler_gamma * (ratio - 1) - jnp.log(ratio) + shift + jnp.exp(gammaln(1 + ratio) - shift) - 1


@rule(nd.VonMises)
def _(q, p):
    k, m = q.concentration, p.concentration
    resultant = i1e(k) / i0e(k)
    logs = jnp.log(i0e(m)) - jnp.log(i0e(k))
    return logs + k * (resultant - 1) + m * (1 - resultant * jnp.cos(q.loc - p.loc))


@rule(nd.Uniform)
def _(q, p):
    size = jnp.log((p.high - p.low) / (q.high - q.low))
    return jnp.where((q.low >= p.low) & (q.high <= p.high), size, jnp.inf)


@rule(ContinuousBernoulli)
def _(q, p):
    # log p(0) is minus the log of the normaliser
    return q.log_prob(0.0) - p.log_prob(0.0) + (q.logits - p.logits) * q.mean
