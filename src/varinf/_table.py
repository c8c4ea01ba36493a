"""The one table that each family room holds: the names a user may write, and the classes they stand for."""

import importlib
from collections.abc import Iterator, Mapping
from typing import Any

from varinf._checks import known


class Table(Mapping[str, Any]):
    """Names to objects of one room, which is imported only when an object is asked for.

    The names alone can therefore be listed and checked without loading JAX.
    """

    def __init__(self, kind: str, room: str, names: Mapping[str, str]):
        self._kind, self._room, self._names = kind, room, names

    def __getitem__(self, name: str) -> Any:
        return getattr(importlib.import_module(self._room), self._names[self.check(name)])

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def check(self, name: str) -> str:
        """`name` itself, or an `InputError` that lists the known names and the nearest one."""
        return known(self._kind, name, self._names)
