"""Where the arrays of a network begin."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from varinf._compiled import compiled

_LEAST = 1024  # numbers of a draw

Shape = tuple[int, ...]
Arrays = tuple[Float[Array, "..."], ...]


def start(
    key: PRNGKeyArray, weights: Sequence[Shape], bounds: Sequence[float], biases: Sequence[Shape]
) -> tuple[Arrays, Arrays]:
    """Weights, each uniform in [−bound, bound), and biases, which are zero.

    Weights are cut from one draw, which is of a power of two so that networks share its program: XLA is slower to
    compile a draw than all else of a start.

    Args:
        key: for the weights.
        weights: shapes.
        bounds: one for each of them.
        biases: shapes.
    """
    size = max(sum(map(math.prod, weights)), _LEAST)
    numbers = jax.random.uniform(key, (1 << (size - 1).bit_length(),), minval=-1.0, maxval=1.0)
    return _cut(numbers, list(weights), list(bounds), list(biases))


@compiled
def _cut(
    numbers: Float[Array, " number"], weights: list[Shape], bounds: list[float], biases: list[Shape]
) -> tuple[Arrays, Arrays]:
    ends = [sum(map(math.prod, weights[: i + 1])) for i in range(len(weights))]
    parts = [numbers[end - math.prod(shape) : end].reshape(shape) for end, shape in zip(ends, weights, strict=True)]
    scaled = tuple(bound * part for bound, part in zip(bounds, parts, strict=True))
    return scaled, tuple(jnp.zeros(shape, numbers.dtype) for shape in biases)
