"""What must be known of data before a fit, gathered in one pass by blocks."""

import hashlib
import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from varinf.errors import InputError

from ._moments import Moments
from ._source import Rows, Source, Spec, Subset, rows_between
from ._source import source as as_source

_MAX_ROWS = 1 << 20


@dataclass(frozen=True)
class Summary:
    """What one pass over a source finds.

    Attributes:
        count: the number of rows.
        mean: of each position, float64 `[*shape]`.
        std: of each position, float64 `[*shape]`; of the population (divided by `count`).
        minimum: over all positions.
        maximum: over all positions.
        whole: whether all values are whole numbers.
        binary: whether all values are 0 or 1.
        fingerprint: SHA-256 of dtype, shape, count and all bytes in the order of the rows, in hexadecimal.
    """

    count: int
    mean: np.ndarray
    std: np.ndarray
    minimum: float
    maximum: float
    whole: bool
    binary: bool
    fingerprint: str

    @property
    def overall_mean(self) -> float:
        """The mean over rows and positions."""
        return float(self.mean.mean())

    @property
    def overall_std(self) -> float:
        """The standard deviation over rows and positions."""
        return float(np.sqrt(np.mean(self.std**2) + np.var(self.mean)))


def summarize(x: Any, block_bytes: int = 1 << 24) -> Summary | tuple[Summary, ...]:
    """One pass over all rows, in blocks of about `block_bytes`, whatever the size of the data.

    Args:
        x: the rows, of any kind that `varinf.data.source` takes.
        block_bytes: of the rows that are looked at together.

    Returns:
        A Summary, or a tuple of them for a source of tuples.

    Raises:
        InputError: values that are NaN or infinite: how many, and where the first one is.
    """
    source = as_source(x)
    specs = source.spec if isinstance(source.spec, tuple) else (source.spec,)
    passes = [_Pass(spec, len(source)) for spec in specs]
    # SHA-256 takes as long as the statistics, and both let go of the interpreter's lock: a core each.
    with ThreadPoolExecutor(1) as hasher:
        for start, block in _blocks(source, specs, block_bytes):
            arrays = block if isinstance(block, tuple) else (block,)
            for one, array in zip(passes, arrays, strict=True):
                array = np.ascontiguousarray(array)
                hashed = hasher.submit(one.hash.update, array.reshape(-1).view(np.uint8).data)
                one.moments.add(array.reshape(len(array), -1), start)
                hashed.result()
    summaries = tuple(one.result(source) for one in passes)
    return summaries if isinstance(source.spec, tuple) else summaries[0]


class _Pass:
    """The pass over one array of a source."""

    def __init__(self, spec: Spec, count: int):
        self.spec, self.count = spec, count
        self.hash = hashlib.sha256(f"{np.dtype(spec.dtype).name} {spec.shape} {count} ".encode())
        self.moments = Moments(math.prod(spec.shape), np.dtype(spec.dtype))

    def result(self, source: Source) -> Summary:
        moments = self.moments
        if moments.non_finite:
            raise InputError(self._complaint(source))
        if not np.isfinite(moments.squares).all():
            largest = max(abs(moments.minimum), abs(moments.maximum))
            raise InputError(
                f"{getattr(source, 'name', 'the data')}: expected numbers whose variance is one, got values up to "
                f"{largest:g}; rescale them"
            )
        return Summary(
            count=self.count,
            mean=moments.mean.reshape(self.spec.shape),
            std=np.sqrt(moments.squares / self.count).reshape(self.spec.shape),
            minimum=moments.minimum,
            maximum=moments.maximum,
            whole=moments.whole,
            binary=moments.whole and moments.minimum >= 0 and moments.maximum <= 1,
            fingerprint=self.hash.hexdigest(),
        )

    def _complaint(self, source: Source) -> str:
        row, position, value = self.moments.first
        if isinstance(source, Subset):
            row = int(source.rows[row])
        if self.spec.columns is not None:
            place = f"column {self.spec.columns[position]!r}"
        elif len(self.spec.shape) == 1:
            place = f"column {position}"
        else:
            place = f"position {tuple(int(i) for i in np.unravel_index(position, self.spec.shape))}"
        many = self.moments.non_finite
        return (
            f"{getattr(source, 'name', 'the data')}: expected finite numbers, got {many} "
            f"{'value that is' if many == 1 else 'values that are'} NaN or infinite, the first "
            f"({value}) in row {row} (counted from 0), {place}; "
            f"remove or replace {'it' if many == 1 else 'them'}"
        )


def _blocks(source: Source, specs: tuple[Spec, ...], block_bytes: int) -> Iterator[tuple[int, Rows]]:
    row_bytes = sum(math.prod(spec.shape) * np.dtype(spec.dtype).itemsize for spec in specs)
    step = min(max(block_bytes // max(row_bytes, 1), 1), _MAX_ROWS)
    for start in range(0, len(source), step):
        yield start, rows_between(source, start, min(start + step, len(source)))
