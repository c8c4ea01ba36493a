"""Arguments that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from varinf._checks import MAX_SEED
from varinf.errors import InputError

RunPath = Annotated[Path, typer.Argument(help="The directory of a run, as `varinf fit` printed it.", metavar="RUN")]
DataPath = Annotated[
    str,
    typer.Argument(
        help="A known name (see `varinf data`), a folder of images, or a .npy, .npz, IDX, CSV or Parquet file, with "
        "rows of the shape that the model was fitted to; of data with test rows of their own, the training rows.",
        metavar="DATA",
    ),
]
Seed = Annotated[int, typer.Option(help="Seed of the random draws.", min=0, max=MAX_SEED, metavar="N")]
ArrayName = Annotated[
    str | None,
    typer.Option("--array", metavar="NAME", help="Which array of a .npz file. [default: the one that the run took]"),
]
RowsOut = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Images to a .png or .npy file, rows of a table to a .csv, .parquet or .npy file. [default: in RUN]",
    ),
]


def parse_resize(given: str | None) -> tuple[int, int] | None:
    """`32` or `32x48` as (height, width)."""
    if given is None:
        return None
    parts = given.lower().split("x")
    if len(parts) > 2 or not all(part.isdecimal() and 0 < int(part) < 2**16 for part in parts):
        raise InputError(
            f"--resize: expected a number of pixels such as 32, or height x width such as 32x48, got {given!r}"
        )
    return int(parts[0]), int(parts[-1])


def parse_sizes(given: str | None) -> tuple[int, ...] | None:
    """`200,200` as a tuple."""
    if given is None:
        return None
    try:
        return tuple(map(int, given.split(","))) if given.strip() else ()
    except ValueError:
        raise InputError(f"--hidden: expected sizes such as 200,200, got {given!r}") from None
