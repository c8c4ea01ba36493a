"""Closed-form Kullback-Leibler divergences, in nats."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float
from numpyro import distributions as nd

from varinf.distributions._bernoulli import Bernoulli
from varinf.distributions._diag_normal import MultivariateNormalDiag


class NoClosedForm(ValueError):
    """No closed form is known for the KL divergence of a pair of distributions."""


_RULES: dict[tuple[type, type], Callable] = {}


def _rule(q: type, p: type) -> Callable[[Callable], Callable]:
    def register(function: Callable) -> Callable:
        _RULES[q, p] = function
        return function

    return register


def kl_divergence(q: nd.Distribution, p: nd.Distribution) -> Float[Array, "*batch"]:
    """KL[q || p] = E_q[ln q − ln p] in nats, exact, one for each element of the batch.

    Raises:
        NoClosedForm: none is known for this pair.
    """
    return kl_per_dimension(q, p).sum(-1)


def kl_per_dimension(q: nd.Distribution, p: nd.Distribution) -> Float[Array, "*batch groups"]:
    """KL[q || p] in nats, apart for each group of dimensions in which both factorise.

    The groups are the dimensions of the event where all are independent under q and p, else one group.

    Raises:
        NoClosedForm: none is known for this pair.
        ValueError: the events have different shapes.
    """
    if q.event_shape != p.event_shape:
        raise ValueError(f"KL[q || p] needs events of one shape, got {q.event_shape} and {p.event_shape}")
    for q_type in type(q).__mro__:
        for p_type in type(p).__mro__:
            if (q_type, p_type) in _RULES:
                return _RULES[q_type, p_type](q, p)
    try:
        return nd.kl_divergence(q, p)[..., None]
    except NotImplementedError:
        raise NoClosedForm(
            f"no closed form is known for KL[{type(q).__name__} || {type(p).__name__}]; estimate it from draws"
        ) from None


def _normal(q_loc, q_scale, p_loc, p_scale):
    ratio = (q_scale / p_scale) ** 2
    return 0.5 * (ratio + ((q_loc - p_loc) / p_scale) ** 2 - 1 - jnp.log(ratio))


@_rule(nd.Normal, nd.Normal)
def _(q, p):
    return _normal(q.loc, q.scale, p.loc, p.scale)[..., None]


@_rule(MultivariateNormalDiag, MultivariateNormalDiag)
def _(q, p):
    return _normal(q.loc, q.scale_diag, p.loc, p.scale_diag)


def _weighted(probs, log_q, log_p):
    """q (ln q − ln p), which is 0 where q is."""
    possible = probs > 0
    return probs * (jnp.where(possible, log_q, 0) - jnp.where(possible, log_p, 0))


@_rule(Bernoulli, Bernoulli)
def _(q, p):
    # Written with ln σ, so that it stays finite where a probability rounds to 0 or 1.
    def one(sign):
        log_q, log_p = jax.nn.log_sigmoid(sign * q.logits), jax.nn.log_sigmoid(sign * p.logits)
        return _weighted(jax.nn.sigmoid(sign * q.logits), log_q, log_p)

    return (one(1) + one(-1))[..., None]


@_rule(nd.CategoricalLogits, nd.CategoricalLogits)
def _(q, p):
    log_q, log_p = jax.nn.log_softmax(q.logits), jax.nn.log_softmax(p.logits)
    return _weighted(jnp.exp(log_q), log_q, log_p).sum(-1, keepdims=True)


def _full(q_loc, q_tril, p_loc, p_tril):
    shape = jnp.broadcast_shapes(q_tril.shape, p_tril.shape, (*q_loc.shape, 1), (*p_loc.shape, 1))
    p_tril = jnp.broadcast_to(p_tril, shape)
    whiten = jax.scipy.linalg.solve_triangular
    spread = whiten(p_tril, jnp.broadcast_to(q_tril, shape), lower=True)
    shift = whiten(p_tril, jnp.broadcast_to(q_loc - p_loc, shape[:-1])[..., None], lower=True)
    log_det = jnp.log(jnp.abs(jnp.diagonal(p_tril, axis1=-2, axis2=-1))).sum(-1)
    log_det -= jnp.log(jnp.abs(jnp.diagonal(q_tril, axis1=-2, axis2=-1))).sum(-1)
    squares = (spread**2).sum((-2, -1)) + (shift**2).sum((-2, -1))
    return (0.5 * (squares - shape[-1]) + log_det)[..., None]


@_rule(nd.MultivariateNormal, nd.MultivariateNormal)
def _(q, p):
    return _full(q.loc, q.scale_tril, p.loc, p.scale_tril)


@_rule(nd.MultivariateNormal, MultivariateNormalDiag)
def _(q, p):
    rows = q.scale_tril / p.scale_diag[..., None]
    log_det = jnp.log(jnp.abs(jnp.diagonal(rows, axis1=-2, axis2=-1))).sum(-1)
    shift = (q.loc - p.loc) / p.scale_diag
    return (0.5 * ((rows**2).sum((-2, -1)) + (shift**2).sum(-1) - rows.shape[-1]) - log_det)[..., None]


def _diagonal_matrix(scale):
    return scale[..., None] * jnp.eye(scale.shape[-1], dtype=scale.dtype)


@_rule(MultivariateNormalDiag, nd.MultivariateNormal)
def _(q, p):
    return _full(q.loc, _diagonal_matrix(q.scale_diag), p.loc, p.scale_tril)


@_rule(nd.LowRankMultivariateNormal, MultivariateNormalDiag)
def _(q, p):
    # of a diagonal p, the cross entropy depends on the mean and the variances alone
    cross = _normal(q.loc, jnp.sqrt(q.variance), p.loc, p.scale_diag) + 0.5 * jnp.log(2 * jnp.pi * jnp.e * q.variance)
    return (cross.sum(-1) - q.entropy())[..., None]


@_rule(nd.LowRankMultivariateNormal, nd.MultivariateNormal)
def _(q, p):
    dim, shift = q.loc.shape[-1], q.loc - p.loc
    root = jnp.concatenate([q.cov_factor, _diagonal_matrix(jnp.sqrt(q.cov_diag))], axis=-1)
    columns = jnp.concatenate([jnp.broadcast_to(root, (*shift.shape, root.shape[-1])), shift[..., None]], axis=-1)
    tril = jnp.broadcast_to(p.scale_tril, (*shift.shape, dim))
    squares = (jax.scipy.linalg.solve_triangular(tril, columns, lower=True) ** 2).sum((-2, -1))
    log_det = jnp.log(jnp.abs(jnp.diagonal(tril, axis1=-2, axis2=-1))).sum(-1)
    return (0.5 * (squares + dim * math.log(2 * math.pi)) + log_det - q.entropy())[..., None]


def _as_vector(q: nd.Independent) -> MultivariateNormalDiag | None:
    """An Independent of Normals over one dimension, as the diagonal normal that it is."""
    if isinstance(q.base_dist, nd.Normal) and q.reinterpreted_batch_ndims == 1:
        base: Any = q.base_dist
        loc, scale = jnp.broadcast_arrays(base.loc, base.scale)
        return MultivariateNormalDiag(loc, scale)
    return None


@_rule(nd.Independent, nd.Independent)
def _(q, p):
    per_element = kl_per_dimension(q.base_dist, p.base_dist)
    ndims = q.reinterpreted_batch_ndims
    if ndims != p.reinterpreted_batch_ndims:
        raise NoClosedForm("no closed form is known for two Independents of different numbers of dimensions")
    return per_element.reshape(*per_element.shape[: per_element.ndim - ndims - 1], -1)


def _independent_first(q, p):
    vector = _as_vector(q)
    if vector is None:
        raise NoClosedForm(f"no closed form is known for KL[Independent || {type(p).__name__}]")
    return kl_per_dimension(vector, p)


def _independent_second(q, p):
    vector = _as_vector(p)
    if vector is None:
        raise NoClosedForm(f"no closed form is known for KL[{type(q).__name__} || Independent]")
    return kl_per_dimension(q, vector)


for _multivariate in (MultivariateNormalDiag, nd.MultivariateNormal):
    _rule(nd.Independent, _multivariate)(_independent_first)
    _rule(_multivariate, nd.Independent)(_independent_second)
