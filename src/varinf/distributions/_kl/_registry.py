from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float
from numpyro.distributions import Distribution

from varinf.errors import InputError


class NoClosedForm(ValueError):
    """No closed form is known for the KL divergence of a pair of distributions."""


RULES: dict[tuple[type, type], Callable[[Distribution, Distribution], Array]] = {}

_Types = type | tuple[type, ...]


def grouped_rule(q: _Types, p: _Types | None = None) -> Callable[[Callable], Callable]:
    """Enters a function of q and p that gives `[*batch, groups]`, for each of these types of q with each of p.

    Args:
        q: types of q.
        p: types of p; those of q where not given.
    """

    def register(function: Callable) -> Callable:
        for q_type in _tuple(q):
            for p_type in _tuple(q if p is None else p):
                RULES[q_type, p_type] = function
        return function

    return register


def rule(q: _Types, p: _Types | None = None) -> Callable[[Callable], Callable]:
    """Enters a function that gives `[*batch]`, as `grouped_rule` does."""

    def register(function: Callable) -> Callable:
        grouped_rule(q, p)(lambda q, p: function(q, p)[..., None])
        return function

    return register


def _tuple(types: _Types) -> tuple[type, ...]:
    return types if isinstance(types, tuple) else (types,)


def kl_divergence(q: Distribution, p: Distribution) -> Float[Array, "*batch"]:
    """KL[q || p] = E_q[ln q − ln p] in nats, exact, one for each element of the batch.

    It is infinite where q has probability off the support of p. `docs/kl.md` lists the pairs that are known.

    Raises:
        NoClosedForm: none is known for this pair.
        ValueError: the events have different shapes.
    """
    return kl_per_dimension(q, p).sum(-1)


def kl_per_dimension(q: Distribution, p: Distribution) -> Float[Array, "*batch groups"]:
    """KL[q || p] in nats, apart for each group of dimensions in which both factorise.

    The groups are the dimensions of the event where all are independent under q and p, else one group.

    Raises:
        NoClosedForm: none is known for this pair.
        ValueError: the events have different shapes.
    """
    if q.event_shape != p.event_shape:
        raise InputError(f"KL[q || p] needs events of one shape, got {q.event_shape} and {p.event_shape}")
    for q_type in type(q).__mro__:
        for p_type in type(p).__mro__:
            if (q_type, p_type) in RULES:
                return RULES[q_type, p_type](q, p)
    raise no_closed_form(q, p)


def no_closed_form(q: Distribution, p: Distribution, why: str = "") -> NoClosedForm:
    """The error for a pair."""
    pair = f"KL[{type(q).__name__} || {type(p).__name__}]"
    return NoClosedForm(f"no closed form is known for {pair}{why and ' ' + why}; estimate it from draws")


def safe_log(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """ln x, and −∞ with derivative 0 where x is 0."""
    positive = x > 0
    return jnp.where(positive, jnp.log(jnp.where(positive, x, 1.0)), -jnp.inf)


def weighted(weight, nats) -> Float[Array, "..."]:
    """Their product, which is 0 where the weight is."""
    return weight * jnp.where(weight > 0, nats, 0)
