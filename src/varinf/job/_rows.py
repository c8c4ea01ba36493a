"""The rows of a run."""

from pathlib import Path

import numpy as np

from varinf import data
from varinf.config import Settings
from varinf.errors import InputError
from varinf.kinds import RunData, one_spec
from varinf.run import Run

_EVALUATION_ROWS = 1000  # of a kind of model that names no number of its own


def open_data(settings: Settings) -> RunData:
    """The rows to train on and those held out: given apart, or as the data came, or split by seed.

    Raises:
        InputError: no such data, or damaged, or rows of different shapes.
    """
    given, column = settings.data, _label_column(settings)
    other = given.source if given.test is None else given.test
    split = _own_split(other)
    has_test = given.test is not None or split == "test"
    if has_test and given.held_out != type(given).model_fields["held_out"].default:
        raise InputError("--held-out is the share of rows to hold out, and there are others for that; leave it out")
    source = data.open(given.source, resize=given.resize, array=given.array, label=column)
    if not has_test:
        return RunData(*data.split(source, given.held_out, settings.train.seed), one_spec(source))
    held_out = data.open(other, split=split, resize=given.resize, array=given.array, label=column)
    spec = one_spec(source)
    check_rows(held_out, spec.shape, spec.columns, "the held-out rows")
    return RunData(source, held_out, spec)


def open_like(run: Run, where: str, array: str | None = None, *, held_out: bool = False) -> data.Source:
    """Data of the kind that a run was fitted to, read with its settings.

    Args:
        run: a finished run.
        where: a known name or a path.
        array: of a .npz file; as in the run's settings if None.
        held_out: whether to take the test rows of data that have some of their own.

    Raises:
        InputError: no such data, or rows of another shape.
    """
    split = _own_split(where) if held_out else "train"
    given, column, path = run.settings.data, _label_column(run.settings), Path(where)
    if array is None and path.suffix.lower() == ".npz":
        array = given.array
    resize = given.resize if path.is_dir() else None
    try:
        source = data.open(where, split=split, resize=resize, array=array, label=column)
    except InputError:
        if column is None:
            raise
        # new rows need no labels; what else may be wrong is wrong again
        source = data.open(where, split=split, resize=resize, array=array)
        if isinstance(source, data.ArraySource) and one_spec(source).columns is not None:
            source.labels = None  # those of another column, which has a usual name
    spec = row_spec(run)
    check_rows(source, spec.shape, spec.columns, where)
    return source


def check_rows(source: data.Source, shape: tuple[int, ...], columns: tuple[str, ...] | None, what: str) -> None:
    """Refuse rows of another shape, or with other columns.

    Raises:
        InputError: what was expected, and what came.
    """
    spec = one_spec(source)
    if spec.shape != shape:
        raise InputError(f"{what}: expected rows of shape {shape}, as the model was fitted to, got {spec.shape}")
    if columns is None or spec.columns is None or columns == spec.columns:
        return
    place = next(i for i, (old, new) in enumerate(zip(columns, spec.columns, strict=True)) if old != new)
    raise InputError(
        f"{what}: expected the columns that the model was fitted to, in their order; "
        f"column {place} should be {columns[place]!r}, got {spec.columns[place]!r}"
    )


def row_spec(run: Run) -> data.Spec:
    """What a row is that a finished run's model makes: in stored units, as floats."""
    row = run.results()["row"]
    columns = None if row["columns"] is None else tuple(row["columns"])
    return data.Spec(tuple(row["shape"]), np.dtype(np.float32), row["kind"], row["max_value"], columns)


def first_rows(source: data.Source, most: int) -> data.Source:
    """The first rows, at most so many."""
    return data.Subset(source, np.arange(min(most, len(source))))


def evaluation_rows(source: data.Source, most: int | None = None) -> data.Source:
    """The held-out rows that a run is evaluated on and drawn with."""
    return evenly_spaced(source, _EVALUATION_ROWS if most is None else most)


def evenly_spaced(source: data.Source, most: int) -> data.Source:
    """Rows from the first to the last, at most so many."""
    if len(source) <= most:
        return source
    return data.Subset(source, np.linspace(0, len(source) - 1, most).astype(int))


def _own_split(where: str) -> str:
    """The split of data whose rows can be held out: their own test rows, or all that they have."""
    return "test" if data.has_split(where, "test") else "train"


def _label_column(settings: Settings) -> str | None:
    return settings.data.label if settings.data.target is None else settings.data.target
