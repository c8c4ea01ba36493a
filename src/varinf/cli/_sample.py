from pathlib import Path
from typing import Annotated

import typer

from varinf.cli._arguments import RunPath, Seed


def sample(
    run: RunPath,
    num: Annotated[int, typer.Option("-n", "--num", help="How many.", min=1)] = 64,
    out: Annotated[
        Path | None, typer.Option(help="A .png grid, a .npy array, or a .csv or .parquet table. [default: in RUN]")
    ] = None,
    mean: Annotated[bool, typer.Option("--mean", help="The decoder's means, not draws from it.")] = False,
    seed: Seed = 0,
) -> None:
    """Draw new data from a run's model.

    \b
    Examples:
      varinf sample runs/photos -n 100 --mean
      varinf sample runs/table -n 1000 --out new.csv
    """
    import jax

    from varinf import job
    from varinf.cli._output import output_path, write_rows
    from varinf.run import Run

    opened = Run.open(run)
    model, spec = job.load_model(opened), job.row_spec(opened)
    out = output_path(opened, out, "samples", spec)
    write_rows(out, model, model.sample(num, key=jax.random.key(seed), mean=mean), spec)
    typer.echo(f"{num} samples in {out}")
