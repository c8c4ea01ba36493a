"""Normal noise in quantity: for each of a network's weights, at each step."""

import math

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray, UInt32


def normal(key: PRNGKeyArray, shape: tuple[int, ...], dtype: jnp.dtype) -> Float[Array, "..."]:
    """Independent standard normal numbers, in single precision at half the cost of `jax.random.normal`.

    JAX's generator is a cipher of few rounds, which costs more than the products of a small network. Here counters
    are hashed under a key of 64 bits (the integer hash with the least bias known of its length: Wellons 2018,
    "lowbias32", twice), and become normal by the inverse of the distribution function, as JAX's do.

    Args:
        key: two keys give unrelated numbers.
        shape: of the result.
        dtype: of the result; any but single precision comes from `jax.random.normal`.
    """
    if dtype != jnp.float32:
        return jax.random.normal(key, shape, dtype)
    first, second = jax.random.bits(key, (2,), jnp.uint32)
    bits = _hash(_hash(lax.iota(jnp.uint32, math.prod(shape)) + first) ^ second)
    signed = bits.astype(jnp.int32) >> 9  # the middles of as many cells as a float holds exactly: never ±1
    uniform = (signed.astype(dtype) + 0.5) * 2.0**-22
    return (math.sqrt(2) * lax.erf_inv(uniform)).reshape(shape)


def _hash(x: UInt32[Array, " n"]) -> UInt32[Array, " n"]:
    x = (x ^ (x >> 16)) * jnp.uint32(0x7FEB352D)
    x = (x ^ (x >> 15)) * jnp.uint32(0x846CA68B)
    return x ^ (x >> 16)
