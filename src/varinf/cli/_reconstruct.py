from typing import Annotated

import typer

from varinf.cli._arguments import ArrayName, DataPath, RowsOut, RunPath


def reconstruct(
    run: RunPath,
    source: DataPath,
    out: RowsOut = None,
    num: Annotated[
        int | None, typer.Option("-n", "--num", metavar="N", help="Only the first N rows. [default: all]", min=1)
    ] = None,
    array: ArrayName = None,
) -> None:
    """Pass data through the code and back: the decoder's mean at the mean of q(z | x).

    A .png shows some rows, each above its reconstruction; the other kinds of file hold all reconstructions.

    \b
    Examples:
      varinf reconstruct runs/digits digits -n 30
      varinf reconstruct runs/table table.csv --out smooth.csv
    """
    from varinf.cli._open import open_vae
    from varinf.cli._output import output_path, write_rows

    opened = open_vae(run)
    import numpy as np

    from varinf import job

    spec = job.row_spec(opened)
    out = output_path(opened, out, "reconstructions", spec)
    model, rows = job.load_model(opened), job.open_like(opened, source, array)
    if out.suffix == ".png":
        from varinf import report

        limits = None if spec.max_value is None else (0.0, spec.max_value)
        shown = job.first_rows(rows, num or 64)
        report.reconstructions(model, np.asarray(shown.take(np.arange(len(shown)))), out, limits=limits)
    else:
        write_rows(out, model, job.reconstructions(model, job.first_rows(rows, num or len(rows))), spec)
    print(f"reconstructions in {out}")
