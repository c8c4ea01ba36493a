"""Where the arrays of a network begin."""

import itertools
import math
from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from varinf._compiled import compiled
from varinf._noise import uniform

Shape = tuple[int, ...]
Arrays = tuple[Float[Array, "..."], ...]


@compiled
def start(
    key: PRNGKeyArray, weights: Sequence[Shape], bounds: Sequence[float], biases: Sequence[Shape]
) -> tuple[Arrays, Arrays]:
    """Weights, each uniform in [−bound, bound), and biases, which are zero.

    Args:
        key: for the weights.
        weights: shapes.
        bounds: one for each of them.
        biases: shapes.
    """
    sizes, dtype = [math.prod(shape) for shape in weights], jnp.dtype(jnp.result_type(float))
    numbers = 2 * uniform(key, (sum(sizes),), dtype) - 1
    ends = list(itertools.accumulate(sizes))
    parts = [numbers[first:end] for first, end in zip([0, *ends], ends, strict=False)]
    scaled = [bound * part.reshape(shape) for bound, part, shape in zip(bounds, parts, weights, strict=True)]
    return tuple(scaled), tuple(jnp.zeros(shape, dtype) for shape in biases)
