"""What is checked in more than one room. Each gives back what it was given, or raises an `InputError`."""

import contextlib
import difflib
import operator
from collections.abc import Iterable
from typing import Any

from varinf.errors import InputError

MAX_SEED = 2**32 - 1  # JAX takes the rest of a larger one off


def whole(name: str, value: Any) -> int:
    """`value`, of any type of whole numbers; or an `InputError`: a fraction is never cut off."""
    try:
        return operator.index(value)
    except TypeError:
        raise InputError(f"{name} must be a whole number, got {value!r}") from None


def at_least_one(name: str, value: Any) -> int:
    """`value`, or an `InputError` if it is no whole number or less than one."""
    count = whole(name, value)
    if count < 1:
        raise InputError(f"{name} must be at least 1, got {count}")
    return count


def sizes(name: str, values: Any) -> tuple[int, ...]:
    """`values`, or an `InputError` if they are not whole numbers, or one of them is less than one."""
    try:
        found = tuple(operator.index(value) for value in values)
    except TypeError:
        raise InputError(f"{name} must be a tuple of whole numbers, got {values!r}") from None
    if not all(size >= 1 for size in found):
        raise InputError(f"{name} must be at least 1 each, got {found}")
    return found


def number(name: str, value: Any) -> float:
    """`value`, or an `InputError` if it is no real number."""
    with contextlib.suppress(TypeError, ValueError):
        if not isinstance(value, str):
            return float(value)
    raise InputError(f"{name} must be a number, got {value!r}")


def prng_key(key: Any) -> Any:
    """`key`, or an `InputError` if it is none of JAX's: the number of a seed, say."""
    import jax  # here, since names are to be checked without it

    dtype, shape = getattr(key, "dtype", None), getattr(key, "shape", ())
    if dtype is None or not (jax.numpy.issubdtype(dtype, jax.dtypes.prng_key) or (dtype == "uint32" and shape)):
        raise InputError(f"key must be one of JAX's, such as jax.random.key(0), got {key!r}")
    return key


def known(kind: str, name: str, names: Iterable[str]) -> str:
    """`name` if it is one of `names`; else an `InputError` with the nearest of them."""
    names = list(names)
    if name in names:
        return name
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5) if isinstance(name, str) else []
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise InputError(f"unknown {kind} {name!r}; known: {', '.join(names)}.{hint}")
