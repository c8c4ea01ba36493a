"""Learning-rate schedules: the share of the peak at a share of the run, both in [0, 1]."""

import math

import jax.numpy as jnp
from jaxtyping import Array


def constant(done: Array) -> Array:
    """The peak throughout."""
    return jnp.ones_like(done)


def cosine(done: Array) -> Array:
    """From the peak to zero along half a cosine."""
    return 0.5 * (1 + jnp.cos(math.pi * done))


def exponential(done: Array) -> Array:
    """From the peak to a hundredth of it, by equal factors."""
    return 10.0 ** (-2 * done)


def linear(done: Array) -> Array:
    """From the peak to zero in a line."""
    return 1 - done
