from pathlib import Path
from typing import Annotated

import typer

from varinf.cli._arguments import ArrayName, DataPath, RunPath, Seed


def predict(
    run: RunPath,
    source: DataPath,
    out: Annotated[Path, typer.Option(metavar="FILE", help="A .csv, .parquet or .npy file.")],
    num_samples: Annotated[
        int | None,
        typer.Option(metavar="N", help="Draws of the weights. [default: 100 (classifier), 400 (regressor)]", min=1),
    ] = None,
    seed: Seed = 0,
    array: ArrayName = None,
) -> None:
    """Write what a classifier or a regressor predicts of each row of data, and how sure it is.

    Columns of a classifier: class; probability_NAME of each class; total, aleatoric (noise) and epistemic (ignorance)
    uncertainty in nats. Of a regressor: mean, std, lower_90 and upper_90, aleatoric_std and epistemic_std, in the units
    of the target. A .npy file holds the same columns as numbers, classes by their place from 0.

    \b
    Example:
      varinf predict runs/houses new-houses.csv --out prices.csv
    """
    from varinf.cli._open import open_network
    from varinf.cli._output import check_suffix, write_predictions

    check_suffix(out, (".csv", ".parquet", ".npy"))
    opened = open_network(run)
    import jax

    from varinf import job

    model, rows = job.load_model(opened), job.open_like(opened, source, array)
    columns = job.predictions(opened, model, rows, num_samples=num_samples, key=jax.random.key(seed))
    write_predictions(out, columns, opened.results()["target"]["classes"])
    print(f"predictions for {len(rows)} rows in {out}")
