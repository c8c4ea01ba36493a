"""How varinf compiles its own programs."""

import functools
import warnings
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import equinox as eqx
import jax
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, PyTree

P = ParamSpec("P")
R = TypeVar("R")

# XLA otherwise orders the parts of a program so that many can run at once, and jaxlib 0.10 waits for ever in some
# programs of loops within loops that are so ordered. In this order they are as fast, and take less memory.
_CPU = {"xla_cpu_scheduler_type": "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED"}


class _Static(eqx.Module):
    """What a program gives back beside arrays."""

    tree: Any = eqx.field(static=True)


def compiled(function: Callable[P, R], *, donate_rest: bool = False) -> Callable[P, R]:
    """The function, compiled: as by `equinox.filter_jit`, which cannot pass options to the compiler.

    Arrays of the arguments are traced, and all else is static and must be hashable. Within another program that is
    being traced, the function is a part of that.

    Args:
        function: of any trees.
        donate_rest: whether the arrays of all arguments but the first are used up.
    """

    given: Any = function

    def arrays(first: PyTree[Array], rest: PyTree[Array], static: tuple) -> tuple[PyTree[Array], _Static]:
        leaves, structure = static
        both = [leaf if array is None else array for array, leaf in zip((*first, *rest), leaves, strict=True)]
        args, kwargs = jax.tree.unflatten(structure, both)
        found, other = eqx.partition(given(*args, **kwargs), eqx.is_array)
        return found, _Static(other)

    @functools.cache
    def program() -> Callable:
        options = _CPU if jax.default_backend() == "cpu" else None
        donated = (1,) if donate_rest else ()
        return jax.jit(arrays, static_argnums=2, donate_argnums=donated, compiler_options=options)

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        leaves, structure = jax.tree.flatten((args, kwargs))
        if any(isinstance(leaf, Tracer) for leaf in leaves):
            return function(*args, **kwargs)
        traced = [leaf if isinstance(leaf, jax.Array | np.ndarray | np.generic) else None for leaf in leaves]
        static = tuple(None if array is not None else leaf for array, leaf in zip(traced, leaves, strict=True))
        of_first = len(jax.tree.leaves(args[0])) if args else 0
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Some donated buffers were not usable")
            found, other = program()(tuple(traced[:of_first]), tuple(traced[of_first:]), (static, structure))
        return eqx.combine(found, other.tree)

    return call
