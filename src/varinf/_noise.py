"""Noise in quantity: for each code and each pixel of a batch and each of a network's weights, at each step."""

import itertools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray, UInt32

from varinf._compiled import compiled

_LEAST_COLUMNS = 64
_LARGE = 1 << 14  # numbers of an array; smaller are biases, which each row of a batch reads, and are drawn as one


@compiled
def normal(
    key: PRNGKeyArray, shapes: Sequence[tuple[int, ...]], dtype: jnp.dtype, *, read_once: bool = False
) -> list[Float[Array, "..."]]:
    """Independent standard normal numbers, in single precision at a sixth or less of the cost of `jax.random.normal`.

    JAX's generator is a cipher of few rounds, which costs more than the products of a small network, and so does the
    inverse of the normal distribution function. Here each two of the words of `_words` become a radius and an angle in
    the plane (Box and Muller 1958).

    Args:
        key: two keys give unrelated numbers.
        shapes: of the arrays wanted.
        dtype: of the arrays; any but single precision comes from `jax.random.normal`.
        read_once: whether each number of a large array is read but once, so that it need not be stored.
    """
    sizes = [math.prod(shape) for shape in shapes]
    if dtype != jnp.float32:
        return _parts(jax.random.normal(key, (sum(sizes),), dtype), shapes)
    small = [shape for shape, size in zip(shapes, sizes, strict=True) if size < _LARGE]
    large = [shape for shape, size in zip(shapes, sizes, strict=True) if size >= _LARGE]
    forms = [_folded(shape) for shape in ((sum(map(math.prod, small)),), *large)]
    # of the form of the pairs from the start: a count along one axis would have XLA work along one axis
    words = _words(key, [(2, rows // 2, columns) for rows, columns in forms])
    numbers = [_from_bits(bits, stored=i == 0 or not read_once) for i, bits in enumerate(words)]
    arrays = [pairs.reshape(form) for pairs, form in zip(numbers, forms, strict=True)]  # the first is the small ones
    of_small = iter(_parts(arrays[0].ravel(), small))
    of_large = (_leading(numbers, shape) for numbers, shape in zip(arrays[1:], large, strict=True))
    return [next(of_small if size < _LARGE else of_large) for size in sizes]


@compiled
def uniform(key: PRNGKeyArray, shape: tuple[int, ...], dtype: jnp.dtype) -> Float[Array, "..."]:
    """Independent numbers, uniform in [0, 1), in single precision at a third of the cost of `jax.random.uniform`.

    Args:
        key: two keys give unrelated numbers.
        shape: of the array wanted.
        dtype: of the array; any but single precision comes from `jax.random.uniform`.
    """
    if dtype != jnp.float32:
        return jax.random.uniform(key, shape, dtype)
    (words,) = _words(key, [_folded(shape)])
    return _leading((words >> 8).astype(jnp.float32) * 2.0**-24, shape)


@compiled
def folded(key: PRNGKeyArray, number: UInt32[Array, ""]) -> PRNGKeyArray:
    """A key for each number, as by `jax.random.fold_in`, whose cipher costs more than the few numbers of a code."""
    # with the bits turned, so that they are no counters of rows
    counters = ~(2 * number.astype(jnp.uint32) + jnp.arange(2, dtype=jnp.uint32))
    return jax.random.wrap_key_data(_of_key(key, counters), impl="threefry2x32")


def _words(key: PRNGKeyArray, forms: Sequence[tuple[int, ...]]) -> list[UInt32[Array, "..."]]:
    """Random words, in arrays whose last axis is a row's.

    A row is an arithmetic progression, whose start and odd step are hashed from the key and the row's number, so that
    those of any two places are all but independent. Its numbers are hashed in their turn (the integer hash with the
    least bias known of its length: Wellons 2018, "lowbias32").
    """
    rows = [math.prod(form[:-1]) for form in forms]
    starts, steps = _progressions(key, sum(rows))
    ends = list(itertools.accumulate(rows))
    arrays = []
    for form, first, end in zip(forms, [0, *ends], ends, strict=False):
        start, step = (words[first:end].reshape(*form[:-1], 1) for words in (starts, steps))
        arrays.append(_hash(lax.broadcasted_iota(jnp.uint32, form, len(form) - 1) * step + start))
    return arrays


def _parts(numbers: Float[Array, " number"], shapes: Sequence[tuple[int, ...]]) -> list[Float[Array, "..."]]:
    """The start of a vector, cut into arrays."""
    sizes = [math.prod(shape) for shape in shapes]
    ends = itertools.accumulate(sizes)
    return [numbers[end - size : end].reshape(shape) for shape, size, end in zip(shapes, sizes, ends, strict=True)]


def _leading(numbers: Float[Array, "rows columns"], shape: tuple[int, ...]) -> Float[Array, "..."]:
    """As many numbers as a shape has: whole rows if it can be, since others would be copied number by number."""
    size, columns = math.prod(shape), numbers.shape[1]
    return (numbers[: size // columns] if size % columns == 0 else numbers.ravel()[:size]).reshape(shape)


def _progressions(key: PRNGKeyArray, rows: int) -> UInt32[Array, "2 rows"]:
    """Starts and odd steps of the rows.

    From the key's own words, and not from what JAX draws by it: a cipher takes XLA as long to compile as all else here.
    """
    starts, steps = _of_key(key, jnp.arange(2 * rows, dtype=jnp.uint32)).reshape(2, rows)
    return jnp.stack([starts, steps | 1])


def _of_key(key: PRNGKeyArray, counters: UInt32[Array, " word"]) -> UInt32[Array, " word"]:
    """A word for each counter, by both words of a key.

    The hash of zero is zero, which the constant keeps away from the keys of small seeds: their words are themselves.
    """
    first, second, *_ = jax.random.key_data(key)
    return _hash(_hash(counters + first + jnp.uint32(0x9E3779B9)) ^ second)


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
    radius = _radius(bits[0])
    if stored:
        return lax.map(lambda half: radius * _sine(_turned(bits[1], half)), jnp.arange(2, dtype=jnp.uint32))
    return radius * _sine(_turned(bits[1], lax.broadcasted_iota(jnp.uint32, bits.shape, 0)))


def _turned(turn: UInt32[Array, "..."], half: UInt32[Array, "..."]) -> UInt32[Array, "..."]:
    """An angle in the first half, and a quarter more in the second: cosines are sines of a quarter more."""
    return turn + (half << 30)


def _radius(bits: UInt32[Array, "..."]) -> Float[Array, "..."]:
    """√(-2 ln u) of u = (bits + 1/2) / 2³² in (0, 1], to some 2e-7 of it.

    Less work than a logarithm that has to know of zero, infinity and nan.
    """
    number = lax.bitcast_convert_type(bits.astype(jnp.float32) + 0.5, jnp.int32)
    exponent = (number - 0x3F3504F3) >> 23  # of the power of two that leaves a mantissa in [√½, √2)
    x = lax.bitcast_convert_type(number - (exponent << 23), jnp.float32) - 1
    # minimax in x for ln(1 + x) / x
    coefficients = (-0.10097682, 0.16238942, -0.17264892, 0.1989958, -0.24968182, 0.33334955, -0.50000416, 0.99999999)
    log = x * _polynomial(x, coefficients) + math.log(2) * (exponent - 32).astype(jnp.float32)
    return jnp.sqrt(-2 * log)


def _sine(turn: UInt32[Array, "..."]) -> Float[Array, "..."]:
    """The sine of an angle, of which 2³² are a whole turn, to some 2e-7."""
    x = lax.bitcast_convert_type(turn, jnp.int32).astype(jnp.float32) * 2.0**-31
    y = x * x
    # minimax in y for sin(π x) / (x - x³) on [-1, 1]
    return (x - x * y) * _polynomial(y, (5.979029e-3, -7.4468465e-2, 5.2378515e-1, -2.0260847, 3.1415913))


def _polynomial(x: Float[Array, "..."], coefficients: Sequence[float]) -> Float[Array, "..."]:
    """By Horner's rule, the coefficient of the highest power first."""
    value = jnp.float32(coefficients[0])
    for coefficient in coefficients[1:]:
        value = value * x + coefficient
    return value


def _hash(x: UInt32[Array, "..."]) -> UInt32[Array, "..."]:
    x = (x ^ (x >> 16)) * jnp.uint32(0x7FEB352D)
    x = (x ^ (x >> 15)) * jnp.uint32(0x846CA68B)
    return x ^ (x >> 16)


def key_words(key: PRNGKeyArray) -> np.ndarray:
    """The words that a key is made of, on the host, for what is drawn there."""
    typed = jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(key) if typed else key)
