"""What things are, in words that are the same in each process: how one fit is told from another."""

import functools
import hashlib
import re
import types
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from varinf._noise import key_words
from varinf._tree import is_distribution

_PLAIN = (bool, int, float, complex, str, np.generic, np.ndarray, jax.Array)


def told(thing: Any) -> str:
    """A digest of a thing: of a tree, an object, or a function by its code and by what it closes over.

    Of floats in arrays to six digits: a mean of data may differ in the last from machine to machine.
    """
    return hashlib.sha256(_told(thing, ()).encode()).hexdigest()


def _told(thing: Any, within: tuple[Any, ...]) -> str:
    """The words. What has parts is told by its type and them; `within` are the things that it is a part of."""
    if any(thing is outer for outer in within):
        return "itself"
    if isinstance(thing, jax.Array | np.ndarray | np.generic):
        return _told_array(key_words(thing))  # pyright: ignore[reportArgumentType]
    if isinstance(thing, types.ModuleType):
        return thing.__name__
    if isinstance(thing, type):
        return f"{thing.__module__}.{thing.__qualname__}"
    parts = _parts(thing)
    if parts is None:
        return re.sub(" at 0x[0-9a-f]+", "", repr(thing))
    words = [_told(part, (*within, thing)) for part in parts]
    return f"{_told(type(thing), ())}({', '.join(sorted(words) if isinstance(thing, set | frozenset) else words)})"


def _parts(thing: Any) -> Any:
    """All that makes a thing what it is, in an order that does not depend on the process; None of what has no parts."""
    if isinstance(thing, types.FunctionType):
        return _function(thing)
    if isinstance(thing, types.CodeType):
        return thing.co_code, thing.co_names, thing.co_consts
    if isinstance(thing, types.MethodType):
        return thing.__func__, thing.__self__
    if isinstance(thing, functools.partial):
        return thing.func, thing.args, thing.keywords
    if isinstance(thing, dict):
        return sorted(thing.items(), key=lambda item: repr(item[0]))
    if isinstance(thing, set | frozenset):
        return thing
    if is_distribution(thing):  # NumPyro flattens its fields in another order in another process
        fields = {*type(thing).gather_pytree_data_fields(), *type(thing).gather_pytree_aux_fields()}
        return [thing.__dict__.get(field) for field in sorted(fields)]
    children, structure = jax.tree.flatten(thing, is_leaf=lambda node: node is not thing)
    if (node := structure.node_data()) is not None:
        return *children, node[1]
    if hasattr(thing, "__wrapped__"):  # compiled, say
        return (thing.__wrapped__,)
    return sorted(vars(thing).items()) if hasattr(thing, "__dict__") else None


def _function(function: types.FunctionType) -> tuple[Any, ...]:
    """A function's name and code, its defaults, what it closes over, and the plain values that are global to it."""
    names = sorted({name for code in _codes(function.__code__) for name in code.co_names})
    known = {name: function.__globals__[name] for name in names if name in function.__globals__}
    return (
        function.__module__,
        function.__qualname__,
        function.__code__,
        function.__defaults__,
        function.__kwdefaults__,
        [_contents(cell) for cell in function.__closure__ or ()],
        {name: value for name, value in known.items() if isinstance(value, _PLAIN)},
    )


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    """A code, and those of the functions within it."""
    yield code
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            yield from _codes(const)


def _contents(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None


def _told_array(array: np.ndarray) -> str:
    content = [array.tobytes()]
    if jnp.issubdtype(array.dtype, jnp.floating):
        mantissa, exponent = np.frexp(array.astype(np.float64))
        content = [mantissa.round(6).tobytes(), exponent.tobytes()]
    if array.dtype.hasobject:
        content = [repr(array.tolist()).encode()]
    return f"{array.dtype}{array.shape} {hashlib.sha256(b''.join(content)).hexdigest()}"
