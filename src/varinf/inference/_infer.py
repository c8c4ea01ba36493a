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
from varinf.inference._bound import Begun, Member, Noise, Problem, begin, improve
from varinf.inference._draws import normal_draws, seeds
from varinf.inference._result import Fitted, Inference, measured
from varinf.models import AbstractTarget, NumpyroModel
from varinf.posteriors import DENSITY_POSTERIORS, AbstractFamily

_CHUNK = 128  # draws whose densities are worked out at once
_GROWTH = 4  # a stage has so many times the draws of the one before
_MOST_NUMBERS = 1 << 25  # of all draws of a stage
_EXPLAINED = 0.9  # share of the variance of ln p that is its parabola's, above which few draws will do to begin with
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
    fitted, curved, history, (converged, reason) = _maximize(
        target, family, starts, max_draws, max_steps, elbo_tol, key=draw_key
    )
    if family.needs_curvature and not curved:
        converged, reason = False, "the curvature at the mode is not that of a maximum: Laplace's method does not apply"
    return measured(fitted, history, converged, reason, elbo_tol, key=result_key)


class _Draws:
    """The fixed draws of each stage, in buffers of one size so that no stage compiles again."""

    def __init__(self, width: int, first: int, most: int, dtype: np.dtype, seed: int):
        # a power of two, as all stages then are
        self._first = 1 << (math.ceil(first / _CHUNK) - 1).bit_length()
        self._most = max(self._first, min(most, _MOST_NUMBERS // width) // _CHUNK)
        self._buffer = np.zeros((self._most, _CHUNK, width), dtype)
        self._seed = seed

    def chunks(self, stage: int) -> int:
        """How many chunks of draws a stage has."""
        return self._first * _GROWTH**stage

    def is_last(self, stage: int) -> bool:
        """Whether the next stage would have more draws than are allowed."""
        return self.chunks(stage + 1) > self._most

    def noise(self, stage: int) -> Noise:
        """The draws of a stage, new ones for each."""
        used, (_, _, width) = self.chunks(stage), self._buffer.shape
        draws = normal_draws(used * _CHUNK, width, self._seed + stage, match=True)
        self._buffer[:used] = draws.reshape(used, _CHUNK, width)
        return Noise(jnp.array(self._buffer), jnp.asarray(used))


def _maximize(
    target: AbstractTarget,
    family: AbstractFamily,
    starts: Array,
    max_draws: int,
    max_steps: int,
    elbo_tol: float,
    *,
    key: PRNGKeyArray,
) -> tuple[Fitted, bool, dict[str, list[float]], tuple[bool, str]]:
    """The best q, by stages of ever more draws.

    Returns:
        It; whether it is in the coordinates of the curvature; the history of the stages; whether they converged, and
        why they ended.
    """
    (count, dim), dtype = starts.shape, starts.dtype
    family_key, seed_key = jax.random.split(key)
    first_seed, seed = seeds(seed_key, 2)
    family = family.built(dim, key=family_key)
    width = family.num_noise(dim)
    member = Member(family, family.standard(dim).astype(dtype))
    noise = jnp.asarray(normal_draws(_CHUNK, width, first_seed, match=True).astype(dtype))
    begun = begin(target, member, starts, noise)
    if not np.isfinite(begun.value).any():
        raise InputError("the log density is not finite about any start; give a better one")
    frames, parabolas = begun.frame, begun.parabola
    arrays, static = eqx.partition(member, eqx.is_inexact_array)
    members = eqx.combine(jax.tree.map(lambda leaf: jnp.stack([leaf] * count), arrays), static)
    draws = _Draws(width, _first_draws(family, width, begun), max_draws, dtype, seed)
    history: dict[str, list[float]] = {"draws": [], "elbo": [], "steps": []}
    curved, stage = np.asarray(begun.curved), 0
    while True:
        limits = jnp.asarray(max_steps), jnp.asarray(elbo_tol / 1000, dtype)
        members, found = improve(target, frames, parabolas, members, draws.noise(stage), *limits)
        if stage == 0:
            best = int(jnp.argmin(jnp.where(jnp.isfinite(found.value), found.value, jnp.inf)))
            kept = (frames, parabolas, members, found)
            frames, parabolas, members, found = _row(kept, slice(best, best + 1))
            curved = curved[best]
        frame, parabola, member, ended = _row((frames, parabolas, members, found), 0)
        fitted = Fitted(Problem(target, frame, parabola), member)
        value, number = float(ended.value), draws.chunks(stage) * _CHUNK
        gain = float(ended.first) - value
        for name, entry in {"draws": number, "elbo": -value, "steps": int(ended.steps)}.items():
            history[name].append(entry)
        # what single precision cannot tell is no gain
        least = max(elbo_tol, 32 * float(jnp.finfo(dtype).eps) * abs(value))
        if stage > 0 and gain < least:
            reason = f"{number} new draws raised the bound by less than {least:.2g} nats"
            if not ended.converged:
                reason = f"the quasi-Newton method came to no end on {number} draws, after {int(ended.steps)} steps"
            return fitted, bool(curved), history, (bool(ended.converged), reason)
        if draws.is_last(stage):
            reason = f"new draws still raised the bound by {gain:.2g} nats at {number} draws, the most allowed"
            return fitted, bool(curved), history, (False, reason)
        stage += 1


def _first_draws(family: AbstractFamily, width: int, begun: Begun) -> int:
    """How many draws the first stage has: not so few that q would be fitted to them instead of to the density."""
    if float(begun.explained.min()) > _EXPLAINED:
        return _CHUNK
    own = sum(leaf.size for leaf in jax.tree.leaves(eqx.filter(family, eqx.is_inexact_array)))
    return max(_CHUNK, own, 3 * width if family.triangular else 0)


def _row(tree: Any, index: int | slice) -> Any:
    return jax.tree.map(lambda leaf: leaf[index] if eqx.is_array(leaf) else leaf, tree)


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
