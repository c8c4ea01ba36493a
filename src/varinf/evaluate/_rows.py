"""Rows in padded blocks, so that what is computed of a row depends on neither the others nor their number."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, PRNGKeyArray, PyTree

from varinf import data
from varinf._noise import folded
from varinf.errors import InputError
from varinf.models import AbstractModel
from varinf.objectives import Batch, Draw, Request


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
        InputError: values that are not finite, or outside the support; numbers of another length.
    """
    source = data.source(x)
    model.observation.check(data.summarize(source))
    if numbers is not None and np.shape(numbers) != (len(source),):
        raise InputError(f"numbers: expected one for each of the {len(source)} rows, got shape {np.shape(numbers)}")
    return padded_blocks(model, source, size, numbers)


def padded_blocks(
    model: AbstractModel, source: data.Source, size: int, numbers: np.ndarray | None = None
) -> Iterator[RowBlock]:
    """The same, for rows that are checked already."""
    numbers = np.arange(len(source)) if numbers is None else np.asarray(numbers)
    for start in range(0, len(source), size):
        rows = np.arange(start, start + size)
        count = min(size, len(source) - start)
        rows[count:] = start
        prepared = model.observation.prepare(data.take(source, rows))
        yield RowBlock(*jax.device_put((prepared, numbers[rows], count)))


def observed(model: AbstractModel, block: RowBlock, *, key: PRNGKeyArray) -> Batch:
    """A block as a batch, with random observations (binarised pixels) drawn once.

    What is drawn for a row depends on the key and the row's number alone: all figures about some rows that are
    worked out with one key are about the same observations.
    """
    observe_key = jax.random.split(key)[0]

    def observe(row: PyTree[Array], number: Array) -> PyTree[Array]:
        return model.observation(row, key=folded(observe_key, number))

    return _batch(jax.vmap(observe)(block.data, block.numbers), block.numbers)


def drawn(
    model: AbstractModel, batch: Batch, request: Request, draws: Int[Array, " samples"], *, key: PRNGKeyArray
) -> Draw:
    """The draws of these numbers for each row, each a function of the key, the row's number and its own.

    Raises:
        InputError: a latent is global, and so no row's own.
    """
    latents_key = jax.random.split(key)[1]

    def latents(draw: Array, row: PyTree[Array], number: Array) -> PyTree[Array]:
        own_key = folded(folded(latents_key, number), draw)
        alone = _batch(jax.tree.map(lambda array: array[None], row), number[None])
        one = model.draw(alone, request._replace(num_samples=1), key=own_key)
        return jax.tree.map(lambda array: array[0, 0], one.latents)

    of_rows = jax.vmap(latents, (None, 0, 0))
    # The draws of all rows at once are for what goes with them; they themselves are not used.
    request = request._replace(num_samples=draws.shape[0])
    together = model.draw(batch, request, key=key)
    for latent in jax.eval_shape(lambda: model.score(batch, together, request)).latents:
        if latent.is_global:
            raise InputError(
                f"figures of single rows are for models whose latents are all a row's own, and {latent.name!r} is one "
                "for all rows; of a Bayesian network take predict or varinf.models.log_predictive"
            )
    each = jax.vmap(of_rows, (0, None, None))(draws, batch.data, batch.rows)
    return eqx.tree_at(lambda draw: draw.latents, together, each)


def _batch(rows: PyTree[Array], numbers: Int[Array, " rows"]) -> Batch:
    return Batch(rows, numbers, jnp.ones(numbers.shape, bool), jnp.ones((), int), jnp.zeros((), int))
