"""What is left where nearly equal numbers are compared by their logarithms, without what cancels in it."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def log_ratio(x: Any, y: Any, apart: Any = None) -> Float[Array, "..."]:
    """ln(x / y) for x, y > 0, to the last digits where they are all but equal, as their ratio is not.

    Args:
        x: the one.
        y: the other.
        apart: x − y, where more digits of it are known than x and y have.
    """
    dtype = jnp.result_type(x, y, float)
    return _log_ratio(*(jnp.asarray(number, dtype) for number in (x, y, x - y if apart is None else apart)))


@jax.custom_jvp
def _log_ratio(x: Array, y: Array, apart: Array) -> Array:
    return jnp.sign(apart) * jnp.log1p(jnp.abs(apart) / jnp.minimum(x, y))


@_log_ratio.defjvp
def _(primals: tuple[Array, ...], tangents: tuple[Array, ...]) -> tuple[Array, Array]:
    (x, y, _), (dx, dy, _) = primals, tangents
    return _log_ratio(*primals), dx / x - dy / y


@jax.custom_jvp
def excess(t: Float[Array, "..."]) -> Float[Array, "..."]:
    """e^t − 1 − t, which is r − 1 − ln r for t = ln r."""
    near = jnp.abs(t) < 0.5
    small, series = jnp.where(near, t, 0.0), 0.0
    # as many terms as the last bit of the type needs
    for power in range(8 if jnp.finfo(jnp.result_type(t)).bits <= 32 else 14, 1, -1):
        series = series * small + 1 / math.factorial(power)
    return jnp.where(near, small**2 * series, jnp.exp(t) - 1 - t)


@excess.defjvp
def _(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (t,), (dt,) = primals, tangents
    return excess(t), jnp.expm1(t) * dt
