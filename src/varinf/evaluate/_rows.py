"""Rows in padded blocks, so that what is computed of a row depends on neither the others nor their number."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, PRNGKeyArray, PyTree

from varinf import data
from varinf.models import AbstractModel
from varinf.objectives import Batch


class RowBlock(NamedTuple):
    """Rows `start` to `start + count` of a source, prepared, and the first of them repeated up to a full block."""

    data: PyTree[Array]
    start: Int[Array, ""]
    count: Int[Array, ""]


def row_blocks(model: AbstractModel, x: Any, size: int) -> Iterator[RowBlock]:
    """All rows of `x`, in order, in blocks of `size`, checked against what the model can observe.

    Raises:
        InputError: values that are not finite, or outside the support.
    """
    source = data.source(x)
    model.observation.check(data.summarize(source))
    for start in range(0, len(source), size):
        rows = np.arange(start, start + size)
        count = min(size, len(source) - start)
        rows[count:] = start
        prepared = model.observation.prepare(source.take(rows))
        yield RowBlock(jax.tree.map(jnp.asarray, prepared), jnp.asarray(start), jnp.asarray(count))


def observed(model: AbstractModel, block: RowBlock, *, key: PRNGKeyArray) -> Batch:
    """A block as a batch, with random observations (binarised pixels) drawn once.

    What is drawn for a row depends on the key and the row's number alone: all figures about some rows that are
    worked out with one key are about the same observations.
    """
    size = jax.tree.leaves(block.data)[0].shape[0]
    numbers = block.start + jnp.arange(size)
    observe_key = jax.random.split(key)[0]

    def observe(row: PyTree[Array], number: Array) -> PyTree[Array]:
        return model.observation(row, key=jax.random.fold_in(observe_key, number))

    seen = jax.vmap(observe)(block.data, numbers)
    return Batch(seen, numbers, jnp.ones(size, bool), jnp.ones((), int), jnp.zeros((), int))


def draw_key(block: RowBlock, *, key: PRNGKeyArray) -> PRNGKeyArray:
    """The key of a block's draws of latents."""
    return jax.random.fold_in(jax.random.split(key)[1], block.start)
