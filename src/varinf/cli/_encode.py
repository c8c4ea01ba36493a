from pathlib import Path
from typing import Annotated

import typer

from varinf.cli._arguments import ArrayName, DataPath, RunPath


def encode(
    run: RunPath,
    source: DataPath,
    out: Annotated[Path, typer.Option(metavar="FILE", help="A .npy or .parquet file.")],
    array: ArrayName = None,
) -> None:
    """Write the codes of data: the mean and the standard deviation of q(z | x) for each row.

    A .npy file holds an array [rows, 2, latent dimensions]: means, then standard deviations. A .parquet file has
    columns mean_0, mean_1, ..., std_0, std_1, ..., and label where the data have labels.

    \b
    Example:
      varinf encode runs/photos photos/ --out codes.parquet
    """
    from varinf.cli._open import open_vae
    from varinf.cli._output import check_suffix, write_codes

    check_suffix(out, (".npy", ".parquet"))
    opened = open_vae(run)
    from varinf import job

    model, rows = job.load_model(opened), job.open_like(opened, source, array)
    means, stds = job.codes(model, rows)
    write_codes(out, means, stds, getattr(rows, "labels", None))
    print(f"{len(means)} codes of {means.shape[1]} numbers in {out}")
