"""Sums over all numbers of large arrays: of a network's weights, at each step."""

import functools
import operator
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

_PARTS = 4
_SMALL = 1 << 12


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def total(function: Callable[..., Array], *arrays: Float[Array, "..."]) -> Float[Array, ""]:
    """The sum of a function of the numbers of some arrays.

    On a CPU, XLA sums what it has first written to memory, as it does what the sum's gradient shares with it. Here the
    quarters of the arrays are added up number by number, in one loop that works out the function too; and so on with
    the quarters of what is left. On other devices the sum is XLA's.

    Args:
        function: number by number.
        arrays: of one shape, or scalars, which all numbers share.
    """
    return _sum(function, arrays)


def _sum(function: Callable[..., Array], arrays: Sequence[Array]) -> Array:
    size = max(array.size for array in arrays)
    if size < _SMALL or jax.default_backend() != "cpu":
        return jnp.sum(function(*arrays))
    flat = [array.ravel() if array.ndim else array for array in arrays]
    length = size // _PARTS

    def part(start: int, end: int) -> Array:
        return function(*(array[start:end] if array.ndim else array for array in flat))

    summed = functools.reduce(operator.add, [part(i * length, (i + 1) * length) for i in range(_PARTS)])
    return _sum(lambda x: x, [summed]) + jnp.sum(part(_PARTS * length, size))


def _forward(function: Callable[..., Array], *arrays: Array) -> tuple[Array, tuple[Array, ...]]:
    return _sum(function, arrays), arrays


def _backward(function: Callable[..., Array], arrays: tuple[Array, ...], grad: Array) -> tuple[Array, ...]:
    _, pull = jax.vjp(lambda *arrays: jnp.sum(function(*arrays)), *arrays)
    return pull(grad)


total.defvjp(_forward, _backward)
