"""An increasing map of a number: a rational-quadratic spline, then an affine map.

Source: Durkan, Bekasov, Murray and Papamakarios 2019, section 3.1; here the slopes of the tails are free as well.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

_END = 5.0  # the spline is within ±_END, with straight lines beyond
_LEAST_BIN = 0.1  # share of what it had if all were even
_MOST_LOG = 2.0  # of slopes and scales: with none beyond e^±2, no step of an optimiser breaks the map


def identity_splines(dim: int, num_bins: int) -> Float[Array, "dim spline"]:
    """The numbers of `dim` splines that are the identity; no numbers where there are no bins."""
    return jnp.zeros((dim, 3 * num_bins + 1 if num_bins else 0))


def forward(
    x: Float[Array, "*batch dim"], affine: Float[Array, "*batch dim two"], spline: Float[Array, "dim spline"]
) -> tuple[Float[Array, "*batch dim"], Float[Array, "*batch dim"]]:
    """The map of each number, and the logarithm of its derivative there.

    Args:
        x: the numbers.
        affine: the shift and what makes the scale, where 0 makes 1.
        spline: as of `identity_splines`.
    """
    y, log_slope = _spline(x, spline, inverse=False) if spline.size else (x, jnp.zeros_like(x))
    log_scale = _bounded(affine[..., 1])
    return affine[..., 0] + jnp.exp(log_scale) * y, log_scale + log_slope


def inverse(
    y: Float[Array, "*batch dim"], affine: Float[Array, "*batch dim two"], spline: Float[Array, "dim spline"]
) -> tuple[Float[Array, "*batch dim"], Float[Array, "*batch dim"]]:
    """What `forward` takes to each number, and the logarithm of the derivative of `forward` there."""
    log_scale = _bounded(affine[..., 1])
    x = (y - affine[..., 0]) * jnp.exp(-log_scale)
    x, log_slope = _spline(x, spline, inverse=True) if spline.size else (x, jnp.zeros_like(x))
    return x, log_scale + log_slope


def _spline(
    given: Float[Array, "*batch dim"], raw: Float[Array, "dim spline"], *, inverse: bool
) -> tuple[Array, Array]:
    num_bins = raw.shape[-1] // 3
    widths, heights = _bins(raw[:, :num_bins]), _bins(raw[:, num_bins : 2 * num_bins])
    log_slopes = _bounded(raw[:, 2 * num_bins :])
    slopes = jnp.exp(log_slopes)
    lefts, bottoms = (jnp.cumsum(sizes, -1) - sizes - _END for sizes in (widths, heights))
    # the numbers of a component in a row: a loop over the few components or bins would be too short for vectors
    rows = given.reshape(-1, given.shape[-1]).T
    inside = jnp.clip(rows, -_END, _END)
    # the bin of each number as zeros and a one: sums are faster than gathering, forwards and backwards
    ends = (bottoms if inverse else lefts)[:, 1:]
    starts = jnp.pad(ends, ((0, 0), (1, 0)), constant_values=-jnp.inf)[..., None]
    stops = jnp.pad(ends, ((0, 0), (0, 1)), constant_values=jnp.inf)[..., None]
    chosen = ((starts <= inside[:, None]) & (inside[:, None] < stops)).astype(raw.dtype)
    knots = jnp.stack([lefts, bottoms, widths, heights, slopes[:, :-1], slopes[:, 1:]])
    left, bottom, width, height, here, there = jnp.einsum("kdb,dbn->kdn", knots, chosen, precision="highest")
    rise = height / width
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
    low, high = rows < -_END, rows > _END
    log_tail = jnp.where(low, log_slopes[:, :1], log_slopes[:, -1:])
    beyond = inside + (rows - inside) * jnp.exp(-log_tail if inverse else log_tail)
    found, log_slope = jnp.where(low | high, beyond, within), jnp.where(low | high, log_tail, log_within)
    return found.T.reshape(given.shape), log_slope.T.reshape(given.shape)


def _bins(raw: Float[Array, "... bins"]) -> Float[Array, "... bins"]:
    """Sizes of bins that fill the width."""
    return 2 * _END * (_LEAST_BIN / raw.shape[-1] + (1 - _LEAST_BIN) * jax.nn.softmax(raw, -1))


def _bounded(raw: Float[Array, "..."]) -> Float[Array, "..."]:
    return _MOST_LOG * jnp.tanh(raw / _MOST_LOG)
