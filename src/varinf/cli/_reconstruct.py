from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from varinf.cli._arguments import DataPath, RunPath


def reconstruct(
    run: RunPath,
    source: DataPath,
    out: Annotated[
        Path | None, typer.Option(help="A .png grid, a .npy array, or a .csv or .parquet table. [default: in RUN]")
    ] = None,
    num: Annotated[int | None, typer.Option("-n", "--num", help="Only the first so many rows.", min=1)] = None,
) -> None:
    """Pass data through the code and back: the decoder's mean at the mean of q(z | x).

    A .png shows the first rows, each above its reconstruction; the other kinds of file hold the reconstructions.
    """
    from varinf import job
    from varinf.cli._output import output_path, write_rows
    from varinf.run import Run

    opened = Run.open(run)
    model, rows, spec = job.load_model(opened), job.open_like(opened, source), job.row_spec(opened)
    out = output_path(opened, out, "reconstructions", spec)
    if out.suffix == ".png":
        from varinf import report

        limits = None if spec.max_value is None else (0.0, spec.max_value)
        shown = job.first_rows(rows, num or 64)
        report.reconstructions(model, shown.take(np.arange(len(shown))), out, limits=limits)
    else:
        write_rows(out, model, job.reconstructions(model, job.first_rows(rows, num or len(rows))), spec)
    typer.echo(f"reconstructions in {out}")
