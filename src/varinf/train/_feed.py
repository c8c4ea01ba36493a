"""The way of the rows from a source to compiled calls."""

import math
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from varinf.data import Source, prefetch, rows_between, take
from varinf.likelihoods import AbstractObservation
from varinf.train._step import Block

MAX_BATCHES = 256  # of one compiled call
_BLOCK_BYTES = 1 << 25  # of the rows read ahead for one call
_PART = 4096  # rows
_ALIGNMENT = 64  # bytes


class Feed:
    """Rows in blocks of batches: gathered on the device where all of them fit, else read in the background.

    Either way the batches are the same, and all blocks have one shape.

    Args:
        source: the rows.
        observation: prepares them on the host.
        batch_size: rows in a batch.
        width: rows in a padded batch, at least `batch_size`.
        max_resident_bytes: how large the prepared rows may be to be kept on the device.
    """

    def __init__(
        self,
        source: Source,
        observation: AbstractObservation,
        batch_size: int,
        width: int,
        max_resident_bytes: int,
    ):
        self._source, self._observation = source, observation
        self.batch_size, self._width = batch_size, width
        self.num_rows = len(source)
        row = self._take(np.zeros(1, int))
        row_bytes = sum(leaf.nbytes for leaf in jax.tree.leaves(row))
        self._resident = None
        if row_bytes * self.num_rows <= max_resident_bytes:
            self._resident = self._all_rows(row)
        self._capacity = MAX_BATCHES
        if self._resident is None:
            self._capacity = min(MAX_BATCHES, max(1, _BLOCK_BYTES // (row_bytes * width)))

    def _all_rows(self, row: PyTree) -> PyTree:
        """All the rows on the device, a part at a time so that there is one copy of them only."""
        length = _round_up(self.num_rows)
        whole = jax.tree.map(lambda leaf: _aligned((length, *leaf.shape[1:]), leaf.dtype), row)
        for start in range(0, self.num_rows, _PART):
            stop = min(start + _PART, self.num_rows)
            part = self._observation.prepare(rows_between(self._source, start, stop))
            for into, leaf in zip(jax.tree.leaves(whole), jax.tree.leaves(part), strict=True):
                into[start:stop] = leaf
        for leaf in jax.tree.leaves(whole):
            leaf[self.num_rows :] = leaf[0]
        return jax.device_put(whole)

    @property
    def num_batches(self) -> int:
        """How many batches a pass over all rows has."""
        return math.ceil(self.num_rows / self.batch_size)

    def blocks(
        self, order: Callable[[int], np.ndarray], first: int, stop: int, limit: "Limit | None" = None
    ) -> Iterator[Block]:
        """The batches of the steps from number `first` up to `stop`, through as many passes as these are.

        Args:
            order: the row numbers in the order in which a pass visits them, by the number of the pass.
            first: the step to begin with; the first pass has numbers 0 to `num_batches` - 1.
            stop: the step before which to end.
            limit: how many batches a block may have, asked before each; only where all rows are on the device.
        """
        if self._resident is not None:
            while first < stop:
                most = self._capacity if limit is None else min(self._capacity, limit.batches)
                count = min(most, stop - first)
                yield self._block(order, first, count, self._resident)
                first += count
            return
        starts = range(first, stop, self._capacity)

        def read(number: int) -> Block:
            return self._block(order, starts[number], min(self._capacity, stop - starts[number]), None)

        yield from prefetch(read, len(starts))

    def _block(self, order: Callable[[int], np.ndarray], first: int, count: int, resident: PyTree | None) -> Block:
        batches, width = self._capacity, self._width
        chosen, where = self._rows(order, first, count)
        rows, mask = np.zeros(batches * width, np.int32), np.zeros(batches * width, bool)
        # A row that fills up a short batch repeats the first of the block, so that what is computed of it is finite.
        rows[:] = chosen[0]
        rows[where], mask[where] = chosen, True
        shape = (batches, width)
        if resident is not None:
            data, positions = resident, rows
        else:
            taken = self._take(chosen)
            data = jax.tree.map(lambda leaf: jnp.asarray(_padded(leaf, batches * self.batch_size)), taken)
            positions = np.zeros(batches * width, np.int32)
            positions[where] = np.arange(len(chosen))
        return Block(data, positions.reshape(shape), rows.reshape(shape), mask.reshape(shape), np.asarray(count))

    def _rows(self, order: Callable[[int], np.ndarray], first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """The numbers of the rows of `count` steps, and their places in batches of the padded width."""
        chosen, where = [], []
        step, stop = first, first + count
        while step < stop:
            visit, batch = divmod(step, self.num_batches)
            last = min(batch + stop - step, self.num_batches)
            chosen.append(order(visit)[batch * self.batch_size : last * self.batch_size])
            flat = np.arange(len(chosen[-1]))
            where.append((step - first + flat // self.batch_size) * self._width + flat % self.batch_size)
            step += last - batch
        return np.concatenate(chosen), np.concatenate(where)

    def _take(self, rows: np.ndarray) -> PyTree:
        return self._observation.prepare(take(self._source, rows))


class Limit:
    """How many batches a compiled call should have to take about half a second, learnt from those before it."""

    def __init__(self):
        self.batches = 4

    def learn(self, batches: int, seconds: float) -> None:
        """Take note of a call's length."""
        wanted = int(batches * 0.5 / max(seconds, 1e-6))
        self.batches = max(1, min(MAX_BATCHES, wanted, 8 * batches))


def _padded(leaf: np.ndarray, length: int) -> np.ndarray:
    """`leaf` with its first row repeated until it has `length` rows."""
    missing = length - len(leaf)
    return leaf if missing == 0 else np.concatenate([leaf, np.repeat(leaf[:1], missing, axis=0)])


def _aligned(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An empty array that begins where JAX asks of memory that a CPU is to use as it is."""
    size = math.prod(shape) * dtype.itemsize
    memory = np.empty(size + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + size].view(dtype).reshape(shape)


def _round_up(n: int) -> int:
    """A number of rows that few other numbers of rows round up to: compiled steps are kept for each shape."""
    grain = 1 << max(0, n.bit_length() - 4)
    return -(-n // grain) * grain
