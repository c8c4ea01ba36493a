from typing import Annotated

import typer

from varinf.cli._arguments import ArrayName, DataPath, RowsOut, RunPath


def interpolate(
    run: RunPath,
    source: DataPath,
    first: Annotated[int, typer.Argument(metavar="I", help="Number of a row of DATA, from 0.")],
    second: Annotated[int, typer.Argument(metavar="J", help="Number of another row.")],
    steps: Annotated[int, typer.Option(metavar="N", help="Rows to make, the two ends among them.", min=2)] = 10,
    out: RowsOut = None,
    array: ArrayName = None,
) -> None:
    """Go from one row to another through the codes: the decoder's means on the line between their codes.

    \b
    Example:
      varinf interpolate runs/digits digits 3 8
    """
    from varinf.cli._open import open_vae
    from varinf.cli._output import output_path, write_rows

    opened = open_vae(run)
    from varinf import job

    spec = job.row_spec(opened)
    out = output_path(opened, out, "interpolation", spec)
    model, rows = job.load_model(opened), job.open_like(opened, source, array)
    write_rows(out, model, job.between(model, rows, first, second, steps), spec, columns=steps)
    print(f"{steps} steps between rows {first} and {second} in {out}")
