"""Score-function gradients, for latents whose draws carry no gradient: discrete ones, for example.

The derivative of E_q[f(z)] is E_q[f(z) ∇ ln q(z)], to which the gradient that f itself has is added. Each draw's factor
may have anything taken off that does not depend on that draw, a baseline, without a bias: here the same factor, as
guessed from the other draws.

What is computed are surrogates: zero, with that gradient. They leave the value of a loss as it is.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from varinf.errors import InputError
from varinf.objectives._terms import Latent, Terms


def surrogate_of_mean(
    terms: Terms, local: Float[Array, "samples batch"], shared: Float[Array, " samples"], *, estimator: str
) -> Float[Array, ""]:
    """The surrogate of the mean over draws and data of `local` + `shared`.

    Source: Kool, van Hoof and Welling 2019; Mnih and Rezende 2016, equation 7.

    Args:
        terms: that they are made of.
        local: of each draw and datum, in nats.
        shared: what is the same for all data, of each draw of the global latents.
        estimator: the gradient asked for.

    Raises:
        InputError: as `_score_latents`.
    """
    total = jnp.zeros((), local.dtype)
    for latent in _score_latents(terms, estimator):
        factor = _above_the_others(jax.vmap(terms.mean)(local) + shared if latent.is_global else local)
        each = (factor * _without_value(latent.log_posterior)).mean(0)
        total += each if latent.is_global else terms.mean(each)
    return total


def surrogate_of_weights(
    terms: Terms,
    bound: Callable[[Float[Array, "samples batch"]], Float[Array, " batch"]],
    log_weights: Float[Array, "samples batch"],
    *,
    estimator: str,
) -> Float[Array, ""]:
    """The surrogate of the mean over data of a function of all draws' log weights.

    The others' guess is the function with the draw's own log weight replaced by the mean of theirs. `log_weights`
    have no gradient of their own by ln q (see `Latent.log_ratio`); it is added here, so that it has a baseline too
    and there is no noise at the exact posterior.

    Source: VIMCO, Mnih and Rezende 2016, equations 8 to 10.

    Args:
        terms: that they are made of.
        bound: of each datum, in nats.
        log_weights: as `Terms.log_weights` gives them.
        estimator: the gradient asked for.

    Raises:
        InputError: as `_score_latents`.
    """
    latents = _score_latents(terms, estimator)
    if not latents:
        return jnp.zeros((), log_weights.dtype)

    def factor(log_weights: Array) -> Array:
        value, pull = jax.vjp(bound, log_weights)
        return value - pull(jnp.ones_like(value))[0]

    log_weights = jax.lax.stop_gradient(log_weights)
    own = jnp.eye(len(log_weights), dtype=bool)[..., None]
    others_mean = jnp.where(own, 0, log_weights).sum(1) / (len(log_weights) - 1)
    replaced = jnp.where(own, others_mean[:, None], log_weights)
    guess = jnp.where(own, jax.vmap(factor)(replaced), 0).sum(1)
    guess = jnp.where(jnp.isfinite(guess), guess, 0)  # there is none where all others have weight zero
    log_posterior = sum((latent.log_posterior for latent in latents), jnp.zeros_like(log_weights))
    return terms.mean(((factor(log_weights) - guess) * _without_value(log_posterior)).sum(0))


def _score_latents(terms: Terms, estimator: str) -> tuple[Latent, ...]:
    """The groups of latents whose draws carry no gradient.

    Raises:
        InputError: there are some, and the gradient asked for is none for them, or one draw has no others.
    """
    latents = tuple(latent for latent in terms.latents if not latent.reparameterized)
    if not latents:
        return ()
    names, num_samples = ", ".join(latent.name for latent in latents), len(terms.log_likelihood)
    if estimator != "reparam":
        raise InputError(
            f"estimator={estimator!r} needs draws that gradients pass through, and those of {names} are not "
            "reparameterised; leave estimator out for score-function gradients"
        )
    if num_samples < 2:
        raise InputError(
            f"the draws of {names} are not reparameterised, and score-function gradients need num_samples>=2 for the "
            f"baseline; got {num_samples}"
        )
    return latents


def _above_the_others(values: Float[Array, "samples ..."]) -> Float[Array, "samples ..."]:
    """Each draw's value less the mean of the others'."""
    return jax.lax.stop_gradient(values - values.mean(0)) * (len(values) / (len(values) - 1))


def _without_value(x: Array) -> Array:
    """Zero, with the gradient of x."""
    return x - jax.lax.stop_gradient(x)
