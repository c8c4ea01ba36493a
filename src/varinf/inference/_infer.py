import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from varinf._checks import at_least_one
from varinf.errors import InputError
from varinf.inference._bound import Noise, begin, improve
from varinf.inference._draws import normal_draws, seeds
from varinf.inference._result import Fitted, Inference, measured
from varinf.models import AbstractTarget, NumpyroModel
from varinf.posteriors import DENSITY_POSTERIORS, AbstractFamily

_CHUNK = 128  # draws whose densities are worked out at once
_GROWTH = 4  # a stage has so many times the draws of the one before
_MOST_NUMBERS = 1 << 25  # of all draws of a stage
_RADIUS = 2.0  # of the cube in which restarts begin
_TRIES = 100  # to find a start where the density is finite


def infer(
    model: Callable | AbstractTarget,
    *args: Any,
    posterior: str | AbstractFamily = "full_rank",
    num_restarts: int = 1,
    elbo_tol: float = 5e-4,
    max_draws: int = 32_768,
    max_steps: int = 1000,
    key: PRNGKeyArray,
    **kwargs: Any,
) -> Inference:
    """Approximate the posterior of a model, until there is no more to gain, and say whether to trust it.

    The bound is maximised on fixed draws by a quasi-Newton method, in stages of ever more draws. It has converged when
    new draws, four times as many, let the bound rise by less than `elbo_tol` nats. Constrained sites are inferred in
    the unconstrained space.

    Sources: Giordano, Ingram and Broderick 2024 (fixed draws); Burroni, Domke and Sheldon 2024 (ever more of them, and
    when to stop).

    Args:
        model: a NumPyro model, or `LogDensity`.
        *args: the NumPyro model's arguments.
        posterior: a name in `varinf.posteriors.DENSITY_POSTERIORS`, or a family.
        num_restarts: how many starts to try, in one compiled call; the best is gone on with.
        elbo_tol: nats; of the stopping rule, and of the standard error of the elbo that is reported.
        max_draws: of the last stage; the first has what the family needs, whatever this is.
        max_steps: quasi-Newton steps of one stage.
        key: for the draws and the restarts.
        **kwargs: the NumPyro model's arguments by name.

    Returns:
        The fitted posterior and what is known of it.

    Raises:
        InputError: the model does not run, has sites that cannot be inferred, or a log density that is not finite where
            it begins; an unknown posterior.
    """
    at_least_one("num_restarts", num_restarts)
    if elbo_tol <= 0:
        raise InputError(f"elbo_tol must be positive, got {elbo_tol:g}")
    family = DENSITY_POSTERIORS[posterior]() if isinstance(posterior, str) else posterior
    site_key, start_key, draw_key, result_key = jax.random.split(key, 4)
    if isinstance(model, AbstractTarget):
        if args or kwargs:
            raise InputError("arguments are for NumPyro models; a log density has its data inside")
        target = model
    else:
        target = NumpyroModel(model, args, kwargs, key=site_key)
    starts = _starts(target, num_restarts, key=start_key)
    (seed,) = seeds(draw_key, 1)
    noise = _Noise(family.num_noise(starts.shape[1]), max_draws, starts.dtype, seed, family.triangular)
    frames, values, curved = begin(target, family, starts, noise.stage(0))
    best = int(jnp.argmin(values))
    if not math.isfinite(values[best]):
        raise InputError("the log density is not finite about any start; give a better one")
    frame = jax.tree.map(lambda leaf: leaf[best], frames)
    start = Fitted(target, family, frame, family.standard(starts.shape[1]).astype(starts.dtype))
    fitted, history, converged, reason = _maximize(start, noise, elbo_tol, max_steps)
    if family.needs_curvature and not bool(curved[best]):
        converged, reason = False, "the curvature at the mode is not that of a maximum: Laplace's method does not apply"
    return measured(fitted, history, converged, reason, elbo_tol, key=result_key)


