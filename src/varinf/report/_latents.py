"""Codes of the prior, and what is drawn at them."""

import math
from statistics import NormalDist
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from varinf._compiled import compiled
from varinf._noise import key_words
from varinf.models import prior_of


def latent_dim(model: Any) -> int:
    """How many numbers a code has."""
    return math.prod(prior_of(model).event_shape)


def sample(model: Any, count: int, *, key: PRNGKeyArray) -> tuple[np.ndarray, np.ndarray]:
    """Means of p(x | z) at draws of z from the prior, and a draw from each."""
    try:
        means, draws = _sample(model, count, *_fast_keys(key))
    except NotImplementedError:  # JAX draws from some distributions with its default generator alone
        means, draws = _sample(model, count, *jax.random.split(key))
    return np.asarray(means), np.asarray(draws)


def at_sigmas(model: Any, sigmas: np.ndarray) -> np.ndarray:
    """The codes `[n, dim]` so many standard deviations from the prior's mean."""
    prior = prior_of(model)
    return np.asarray(prior.mean) + np.sqrt(np.asarray(prior.variance)) * sigmas


def quantiles(count: int, outermost: float = 0.01) -> np.ndarray:
    """Standard normal quantiles of evenly spaced probabilities."""
    return np.array([NormalDist().inv_cdf(p) for p in np.linspace(outermost, 1 - outermost, count)])


@compiled
def _sample(model: Any, count: int, z_key: PRNGKeyArray, x_key: PRNGKeyArray) -> tuple[Array, Array]:
    p = model.decode(prior_of(model).sample(z_key, (count,)))
    return p.mean, p.sample(x_key)


def _fast_keys(key: PRNGKeyArray) -> list[PRNGKeyArray]:
    """Two keys of the generator that compiles in a fifth of the default one's time, a function of the key."""
    words = np.random.SeedSequence(key_words(key).tolist()).generate_state(8)
    return [jax.random.wrap_key_data(jnp.asarray(half), impl="rbg") for half in np.split(words, 2)]
