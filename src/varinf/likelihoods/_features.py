"""What an encoder's network sees of an observation. Fixed functions, hashable, without arrays."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array


class Centered(eqx.Module):
    """Values in [0, max_value] to [−1, 1]."""

    max_value: float = eqx.field(static=True)

    def __call__(self, x: Array) -> Array:
        return x * (2 / self.max_value) - 1


class OneHot(eqx.Module):
    """Whole numbers to a one in their place, on a new last axis."""

    num_values: int = eqx.field(static=True)

    def __call__(self, x: Array) -> Array:
        return jax.nn.one_hot(x.astype(int), self.num_values, dtype=x.dtype)


def log1p(x: Array) -> Array:
    """ln(1 + x): counts, tamed."""
    return jnp.log1p(x)


def identity(x: Array) -> Array:
    """The observation itself."""
    return x
