"""How varinf compiles its own programs."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

import equinox as eqx
import jax
import numpy as np
from jax.core import Tracer, eval_context

from varinf._in_turn import in_turn

P = ParamSpec("P")
R = TypeVar("R")

# Of XLA for CPUs, which its defaults leave out: that a loop changes its arrays in place wherever nothing reads them
# later (weights were copied in each step), and vectors as long as the processor has.
_FOR_CPUS = {"xla_cpu_copy_insertion_use_region_analysis": True, "xla_cpu_prefer_vector_width": 512}


class _Rest(eqx.Module):
    """What of the leaves of a tree is no array, and the tree they are of."""

    leaves: tuple = eqx.field(static=True)
    structure: Any = eqx.field(static=True)

    def with_arrays(self, arrays: Sequence) -> Any:
        """The tree, with the arrays in their places."""
        leaves = [leaf if array is None else array for array, leaf in zip(arrays, self.leaves, strict=True)]
        return jax.tree.unflatten(self.structure, leaves)


def _split(leaves: list, structure: Any) -> tuple[list, _Rest]:
    """A tree as its arrays, with None where a leaf is none, and the rest."""
    arrays = [leaf if isinstance(leaf, jax.Array | np.ndarray | np.generic) else None for leaf in leaves]
    rest = tuple(None if array is not None else leaf for array, leaf in zip(arrays, leaves, strict=True))
    return arrays, _Rest(rest, structure)


@functools.cache
def _compiler_options(backend: str) -> dict[str, Any]:
    """What of the options the XLA at hand knows: they are no part of JAX's interface."""
    if backend != "cpu":
        return {}
    known = {}
    for name, value in _FOR_CPUS.items():
        try:
            jax.jit(lambda: 0, compiler_options={name: value}).lower().compile()
        except jax.errors.JaxRuntimeError:
            continue
        known[name] = value
    return known


def compiled(function: Callable[P, R], *, donate_rest: bool = False, run: bool = True) -> Callable[P, R]:
    """The function, compiled: as by `equinox.filter_jit`, and with operations that wait for threads in turn.

    Arrays of the arguments are traced, and all else is static and must be hashable. Within another program that is
    being traced, the function is a part of that.

    Args:
        function: of any trees.
        donate_rest: whether the arrays of all arguments but the first are used up.
        run: whether it is worked out; else it is only traced, and `jax.ShapeDtypeStruct`s stand for arrays.
    """
    given: Any = function

    def traced(first: list, others: list, static: tuple[_Rest, _Rest]) -> tuple[list, _Rest]:
        def arrays(first: list, others: list) -> tuple[list, _Rest]:
            (args, kwargs), head = static[1].with_arrays(others), static[0].with_arrays(first)
            return _split(*jax.tree.flatten(given(*head, *args, **kwargs)))

        return in_turn(arrays)(first, others)

    traced.__name__ = given.__name__  # by which JAX's logs and profiles call the program

    @functools.cache
    def jitted() -> Any:
        return jax.jit(
            traced,
            static_argnums=2,
            donate_argnums=(1,) if donate_rest else (),
            compiler_options=_compiler_options(jax.default_backend()),
        )

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        first, others = jax.tree.flatten(args[:1]), jax.tree.flatten((args[1:], kwargs))
        if any(isinstance(leaf, Tracer) for leaves, _ in (first, others) for leaf in leaves):
            return function(*args, **kwargs)
        (of_first, head), (of_others, tail) = _split(*first), _split(*others)
        with eval_context():  # not a part of a program that is being traced: nothing of it comes in
            program = jitted() if run else jitted().eval_shape
            found, rest = program(of_first, of_others, (head, tail))
        return rest.with_arrays(found)

    return call


def traced_once(function: Callable[P, R]) -> Callable[P, R]:
    """The function as a part of programs: what one of them has traced of it, the others take over.

    Arrays of the arguments are traced, and all else is static and must be hashable.
    """
    return eqx.filter_jit(function)
