"""Differences of ln Γ without the two large terms that cancel in them: a float32 has 3 digits of ln Γ(10⁴) after the
point."""

import jax.numpy as jnp
from jax.scipy.special import gammaln
from jaxtyping import Array, Float

_LARGE = 16.0  # from here on the asymptotic series are exact to the last bits of a float64


def stirling_error(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """ln Γ(x + 1) − (x + ½) ln x + x − ½ ln 2π, for x > 0: what Stirling's formula leaves out.

    Source: DLMF 5.11.1.
    """
    is_small = x < _LARGE
    large, small = jnp.where(is_small, _LARGE, x), jnp.where(is_small, x, _LARGE)
    square = 1 / large**2
    series = (1 / 12 - square * (1 / 360 - square * (1 / 1260 - square * (1 / 1680 - square / 1188)))) / large
    direct = gammaln(small + 1) - (small + 0.5) * jnp.log(small) + small - 0.5 * jnp.log(2 * jnp.pi)
    return jnp.where(is_small, direct, series)


def log_half_step(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """ln Γ(x + ½) − ln Γ(x) − ½ ln x, for x > 0, which goes to zero as x rises.

    Source: the series of ln Γ(x + ½) − ln Γ(x), DLMF 5.11.8 with h = ½ and h = 0; where x is small, of an x that is
    larger by a whole number, with a factor for each step between (DLMF 5.5.1).
    """
    is_small = x < _LARGE
    large = jnp.where(is_small, x + _LARGE, x)
    square = 1 / large**2
    series = -(1 / 8 - square * (1 / 192 - square * (1 / 640 - square * (17 / 14336 - square * 31 / 18432)))) / large
    steps = jnp.where(is_small, x, 1.0)[..., None] + jnp.arange(_LARGE, dtype=x.dtype)
    rise = 0.5 * jnp.log(steps * (steps + 1) / (steps + 0.5) ** 2).sum(-1)
    return series + jnp.where(is_small, rise, 0.0)
