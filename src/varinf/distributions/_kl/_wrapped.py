"""Distributions made of others: independent, expanded, masked and transformed ones, and points."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from numpyro import distributions as nd
from numpyro.distributions import transforms

from varinf.distributions._diag_normal import MultivariateNormalDiag
from varinf.distributions._kl._registry import grouped_rule, kl_per_dimension, no_closed_form, rule
from varinf.distributions._low_rank_normal import LowRankMultivariateNormal
from varinf.distributions._tril_normal import MultivariateNormalTriL

_VECTORS = (
    MultivariateNormalDiag,
    MultivariateNormalTriL,
    LowRankMultivariateNormal,
    nd.MultivariateNormal,
    nd.LowRankMultivariateNormal,
    nd.CirculantNormal,
)


def _flat(d: Any) -> tuple[Any, int]:
    """What an Independent is made of, and how many of its dimensions make one event."""
    ndims = 0
    while isinstance(d, nd.Independent):
        ndims += d.reinterpreted_batch_ndims
        d = d.base_dist
    return d, ndims


def _rewrap(base: nd.Distribution, ndims: int) -> nd.Distribution:
    return nd.Independent(base, ndims) if ndims else base


@grouped_rule(nd.Independent)
def _(q, p):
    (q_base, q_ndims), (p_base, p_ndims) = _flat(q), _flat(p)
    shared = min(q_ndims, p_ndims)
    per_element = kl_per_dimension(_rewrap(q_base, q_ndims - shared), _rewrap(p_base, p_ndims - shared))
    return per_element.reshape(*per_element.shape[: per_element.ndim - shared - 1], -1)


def _as_vector(q) -> MultivariateNormalDiag | None:
    """An Independent of Normals over one dimension, as the diagonal normal that it is."""
    base, ndims = _flat(q)
    shape = base.batch_shape
    if isinstance(base, nd.ExpandedDistribution):
        base = base.base_dist
    if isinstance(base, nd.Normal) and ndims == 1:
        parameters: Any = base
        loc, scale = parameters.loc, parameters.scale
        # not by the batch shape alone, which NumPyro does not keep up to date
        shape = jnp.broadcast_shapes(shape, jnp.shape(loc), jnp.shape(scale))
        return MultivariateNormalDiag(jnp.broadcast_to(loc, shape), jnp.broadcast_to(scale, shape), validate_args=False)
    return None


@grouped_rule(nd.Independent, _VECTORS)
def _(q, p):
    vector = _as_vector(q)
    if vector is None:
        raise no_closed_form(q, p)
    return kl_per_dimension(vector, p)


@grouped_rule(_VECTORS, nd.Independent)
def _(q, p):
    vector = _as_vector(p)
    if vector is None:
        raise no_closed_form(q, p)
    return kl_per_dimension(q, vector)


def _to_batch(groups, q, p):
    shape = jnp.broadcast_shapes(q.batch_shape, p.batch_shape, groups.shape[:-1])
    return jnp.broadcast_to(groups, (*shape, groups.shape[-1]))


@grouped_rule(nd.ExpandedDistribution, nd.Distribution)
def _(q, p):
    return _to_batch(kl_per_dimension(q.base_dist, p), q, p)


@grouped_rule(nd.Distribution, nd.ExpandedDistribution)
def _(q, p):
    return _to_batch(kl_per_dimension(q, p.base_dist), q, p)


@grouped_rule(nd.MaskedDistribution)
def _(q, p):
    groups = kl_per_dimension(q.base_dist, p.base_dist)
    mask = jnp.logical_and(q._mask, p._mask)[..., None]
    return jnp.where(mask, groups, 0)


def _equal_leaves(a: Any, b: Any) -> bool:
    """Whether two leaves are the same, as far as can be said before the program runs."""
    if a is b:
        return True
    return not (isinstance(a, Tracer) or isinstance(b, Tracer)) and np.array_equal(a, b)


def _equal(a: list, b: list) -> bool:
    (a_leaves, a_tree), (b_leaves, b_tree) = jax.tree.flatten(a), jax.tree.flatten(b)
    return a_tree == b_tree and all(map(_equal_leaves, a_leaves, b_leaves))


def _folds(transform: Any) -> bool:
    return isinstance(transform, transforms.AbsTransform)


@grouped_rule(nd.TransformedDistribution)
def _(q, p):
    if not _equal(q.transforms, p.transforms):
        raise no_closed_form(q, p, "of different transforms")
    if any(map(_folds, jax.tree.leaves(q.transforms, is_leaf=_folds))):
        raise no_closed_form(q, p, "of folded distributions")
    groups = kl_per_dimension(q.base_dist, p.base_dist)
    elementwise = all(t.domain.event_dim == 0 for t in q.transforms)
    return groups if elementwise else groups.sum(-1, keepdims=True)


@rule(nd.Delta, nd.Distribution)
def _(q, p):
    if not (isinstance(p, nd.Delta) or p.is_discrete):
        raise no_closed_form(q, p, "as a point has no density")
    return q.log_density - p.log_prob(q.v)
