"""Distributions of covariances and correlations."""

import jax
import jax.numpy as jnp
from jax.scipy.special import digamma, gammaln, multigammaln
from numpyro import distributions as nd

from varinf.distributions._kl._registry import rule


def _multidigamma(a, dim):
    return digamma(jnp.asarray(a)[..., None] - jnp.arange(dim) / 2).sum(-1)


def _wishart(n, m, log_det, trace, dim):
    """KL of Wisharts with n and m degrees of freedom, ½ ln |Vp| / |Vq| and tr(Vp⁻¹ Vq)."""
    sizes = multigammaln(m / 2, dim) - multigammaln(n / 2, dim) + (n - m) / 2 * _multidigamma(n / 2, dim)
    return sizes + m * log_det + n / 2 * (trace - dim)


def _compare(tril, other):
    """½ ln |A| / |B| and tr(A⁻¹ B) of A and B with these Cholesky factors."""
    tril, other = jnp.broadcast_arrays(tril, other)
    log_det = jnp.log(jnp.diagonal(tril, axis1=-2, axis2=-1) / jnp.diagonal(other, axis1=-2, axis2=-1)).sum(-1)
    return log_det, (jax.scipy.linalg.solve_triangular(tril, other, lower=True) ** 2).sum((-2, -1))


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
    alpha, other = (jnp.asarray(d.concentration) + others / 2 for d in (q, p))

    def log_size(alpha):
        return multigammaln(alpha - 0.5, others) - others * gammaln(alpha)

    mean_log_det = _multidigamma(alpha - 0.5, others) - others * digamma(alpha)
    return log_size(other) - log_size(alpha) + (alpha - other) * mean_log_det
