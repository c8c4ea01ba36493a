"""An increasing map of a number: a rational-quadratic spline, then an affine map.

Source: Durkan, Bekasov, Murray and Papamakarios 2019, section 3.1; here the slopes of the tails are free as well.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

_END = 5.0  # the spline is within ±_END, with straight lines beyond
_LEAST_BIN = 0.1  # share of what it had if all were even
_MOST_LOG = 2.0  # of slopes and scales: with none beyond e^±2, no step of an optimiser breaks the map


def num_parameters(num_bins: int) -> int:
    """How many numbers make a map; with no bins it is affine. With all of them 0 it is the identity."""
    return 2 + (3 * num_bins + 1 if num_bins else 0)


def forward(x: Float[Array, "..."], raw: Float[Array, "... parameters"]) -> tuple[Array, Array]:
    """The map of each number, and the logarithm of its derivative there."""
    y, log_slope = x, jnp.zeros_like(x)
    if raw.shape[-1] > 2:
        y, log_slope = _spline(x, raw[..., 2:], inverse=False)
    log_scale = _bounded(raw[..., 1])
    return raw[..., 0] + jnp.exp(log_scale) * y, log_scale + log_slope


def inverse(y: Float[Array, "..."], raw: Float[Array, "... parameters"]) -> tuple[Array, Array]:
    """What `forward` takes to each number, and the logarithm of the derivative of `forward` there."""
    log_scale = _bounded(raw[..., 1])
    x, log_slope = (y - raw[..., 0]) * jnp.exp(-log_scale), jnp.zeros_like(y)
    if raw.shape[-1] > 2:
        x, log_slope = _spline(x, raw[..., 2:], inverse=True)
    return x, log_scale + log_slope


def _spline(given: Float[Array, "..."], raw: Float[Array, "... parameters"], *, inverse: bool) -> tuple[Array, Array]:
    num_bins = raw.shape[-1] // 3
    widths, heights = _bins(raw[..., :num_bins]), _bins(raw[..., num_bins : 2 * num_bins])
    log_slopes = _bounded(raw[..., 2 * num_bins :])
    slopes = jnp.exp(log_slopes)
    lefts, bottoms = (jnp.cumsum(sizes, -1) - sizes - _END for sizes in (widths, heights))
    inside = jnp.clip(given, -_END, _END)
    # the bin of each number as a row of zeros and a one: sums are faster than gathering, forwards and backwards
    reached = inside[..., None] >= (bottoms if inverse else lefts).at[..., 0].set(-jnp.inf)
    chosen = (reached & ~jnp.roll(reached, -1, -1).at[..., -1].set(False)).astype(raw.dtype)

    def pick(values: Array) -> Array:
        return (chosen * values).sum(-1)

    left, bottom, width, height = pick(lefts), pick(bottoms), pick(widths), pick(heights)
    here, there, rise = pick(slopes[..., :-1]), pick(slopes[..., 1:]), height / width
    bend = here + there - 2 * rise
    if inverse:
        # the root in [0, 1] of a t² + b t + c (equations 6 to 8)
        up = inside - bottom
        a, b, c = height * (rise - here) + up * bend, height * here - up * bend, -rise * up
        t = 2 * c / (-b - jnp.sqrt(jnp.maximum(b**2 - 4 * a * c, 0)))
        within = left + width * t
    else:
        t = (inside - left) / width
        within = bottom + height * (rise * t**2 + here * t * (1 - t)) / (rise + bend * t * (1 - t))
    top = rise**2 * (there * t**2 + 2 * rise * t * (1 - t) + here * (1 - t) ** 2)
    log_within = jnp.log(top) - 2 * jnp.log(rise + bend * t * (1 - t))
    low, high = given < -_END, given > _END
    log_tail = jnp.where(low, log_slopes[..., 0], log_slopes[..., -1])
    beyond = inside + (given - inside) * jnp.exp(-log_tail if inverse else log_tail)
    return jnp.where(low | high, beyond, within), jnp.where(low | high, log_tail, log_within)


def _bins(raw: Float[Array, "... bins"]) -> Float[Array, "... bins"]:
    """Sizes of bins that fill the width."""
    return 2 * _END * (_LEAST_BIN / raw.shape[-1] + (1 - _LEAST_BIN) * jax.nn.softmax(raw, -1))


def _bounded(raw: Float[Array, "..."]) -> Float[Array, "..."]:
    return _MOST_LOG * jnp.tanh(raw / _MOST_LOG)
