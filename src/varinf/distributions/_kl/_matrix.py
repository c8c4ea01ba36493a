"""Distributions of covariances and correlations."""

import jax
import jax.numpy as jnp
from numpyro import distributions as nd

from varinf.distributions._excess import excess, log_ratio
from varinf.distributions._gamma_ratios import kl_of_shapes
from varinf.distributions._kl._registry import rule


def _less(a, alpha, less):
    """What ln Γ at α − c lies above its tangent at a − c, but for α (r − 1 − ln r) of r = a / α, summed over c."""
    a, alpha = (jnp.asarray(shape)[..., None] for shape in (a, alpha))
    log = log_ratio(alpha - less, a - less, alpha - a)
    sizes = less * excess(log) - alpha * excess(log - log_ratio(alpha, a))
    return (sizes + kl_of_shapes(a - less, alpha - less)).sum(-1)


def _wishart(n, m, log_diagonal, others, dim):
    """KL of Wisharts with n and m degrees of freedom, by Lp⁻¹ Lq: its diagonal's logarithms, its other squares' sum."""
    log_means = 2 * log_diagonal + log_ratio(n, m)[..., None]
    means = m / 2 * excess(log_means).sum(-1) + n / 2 * others
    return means + _less(n / 2, m / 2, jnp.arange(dim) / 2)


def _compare(tril, other):
    """Of the inverse of one Cholesky factor times another: the logarithms of the diagonal, the sum of other squares."""
    tril, other = jnp.broadcast_arrays(tril, other)
    log_diagonal = log_ratio(*(jnp.diagonal(factor, axis1=-2, axis2=-1) for factor in (other, tril)))
    product = jax.scipy.linalg.solve_triangular(tril, other, lower=True)
    return log_diagonal, (jnp.tril(product, -1) ** 2).sum((-2, -1))


@rule(nd.WishartCholesky)
def _(q, p):
    return _wishart(q.concentration, p.concentration, *_compare(p.scale_tril, q.scale_tril), q.event_shape[-1])


@rule(nd.InverseWishartCholesky)
def _(q, p):
    # the inverses are Wisharts with the inverse scales
    return _wishart(q.concentration, p.concentration, *_compare(q.scale_tril, p.scale_tril), q.event_shape[-1])


@rule(nd.LKJCholesky)
def _(q, p):
    # an exponential family in the log determinant, with the log of the normaliser of Lewandowski et al. 2009
    others = q.dimension - 1
    a, alpha = (jnp.asarray(d.concentration) + others / 2 for d in (q, p))
    return _less(a, alpha, (jnp.arange(others) + 1) / 2) - others * kl_of_shapes(a, alpha)
