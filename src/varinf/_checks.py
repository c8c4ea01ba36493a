"""What is checked in more than one room. Each gives back what it was given, or raises an `InputError`."""

import difflib
from collections.abc import Iterable

from varinf.errors import InputError


def at_least_one(name: str, value: int) -> int:
    """`value`, or an `InputError` if it is less than one."""
    if value < 1:
        raise InputError(f"{name} must be at least 1, got {value}")
    return value


def known(kind: str, name: str, names: Iterable[str]) -> str:
    """`name` if it is one of `names`; else an `InputError` with the nearest of them."""
    names = list(names)
    if name in names:
        return name
    near = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise InputError(f"unknown {kind} {name!r}; known: {', '.join(names)}.{hint}")
