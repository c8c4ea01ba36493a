"""Files that commands write: pictures, arrays and tables."""

import io
from pathlib import Path
from typing import Any

import numpy as np

from varinf._files import write_file
from varinf.data import Spec, write_table
from varinf.errors import InputError
from varinf.run import Run

_KINDS = (".png", ".npy", ".csv", ".parquet")


def check_suffix(out: Path, allowed: tuple[str, ...]) -> None:
    """Refuse a file name of an unknown kind, or in no folder, before any work."""
    if not out.parent.is_dir():
        raise InputError(f"--out: there is no folder {out.parent}")
    if out.is_dir():
        raise InputError(f"--out: expected the name of a file, got the folder {out}")
    if out.suffix not in allowed:
        raise InputError(f"--out: expected a name that ends in {' or '.join(allowed)}, got {out}")


def output_path(run: Run, out: Path | None, name: str, spec: Spec) -> Path:
    """Where to write: as asked, or into the run, as a picture or a table."""
    images = spec.kind == "images"
    out = run.path / f"{name}{'.png' if images else '.csv'}" if out is None else out
    check_suffix(out, _KINDS[:2] if images else _KINDS[1:])
    return out


def write_rows(out: Path, model: Any, rows: np.ndarray, spec: Spec, *, columns: int | None = None) -> None:
    """Write rows that a model made as a grid of images (`columns` in a line), an array or a table."""
    if out.suffix == ".png":
        from varinf import report

        limits = report.mean_range(model, None if spec.max_value is None else (0.0, spec.max_value), rows)
        report.grid(rows, out, limits=limits, columns=columns)
    elif out.suffix == ".npy":
        _write_array(out, rows)
    else:
        names = spec.columns or tuple(f"column_{i}" for i in range(rows.shape[1]))
        write_table(out, zip(names, np.asarray(rows).T, strict=True))


def write_codes(out: Path, means: np.ndarray, stds: np.ndarray, labels: np.ndarray | None) -> None:
    """Write codes as `encode` describes."""
    if out.suffix == ".npy":
        _write_array(out, np.stack([means, stds], axis=1))
        return
    table = {f"mean_{i}": column for i, column in enumerate(means.T)}
    table |= {f"std_{i}": column for i, column in enumerate(stds.T)}
    write_table(out, (table if labels is None else table | {"label": labels}).items())


def write_predictions(out: Path, columns: dict[str, np.ndarray], classes: list[Any] | None) -> None:
    """Write predictions as `predict` describes."""
    if out.suffix != ".npy":
        write_table(out, columns.items())
        return
    if classes is not None:
        columns = columns | {"class": np.searchsorted(classes, columns["class"])}
    _write_array(out, np.stack(list(columns.values()), axis=1))


def _write_array(out: Path, array: np.ndarray) -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(array))
    write_file(out, buffer.getvalue())
