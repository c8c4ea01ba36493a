"""Differences of ln Γ without the two large terms that cancel in them: a float32 has 3 digits of ln Γ(10⁴) after the
point."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.special import gammaln
from jaxtyping import Array, Float

from varinf._compiled import traced_once
from varinf.distributions._excess import excess, log_ratio

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


def kl_of_shapes(a: Any, alpha: Any) -> Float[Array, "..."]:
    """KL[Gamma(a, a) || Gamma(α, α)], of gamma distributions of mean one, for a, α > 0.

    What ρ(x) = ln Γ(x) − x ln x + x lies at α above its tangent at a. With it ln Γ lies above its own by
    α (r − 1 − ln r) more, of r = a / α.

    ρ is a constant, −½ ln x and Stirling's error: where both are large its series, DLMF 5.11.1; else that of numbers
    which are larger by a whole number, with (x + ½) ln(1 + 1 / x) − 1 for each step between. All that would cancel
    between these and their tangents is left out by hand; in float64 it is exact to 10 digits, or more.
    """
    dtype = jnp.result_type(a, alpha, float)
    return _kl_of_shapes(jnp.asarray(a, dtype), jnp.asarray(alpha, dtype))


@jax.custom_jvp
def _kl_of_shapes(a: Array, alpha: Array) -> Array:
    return _above_tangent(a, alpha)


@_kl_of_shapes.defjvp
def _(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    by_a, by_alpha = _slopes(*primals)
    return _kl_of_shapes(*primals), by_a * tangents[0] + by_alpha * tangents[1]


def _steps(a: Array, alpha: Array) -> tuple[Array, ...]:
    """Whether one is small; for each step y and x, y − x and ln((1 + 1 / x) / (1 + 1 / y)); 1 / a and 1 / α beyond
    the steps."""
    is_small = jnp.minimum(a, alpha) < _LARGE
    apart = jnp.where(is_small, a - alpha, 0.0)[..., None]
    y, x = (jnp.where(is_small, shape, 1.0)[..., None] + jnp.arange(_LARGE, dtype=a.dtype) for shape in (a, alpha))
    log = log_ratio((x + 1) * y, x * (y + 1), apart)
    shift = jnp.where(is_small, _LARGE, 0.0)
    return is_small, y, x, apart, log, 1 / (a + shift), 1 / (alpha + shift)


@traced_once
def _above_tangent(a: Array, alpha: Array) -> Array:
    _, y, x, apart, log, s, p = _steps(a, alpha)
    share = apart / (x * (y + 1))
    near = share * apart / (2 * y) - (x + 0.5) * excess(log)
    far = (x + 0.5) * log - apart * (y + 0.5) / (y * (y + 1))
    # of x⁻³ and x⁻⁵, over (s − p)² / p
    third = p**2 + s * (2 * p + 3 * s)
    fifth = p**2 * third + s**3 * (4 * p + 5 * s)
    series = ((a - alpha) * s) ** 2 * p * (1 / 12 - third / 360 + fifth / 1260)
    return 0.5 * excess(log_ratio(alpha, a)) + jnp.where(share > 1, far, near).sum(-1) + series


@traced_once
def _slopes(a: Array, alpha: Array) -> tuple[Array, Array]:
    """The derivatives: (a − α) ρ''(a), and ρ'(α) − ρ'(a)."""
    is_small, y, x, apart, log, s, p = _steps(a, alpha)
    curved = jnp.where(is_small, (0.5 / (y * (y + 1)) ** 2).sum(-1), 0.0)
    curve = 0.5 / a**2 + curved + s**3 * (1 / 6 - s**2 / 30 + s**4 / 42)
    risen = (log - 0.5 * apart * (1 / (x * y) + 1 / ((x + 1) * (y + 1)))).sum(-1)
    series = p * s * (p + s) * (1 / 12 - (p**2 + s**2) / 120 + (p**4 + p**2 * s**2 + s**4) / 252)
    return (a - alpha) * curve, risen - (a - alpha) * (0.5 / (a * alpha) + series)
