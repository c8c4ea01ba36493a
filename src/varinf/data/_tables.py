"""Tables: CSV and Parquet, read by PyArrow into one matrix of their numeric columns."""

import gzip
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from varinf._checks import known
from varinf._files import write_file
from varinf.errors import InputError

from ._faults import reading
from ._source import ArraySource

_LABELS = ("label", "labels", "class")
_BLOCK = 1 << 23  # bytes that PyArrow parses at a time; no line may be longer


def open_csv(path: Path, label: str | None = None) -> ArraySource:
    """The rows of a CSV file, separated by commas, semicolons or tabs; a first row of names is expected.

    Where the first row holds numbers, some of them missing perhaps, or a word that comes again in its column, there is
    no such row, and the columns are called f0, f1, ...; but 0, 1, 2, ... are names, as pandas gives them. Empty cells
    are NaN. A first column that alone has no name is a row index, as pandas and R write it, and left out unless it
    holds fractions. The column `label` holds labels; by default one of words that is named so.
    """
    with reading(path, "a CSV file"):
        from pyarrow import csv

        if path.stat().st_size == 0:
            raise InputError(f"{path}: expected a CSV file, got an empty one")
        parse = csv.ParseOptions(delimiter=_delimiter(path))
        options = csv.ReadOptions(block_size=_BLOCK)
        table = csv.read_csv(path, parse_options=parse, read_options=options)
        if _begins_with_data(table):
            options.autogenerate_column_names = True
            table = csv.read_csv(path, parse_options=parse, read_options=options)
        return _source(table.remove_column(0) if _begins_with_index(table) else table, path, label)


def open_parquet(path: Path, label: str | None = None) -> ArraySource:
    """The rows of a Parquet file, with labels as of a CSV file; what pandas wrote as a row index is left out."""
    with reading(path, "a Parquet file"):
        from pyarrow import parquet

        with parquet.ParquetFile(path) as file:
            table = file.read()
        index = (table.schema.pandas_metadata or {}).get("index_columns", ())
        kept = [i for i, name in enumerate(table.column_names) if name not in index or name == label]
        return _source(table.select(kept), path, label)


def _source(table: Any, path: Path, label: str | None) -> ArraySource:
    import pyarrow as pa

    if label is not None and table.column_names.count(known(f"column of {path}", label, table.column_names)) > 1:
        raise InputError(f"{path}: expected one column {label!r} for the labels, got several; rename them")
    labels, names, columns = None, [], []
    for name, column in zip(table.column_names, table.columns, strict=True):
        kind = column.type
        if isinstance(kind, pa.DictionaryType):
            kind = kind.value_type
        meant = labels is None and (name.lower() in _LABELS if label is None else name == label)
        if meant and _is_text(kind):
            labels = np.array([value or "" for value in column.to_pylist()], dtype=str)
        elif name == label and _is_numeric(kind):
            labels = _values(column)
        elif _is_numeric(kind):
            names.append(name)
            columns.append(column)
        else:
            example = next((value for value in column.to_pylist() if value and not _is_number(value)), None)
            uses = (
                f", or take it as the labels that pictures are coloured by, with --label {name!r} (label=), or as a "
                f"classifier's target, with --target {name!r}"
            )
            raise InputError(
                f"{path}: expected numbers in every column, got {kind} in column {name!r} ({str(example)[:40]!r}, for "
                f"example); drop or encode it{uses if label is None and _is_text(kind) else ''}"
            )
    if not columns or table.num_rows == 0:
        raise InputError(f"{path}: expected rows of numbers, got {table.num_rows} rows and {len(columns)} columns")
    rows = np.empty((table.num_rows, len(columns)), _common_dtype(columns))
    for i, column in enumerate(columns):
        rows[:, i] = _values(column)
    return ArraySource(rows, labels=labels, columns=names, name=str(path))


def _values(column: Any) -> np.ndarray:
    """One column as numbers, with NaN where it is empty."""
    import pyarrow as pa

    if isinstance(column.type, pa.DictionaryType):
        column = column.cast(column.type.value_type)
    if not pa.types.is_floating(column.type) and (column.null_count or not pa.types.is_integer(column.type)):
        # bool to int first: PyArrow has no cast from bool to double.
        column = column.cast(pa.int8()) if pa.types.is_boolean(column.type) else column
        column = column.cast(pa.float64(), safe=False)
    return column.to_numpy()


def _common_dtype(columns: list[Any]) -> np.dtype:
    """float32 where every column is that or less precise, else float64."""
    import pyarrow as pa

    small = all(pa.types.is_floating(column.type) and column.type.bit_width <= 32 for column in columns)
    return np.dtype(np.float32 if small else np.float64)


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _is_numeric(kind: Any) -> bool:
    import pyarrow as pa

    number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    return number or pa.types.is_boolean(kind) or pa.types.is_null(kind)


def _is_number(cell: Any) -> bool:
    try:
        float(cell)
    except (ValueError, TypeError):
        return False
    return True


def _begins_with_data(table: Any) -> bool:
    """Whether what was read as a row of names is one of data: of numbers, or with a word that comes again below it."""
    import pyarrow as pa
    from pyarrow import compute, csv

    missing = csv.ConvertOptions().null_values
    cells = [cell for cell in zip(table.column_names, table.columns, strict=True) if cell[0] not in missing]
    words = [(name, column) for name, column in cells if not _is_number(name)]
    if not words:
        first, *others = table.column_names
        names = others if first == "" else table.column_names
        return bool(cells) and (len(names) == 1 or names != [str(i) for i in range(len(names))])
    again = False
    for name, column in words:
        if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
            return False  # a word above numbers is their name
        if pa.types.is_boolean(column.type):
            again |= name.lower() in ("true", "false")
        elif _is_text(column.type):
            again |= compute.index(column, name).as_py() >= 0
    return again


def _begins_with_index(table: Any) -> bool:
    """Whether the first column numbers or names the rows."""
    import pyarrow as pa

    first, *others = table.column_names
    kind = table.schema.field(0).type
    counts = pa.types.is_integer(kind) or pa.types.is_temporal(kind) or _is_text(kind)
    return first == "" and bool(others) and all(others) and counts


def _delimiter(path: Path) -> str:
    zipped = path.name.lower().endswith(".gz")
    with gzip.open(path) if zipped else path.open("rb") as file:
        line = re.sub(rb'"[^"]*"', b"", file.readline(1 << 16))  # without what is quoted
    marks = "\t,;" if path.name.lower().endswith(".tsv") else ",;\t"
    return max(marks, key=lambda mark: line.count(mark.encode()))


def write_table(path: Path, columns: Iterable[tuple[str, np.ndarray]]) -> None:
    """Write columns `[n]` with their names, which may be alike, to a .csv or .parquet file, whole or not at all."""
    import pyarrow as pa
    from pyarrow import csv, parquet

    names, arrays = zip(*columns, strict=True)
    table, sink = pa.table(list(map(pa.array, arrays)), names=list(names)), pa.BufferOutputStream()
    write = parquet.write_table if path.suffix == ".parquet" else csv.write_csv
    write(table, sink)
    write_file(path, sink.getvalue().to_pybytes())
