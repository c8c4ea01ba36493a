from pathlib import Path
from typing import Annotated

import typer

from varinf.cli._arguments import DataPath, RunPath


def interpolate(
    run: RunPath,
    source: DataPath,
    first: Annotated[int, typer.Argument(metavar="I", help="Number of a row, from 0.")],
    second: Annotated[int, typer.Argument(metavar="J", help="Number of another.")],
    steps: Annotated[int, typer.Option(help="Images, with those of the two rows.", min=2)] = 10,
    out: Annotated[
        Path | None, typer.Option(help="A .png grid, a .npy array, or a .csv or .parquet table. [default: in RUN]")
    ] = None,
) -> None:
    """Decode the codes on the line between those of two rows.

    \b
    Example:
      varinf interpolate runs/digits digits 3 8
    """
    from varinf import job
    from varinf.cli._output import output_path, write_rows
    from varinf.run import Run

    opened = Run.open(run)
    model, rows, spec = job.load_model(opened), job.open_like(opened, source), job.row_spec(opened)
    out = output_path(opened, out, "interpolation", spec)
    write_rows(out, model, job.between(model, rows, first, second, steps), spec, columns=steps)
    typer.echo(f"{steps} steps between rows {first} and {second} in {out}")
