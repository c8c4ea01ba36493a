"""Rows in padded blocks, so that what is computed of a row depends on neither the others nor their number."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray, PyTree

from varinf import data
from varinf.models import AbstractModel
from varinf.objectives import Batch


class RowBlock(NamedTuple):
    """Rows `start` to `start + count` of a source, prepared, and the first of them repeated up to a full block."""

    data: PyTree[Array]
    start: int
    count: int


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
        yield RowBlock(jax.tree.map(jnp.asarray, prepared), start, count)


def observed(model: AbstractModel, block: PyTree[Array], *, key: PRNGKeyArray) -> Batch:
    """A block as a batch, with random observations (binarised pixels) drawn once."""
    size = jax.tree.leaves(block)[0].shape[0]
    zero = jnp.zeros((), int)
    seen = model.observation(block, key=key)
    return Batch(seen, jnp.arange(size), jnp.ones(size, bool), jnp.ones((), int), zero)
