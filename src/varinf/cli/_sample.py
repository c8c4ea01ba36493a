from typing import Annotated

import typer

from varinf.cli._arguments import RowsOut, RunPath, Seed


def sample(
    run: RunPath,
    num: Annotated[int, typer.Option("-n", "--num", metavar="N", help="How many.", min=1)] = 64,
    out: RowsOut = None,
    mean: Annotated[bool, typer.Option("--mean", help="The decoder's means, not draws from it.")] = False,
    seed: Seed = 0,
) -> None:
    """Make new data with a run's model: draws of z from the prior, decoded.

    \b
    Examples:
      varinf sample runs/photos -n 100 --mean
      varinf sample runs/table -n 1000 --out new.csv
    """
    from varinf.cli._open import open_vae
    from varinf.cli._output import output_path, write_rows

    opened = open_vae(run)
    import jax

    from varinf import job

    spec = job.row_spec(opened)
    out = output_path(opened, out, "samples", spec)
    model = job.load_model(opened)
    write_rows(out, model, job.samples(model, num, mean=mean, key=jax.random.key(seed)), spec)
    print(f"{num} samples in {out}")