class _Noise:
    """The fixed draws of each stage, in buffers of one size so that no stage compiles again."""

    def __init__(self, width: int, max_draws: int, dtype: np.dtype, seed: int, many: bool):
        # With fewer than three for each number, a full covariance would be fitted to the draws; a power of two, as
        # all stages then are.
        self._first = 1 << (math.ceil(3 * width / _CHUNK) - 1).bit_length() if many else 1
        self._most = max(self._first, min(max_draws, _MOST_NUMBERS // width) // _CHUNK)
        self._buffer = np.zeros((self._most, _CHUNK, width), dtype)
        self._seed = seed

    def chunks(self, stage: int) -> int:
        """How many chunks of draws a stage has."""
        return self._first * _GROWTH**stage

    def is_last(self, stage: int) -> bool:
        """Whether the next stage would have more draws than are allowed."""
        return self.chunks(stage + 1) > self._most

    def stage(self, stage: int) -> Noise:
        """The draws of a stage, new ones for each."""
        used, (_, _, width) = self.chunks(stage), self._buffer.shape
        draws = normal_draws(used * _CHUNK, width, self._seed + stage, match=True)
        self._buffer[:used] = draws.reshape(used, _CHUNK, width)
        return Noise(jnp.array(self._buffer), jnp.asarray(used))


def _maximize(
    fitted: Fitted, noise: _Noise, elbo_tol: float, max_steps: int
) -> tuple[Fitted, dict[str, list[float]], bool, str]:
    """The best q, by stages of ever more draws; their history, whether they converged, and why they ended."""
    history: dict[str, list[float]] = {"draws": [], "elbo": [], "steps": []}
    steps, tolerance = jnp.asarray(max_steps), jnp.asarray(elbo_tol / 100)
    stage = 0
    while True:
        found, before = improve(*fitted, noise.stage(stage), steps, tolerance)
        fitted = fitted._replace(parameters=found.x)
        value = float(found.value)
        draws, gain = noise.chunks(stage) * _CHUNK, float(before) - value
        for name, entry in {"draws": draws, "elbo": -value, "steps": int(found.steps)}.items():
            history[name].append(entry)
        # what single precision cannot tell is no gain
        least = max(elbo_tol, 32 * float(jnp.finfo(found.x.dtype).eps) * abs(value))
        if stage > 0 and gain < least:
            if found.converged:
                return fitted, history, True, f"{draws} new draws raised the bound by less than {least:.2g} nats"
            reason = f"the quasi-Newton method made {max_steps} steps without coming to an end"
            return fitted, history, False, reason
        if noise.is_last(stage):
            reason = f"new draws still raised the bound by {gain:.2g} nats at {draws} draws, the most allowed"
            return fitted, history, False, reason
        stage += 1


def _starts(target: AbstractTarget, count: int, *, key: PRNGKeyArray) -> Array:
    """Where to begin: the model's own start, and others about it, at all of which the log density is finite."""
    own = target.start
    if count == 1 and np.isfinite(_checked_log_densities(target, own[None])).all():
        return own[None]
    others = own + jax.random.uniform(key, (_TRIES * count, len(own)), own.dtype, -_RADIUS, _RADIUS)
    points = jnp.concatenate([own[None], others])
    values = _checked_log_densities(target, points)
    good = np.flatnonzero(np.isfinite(values))
    if len(good) < count:
        blamed = target.blame(own)
        raise InputError(
            f"the log density is {values[0]:g} at the start{', from ' + blamed if blamed else ''}, and finite at only "
            f"{len(good)} of {len(points)} points about it; look for data outside a site's support, or give a start"
        )
    return points[good[:count]]


def _checked_log_densities(target: AbstractTarget, points: Array) -> np.ndarray:
    try:
        return np.asarray(_log_densities(target, points))
    except InputError:
        raise
    except (TypeError, ValueError) as error:
        raise InputError(f"the log density does not run: {error}") from error


@eqx.filter_jit
def _log_densities(target: AbstractTarget, points: Array) -> Array:
    return jax.lax.map(target.log_density, points)
