"""Sources: rows that can be counted, described and taken by number."""

import math
import mmap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np

from varinf.errors import InputError

Rows: TypeAlias = np.ndarray | tuple[np.ndarray, ...]

WHITE = {"bool": 1.0, "uint8": 255.0, "uint16": 65535.0}


@dataclass(frozen=True)
class Spec:
    """What one row of a source is.

    Attributes:
        shape: the event shape of one row: `(28, 28)`, `(32, 30, 3)`, `(8,)`.
        dtype: of the rows as they are taken.
        kind: "images" (rows of rank 2 and above) or "table" (rank 1; rank 0 in a source of tuples).
        max_value: for integer images the stored value that means white: 255 for uint8, 16 for scikit-learn's
            digits. None for anything else, and where it is not known.
        columns: the names of a table's columns, where they are known.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    kind: str
    max_value: float | None = None
    columns: tuple[str, ...] | None = None


@runtime_checkable
class Source(Protocol):
    """What `vi.fit` takes: any object with these three will do.

    `spec` is a tuple of Specs, and `take` returns a tuple of arrays, where one datum is a tuple (inputs and
    targets, say). An optional attribute is `labels`: one per row, or None.
    """

    @property
    def spec(self) -> Spec | tuple[Spec, ...]:
        """What a row is."""
        ...

    def __len__(self) -> int: ...

    def take(self, rows: np.ndarray) -> Rows:
        """The rows of these numbers, in this order: `[len(rows), *shape]`, or a tuple of such arrays."""
        ...


class ArraySource:
    """The rows of one array, or of several arrays side by side, in memory or memory-mapped.

    Args:
        arrays: `[n, *shape]`, or a tuple of arrays of equal length.
        labels: one per row, carried along for pictures.
        columns: names of a table's columns.
        max_value: the stored value that means white in integer images; by default 255 for uint8, 65535 for
            uint16.
        name: where the rows come from, for messages.

    Raises:
        InputError: no rows, unequal lengths, or values that are not real numbers.
    """

    def __init__(
        self,
        arrays: Any,
        labels: Any = None,
        columns: Sequence[str] | None = None,
        max_value: float | None = None,
        name: str = "the data",
    ):
        self.name = name
        self._tuple = isinstance(arrays, tuple)
        given = arrays if isinstance(arrays, tuple) else (arrays,)
        if not given:
            raise InputError(f"{name}: expected at least one array, got an empty tuple")
        self._arrays = tuple(_numbers(array, name) for array in given)
        lengths = [len(array) for array in self._arrays]
        if len(set(lengths)) > 1:
            raise InputError(f"{name}: expected arrays of equal length, got {lengths} rows")
        self._file_sizes = [_file_size(array) for array in self._arrays]
        specs = tuple(_spec(array, columns, max_value) for array in self._arrays)
        self.spec: Spec | tuple[Spec, ...] = specs if self._tuple else specs[0]
        if columns is not None and specs[0].shape != (len(columns),):
            raise InputError(f"{name}: got {len(columns)} column names for rows of shape {specs[0].shape}")
        self.labels = None if labels is None else _labels(labels, name)
        if self.labels is not None and (self.labels.ndim < 1 or len(self.labels) != lengths[0]):
            raise InputError(f"{name}: expected a label for each of the {lengths[0]} rows, got {self.labels.shape}")

    def __len__(self) -> int:
        return len(self._arrays[0])

    def take(self, rows: np.ndarray) -> Rows:
        """A copy of the rows of these numbers, in this order: `[len(rows), *shape]`, or a tuple of such.

        Raises:
            InputError: the file that they are in was cut short.
        """
        self._check_files()
        return self._pack(_gather(array, rows) for array in self._arrays)

    def read(self, start: int, stop: int) -> Rows:
        """The rows from `start` to `stop`, without a copy where the array allows it; not to be written to.

        Raises:
            InputError: the file that they are in was cut short.
        """
        self._check_files()
        return self._pack(array[start:stop].astype(_native(array.dtype), copy=False) for array in self._arrays)

    def _check_files(self) -> None:
        """Mapped memory that its file no longer reaches to ends the process where it is read."""
        for array, size in zip(self._arrays, self._file_sizes, strict=True):
            if (left := _file_size(array)) < size:
                raise InputError(
                    f"{self.name}: the file was cut short from {size} to {left} bytes while it was read; "
                    "leave it as it is until the end"
                )

    def _pack(self, blocks: Any) -> Rows:
        blocks = tuple(blocks)
        return blocks if self._tuple else blocks[0]


class Subset:
    """Some rows of a source, in the order of `rows`."""

    def __init__(self, source: Source, rows: np.ndarray):
        rows = np.asarray(rows)
        if rows.ndim != 1 or rows.dtype.kind not in "iu":
            raise InputError(f"expected a list of row numbers, got {rows.dtype} of shape {rows.shape}")
        if len(rows) and (rows.min() < 0 or rows.max() >= len(source)):
            raise InputError(f"expected row numbers from 0 to {len(source) - 1}, got {rows.min()} to {rows.max()}")
        if isinstance(source, Subset):
            source, rows = source.source, source.rows[rows]
        self.source, self.rows = source, rows
        self.name = _name(source)
        labels = getattr(source, "labels", None)
        self.labels: np.ndarray | None = None if labels is None else np.asarray(labels)[rows]

    @property
    def spec(self) -> Spec | tuple[Spec, ...]:
        """What a row is, as in the whole source."""
        return self.source.spec

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, rows: np.ndarray) -> Rows:
        """The rows of these numbers, counted within the subset."""
        return self.source.take(self.rows[rows])


def source(x: Any) -> Source:
    """`x` as a Source.

    Args:
        x: an array of any kind that NumPy understands, `[n, *shape]`; a tuple of arrays of equal length; or a
            Source, which is returned as it is.

    Raises:
        InputError: no rows, unequal lengths, or values that are not real numbers.
    """
    if isinstance(x, Source):
        if len(x) == 0:
            raise InputError(f"{_name(x)}: expected at least one row, got none")
        return x
    return ArraySource(x)


def take(source: Source, rows: np.ndarray) -> Rows:
    """The rows of these numbers, `[len(rows), *shape]` or a tuple of such, as the source's spec promises.

    Raises:
        InputError: the source, which may be a user's own, gave something else.
    """
    taken, spec = source.take(rows), source.spec
    if isinstance(spec, tuple):
        if not isinstance(taken, tuple) or len(taken) != len(spec):
            got = f"a tuple of {len(taken)}" if isinstance(taken, tuple) else type(taken).__name__
            raise InputError(
                f"{_name(source)}: expected a tuple of {len(spec)} arrays by the source's spec, its take gave {got}"
            )
        for array, one in zip(taken, spec, strict=True):
            _check_rows(array, one, len(rows), source)
    else:
        _check_rows(taken, spec, len(rows), source)
    return taken


def rows_between(source: Source, start: int, stop: int) -> Rows:
    """The rows from `start` to `stop`, as `take` gives them.

    Without a copy where the source can give them so: not to be written to.
    """
    return source.read(start, stop) if isinstance(source, ArraySource) else take(source, np.arange(start, stop))


def _check_rows(array: Any, spec: Spec, count: int, source: Source) -> None:
    shape, dtype = getattr(array, "shape", None), getattr(array, "dtype", None)
    if shape == (count, *spec.shape) and dtype == spec.dtype:
        return
    raise InputError(
        f"{_name(source)}: expected {count} rows of {spec.dtype} and shape {spec.shape} by the source's spec, its take "
        f"gave {type(array).__name__ if shape is None else f'{dtype} of shape {shape}'}"
    )


def _name(source: Source) -> str:
    return getattr(source, "name", "the data")


def _numbers(given: Any, name: str) -> np.ndarray:
    """`given` as an array of real numbers with at least one row."""
    if isinstance(given, np.ma.MaskedArray) and np.ma.getmaskarray(given).any():
        raise InputError(f"{name}: got a masked array; fill or drop the masked values first")
    try:
        array = np.asarray(given)
    except (ValueError, TypeError) as error:
        raise InputError(f"{name}: expected rows of equal shape, got {type(given).__name__} of unequal ones") from error
    if array.dtype.hasobject:
        raise InputError(f"{name}: expected numbers, got an array of Python objects; convert it to a numeric dtype")
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        raise InputError(f"{name}: expected real numbers of at most 64 bits, got dtype {array.dtype}; convert them")
    if array.ndim == 0:
        raise InputError(f"{name}: expected rows, got a single number")
    if array.shape[0] == 0:
        raise InputError(f"{name}: expected at least one row, got none")
    if array.size == 0:
        raise InputError(f"{name}: expected rows with values in them, got rows of shape {array.shape[1:]}")
    # A mapped array is converted block by block as it is read; one in memory now, once.
    return array if _map_of(array) is not None else array.astype(_native(array.dtype), copy=False)


def _labels(given: Any, name: str) -> np.ndarray:
    """Labels as words, real numbers or truth values."""
    labels = np.asarray(given)
    if labels.dtype.kind == "S":
        try:
            return np.char.decode(labels, "utf-8")
        except UnicodeDecodeError as error:
            raise InputError(f"{name}: expected labels in UTF-8, got {error.object!r}") from None
    if labels.dtype.kind in "cmMV":
        raise InputError(
            f"{name}: expected words or real numbers as labels, got dtype {labels.dtype}; convert them or "
            "leave them out"
        )
    return labels


def _spec(array: np.ndarray, columns: Sequence[str] | None, max_value: float | None) -> Spec:
    shape, dtype = array.shape[1:], _native(array.dtype)
    kind = "images" if len(shape) >= 2 else "table"
    if kind == "images" and max_value is None:
        max_value = WHITE.get(dtype.name)
    return Spec(shape, dtype, kind, max_value, None if columns is None else tuple(columns))


def _gather(array: np.ndarray, rows: np.ndarray) -> np.ndarray:
    # np.take is the faster, but copies the whole of an array that is not in C order.
    taken = np.take(array, rows, axis=0) if array.flags.c_contiguous and array.dtype.isnative else array[rows]
    return taken.astype(_native(array.dtype), copy=False)


def _native(dtype: np.dtype) -> np.dtype:
    return dtype if dtype.isnative else dtype.newbyteorder("=")


def _map_of(array: Any) -> mmap.mmap | None:
    """The mapped memory that an array is in, or None."""
    while array is not None and not isinstance(array, mmap.mmap):
        array = array.obj if isinstance(array, memoryview) else getattr(array, "base", None)
    return array


def _file_size(array: np.ndarray) -> float:
    """The bytes of the file that an array is mapped from; of one without a file no limit."""
    mapped = _map_of(array)
    try:
        return math.inf if mapped is None else mapped.size()
    except OSError:
        return math.inf
