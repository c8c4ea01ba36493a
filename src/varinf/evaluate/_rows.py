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
    """Some rows of a source, prepared, and the first of them repeated up to a full block.

    Attributes:
        data: the rows.
        numbers: of the rows; what is drawn for a row depends on its number.
        count: how many rows are no repetitions.
    """

    data: PyTree[Array]
    numbers: Int[Array, " rows"]
    count: Int[Array, ""]


def row_blocks(model: AbstractModel, x: Any, size: int, numbers: np.ndarray | None = None) -> Iterator[RowBlock]:
    """All rows of `x`, in order, in blocks of `size`, checked against what the model can observe.

    Args:
        model: the model.
        x: rows as stored, or a Source.
        size: rows in a block.
        numbers: of the rows, `[n]`; their places if None.

    Raises:
        InputError: values that are not finite, or outside the support.
    """
    source = data.source(x)
    model.observation.check(data.summarize(source))
    numbers = np.arange(len(source)) if numbers is None else numbers
    for start in range(0, len(source), size):
        rows = np.arange(start, start + size)
        count = min(size, len(source) - start)
        rows[count:] = start
        prepared = model.observation.prepare(source.take(rows))
        yield RowBlock(jax.tree.map(jnp.asarray, prepared), jnp.asarray(numbers[rows]), jnp.asarray(count))


def one_row(
    model: AbstractModel, row: PyTree[Array], number: Int[Array, ""], *, key: PRNGKeyArray
) -> tuple[Batch, PRNGKeyArray]:
    """A row as a batch of one, with random observations (binarised pixels) drawn once; and the key of its draws.

    Both depend on the key and the row's number alone: all figures about some rows that are worked out with one key
    are about the same observations, whatever rows come with them.
    """
    observe_key, draw_key = jax.random.split(key)
    seen = model.observation(row, key=jax.random.fold_in(observe_key, number))
    one = jax.tree.map(lambda array: array[None], seen)
    batch = Batch(one, number[None], jnp.ones(1, bool), jnp.ones((), int), jnp.zeros((), int))
    return batch, jax.random.fold_in(draw_key, number)
