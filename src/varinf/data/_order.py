"""Which rows come when: pure functions of a seed."""

import numpy as np

from varinf.errors import InputError

from ._source import Source, Subset

_SPLIT = 2**64 - 1  # the epoch that no fit reaches, so that a split shares its stream with no epoch


def order(seed: int, epoch: int, n: int) -> np.ndarray:
    """The row numbers 0 to n − 1 in the order in which `epoch` visits them.

    A pure function: any epoch's order is had without those before it, on any machine. The generator is
    Philox, keyed on `(seed, epoch)` (Salmon et al. 2011, doi:10.1145/2063384.2063405).

    Returns:
        A permutation, `[n]`; int32 where that is enough (60 million rows of int64 take half a gigabyte).
    """
    rows = np.arange(n, dtype=np.int32 if n < 2**31 else np.int64)
    key = np.array([int(seed) % 2**64, int(epoch) % 2**64], dtype=np.uint64)
    np.random.Generator(np.random.Philox(key=key)).shuffle(rows)
    return rows


def split(source: Source, fraction: float, seed: int) -> tuple[Subset, Subset]:
    """Some rows to train on and a `fraction` of them to hold out, by `seed`; each in the order of the source.

    Returns:
        `(train, held_out)`; `held_out` has `round(fraction * len(source))` rows.

    Raises:
        InputError: where either would be empty.
    """
    n = len(source)
    if n < 2:
        raise InputError(f"expected two rows or more, one to train on and one to hold out, got {n}")
    held = round(n * fraction) if 0 < fraction < 1 else 0
    if not 0 < held < n:
        raise InputError(
            f"expected a share that leaves at least one of {n} rows to train on and one to hold out, got {fraction}; "
            "take another, such as --held-out 0.5 (fraction=)"
        )
    rows = order(seed, _SPLIT, n)
    return Subset(source, np.sort(rows[held:])), Subset(source, np.sort(rows[:held]))
