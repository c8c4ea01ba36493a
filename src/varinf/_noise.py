"""Normal noise in quantity: for each code of a batch and each of a network's weights, at each step."""

import itertools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray, UInt32

from varinf._compiled import compiled

_LEAST_COLUMNS = 64
_LARGE = 1 << 14  # numbers of an array; smaller are biases, which each row of a batch reads


@compiled
def normal(
    key: PRNGKeyArray, shapes: Sequence[tuple[int, ...]], dtype: jnp.dtype, *, read_once: bool = False
) -> list[Float[Array, "..."]]:
    """Independent standard normal numbers, in single precision at a fifth of the cost of `jax.random.normal`.

    JAX's generator is a cipher of few rounds, which costs more than the products of a small network, and so does the
    inverse of the normal distribution function. Here counters are hashed under a key of 64 bits (the integer hash with
    the least bias known of its length: Wellons 2018, "lowbias32", twice), and each two become a radius and an angle
    in the plane (Box and Muller 1958).

    Args:
        key: two keys give unrelated numbers.
        shapes: of the arrays wanted.
        dtype: of the arrays; any but single precision comes from `jax.random.normal`.
        read_once: whether each number of a large array is read but once, so that it need not be stored.
    """
    if dtype != jnp.float32:
        sizes = [math.prod(shape) for shape in shapes]
        numbers = jax.random.normal(key, (sum(sizes),), dtype)
        ends = itertools.accumulate(sizes)
        return [numbers[end - size : end].reshape(shape) for shape, size, end in zip(shapes, sizes, ends, strict=True)]
    first, second = jax.random.bits(key, (2,), jnp.uint32)
    arrays, used = [], 0
    for shape in shapes:
        rows, columns = _folded(shape)
        # of the form of the pairs from the start: a count along one axis would have XLA work along one axis
        half, row, column = (lax.broadcasted_iota(jnp.uint32, (2, rows // 2, columns), axis) for axis in range(3))
        counters = (half * jnp.uint32(rows // 2) + row) * jnp.uint32(columns) + column + jnp.uint32(used)
        bits = _hash(_hash(counters + first) ^ second)
        size = math.prod(shape)
        numbers = _from_bits(bits, stored=not read_once or size < _LARGE).reshape(rows, columns)
        # along the first axis, if it can be: cut in the second, it would be copied number by number
        cut = numbers[: size // columns] if size % columns == 0 else numbers.ravel()[:size]
        arrays.append(cut.reshape(shape))
        used += rows * columns
    return arrays


def _folded(shape: tuple[int, ...]) -> tuple[int, int]:
    """An even number of rows, and columns enough to hold the numbers of a shape.

    XLA's threads share the rows, and a row is worked out many numbers at a time.
    """
    lead, columns = len(shape), 1
    while lead and columns < _LEAST_COLUMNS:
        lead -= 1
        columns *= shape[lead]
    rows = math.prod(shape[:lead])
    return (rows + rows % 2, columns) if rows > 1 else (2, max(1, -(-columns // 2)))


def _from_bits(bits: UInt32[Array, "2 rows columns"], *, stored: bool) -> Float[Array, "2 rows columns"]:
    """Normal numbers in the place of bits, two made of each two.

    Sines are of few and simple operations, which XLA repeats in all that reads them: a bias's, in each row of a batch.
    What comes out of a loop is stored.
    """
    uniform = (bits[0].astype(jnp.float32) + 0.5) * 2.0**-32  # in (0, 1]: the radius is finite
    radius = lax.optimization_barrier(jnp.sqrt(-2 * jnp.log(uniform)))
    if stored:
        return lax.map(lambda half: radius * _sine(_turned(bits[1], half)), jnp.arange(2, dtype=jnp.uint32))
    return radius * _sine(_turned(bits[1], lax.broadcasted_iota(jnp.uint32, bits.shape, 0)))


def _turned(turn: UInt32[Array, "..."], half: UInt32[Array, "..."]) -> UInt32[Array, "..."]:
    """An angle in the first half, and a quarter more in the second: cosines are sines of a quarter more."""
    return turn + (half << 30)


def _sine(turn: UInt32[Array, "..."]) -> Float[Array, "..."]:
    """The sine of an angle, of which 2³² are a whole turn, to some 2e-7."""
    # the quarters on the left are those on the right once more
    quarter, half = jnp.uint32(1 << 30), jnp.uint32(1 << 31)
    folded = jnp.where(turn + quarter > half, half - turn, turn)
    x = lax.bitcast_convert_type(folded, jnp.int32).astype(jnp.float32) * 2.0**-30
    y = x * x
    # minimax in y for sin(π x / 2) / x on [0, 1]
    value = jnp.float32(1.5148511e-4)
    for coefficient in (-4.6737667e-3, 7.9689679e-2, -6.4596371e-1, 1.5707963):
        value = value * y + jnp.float32(coefficient)
    return x * value


def _hash(x: UInt32[Array, "..."]) -> UInt32[Array, "..."]:
    x = (x ^ (x >> 16)) * jnp.uint32(0x7FEB352D)
    x = (x ^ (x >> 15)) * jnp.uint32(0x846CA68B)
    return x ^ (x >> 16)
