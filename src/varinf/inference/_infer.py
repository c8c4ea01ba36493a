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
from varinf.inference._draws import normal_draws
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
        max_draws: of the last stage.
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
    dim = starts.shape[1]
    seed = int(jax.random.randint(draw_key, (), 0, 2**31 - 1))
    width = family.num_noise(dim)
    count = _CHUNK * math.ceil(3 * width / _CHUNK)  # with fewer, a full covariance would be fitted to the draws
    most = max(count, min(max_draws, _MOST_NUMBERS // width))
    chunks = np.zeros((math.ceil(most / _CHUNK), _CHUNK, width), starts.dtype)

    def noise(stage: int, count: int) -> Noise:
        used = count // _CHUNK
        chunks[:used] = normal_draws(count, width, seed + stage, match=True).reshape(used, _CHUNK, width)
        return Noise(jnp.array(chunks), jnp.asarray(used))

    frames, values, curved = begin(target, family, starts, noise(0, count))
    best = int(jnp.argmin(values))
    if not math.isfinite(values[best]):
        raise InputError("the log density is not finite about any start; give a better one")
    frame = jax.tree.map(lambda leaf: leaf[best], frames)
    parameters = family.standard(dim).astype(starts.dtype)
    history: dict[str, list[float]] = {"draws": [], "elbo": [], "steps": []}
    stage, converged = 0, False
    while True:
        found, before = improve(
            target, family, frame, noise(stage, count), parameters, jnp.asarray(max_steps), jnp.asarray(elbo_tol / 100)
        )
        parameters, value = found.x, float(found.value)
        history["draws"].append(count)
        history["elbo"].append(-value)
        history["steps"].append(int(found.steps))
        # what single precision cannot tell is no gain
        least = max(elbo_tol, 32 * float(jnp.finfo(starts.dtype).eps) * abs(value))
        settled = stage > 0 and float(before) - value < least
        stage += 1
        if settled or count * _GROWTH > most:
            break
        count *= _GROWTH
    converged = settled and bool(found.converged)
    if converged:
        reason = f"{count} new draws raised the bound by less than {least:.2g} nats"
    elif not settled:
        gain = float(before) - value
        reason = f"new draws still raised the bound by {gain:.2g} nats at {count} draws, the most allowed"
    else:
        reason = f"the quasi-Newton method made {max_steps} steps without coming to an end"
    if posterior == "laplace" and not bool(curved[best]):
        converged, reason = False, "the curvature at the mode is not that of a maximum: Laplace's method does not apply"
    fitted = Fitted(target, family, parameters, frame)
    return measured(fitted, history, converged, reason, elbo_tol, key=result_key)


def _starts(target: AbstractTarget, count: int, *, key: PRNGKeyArray) -> Array:
    """Where to begin: the model's own start, and others about it, at all of which the log density is finite."""
    own = target.start
    others = own + jax.random.uniform(key, (_TRIES * count, len(own)), own.dtype, -_RADIUS, _RADIUS)
    points = jnp.concatenate([own[None], others])
    try:
        values = np.asarray(_log_densities(target, points))
    except InputError:
        raise
    except (TypeError, ValueError) as error:
        raise InputError(f"the log density does not run: {error}") from error
    good = np.flatnonzero(np.isfinite(values))
    if len(good) < count:
        blamed = target.blame(own)
        raise InputError(
            f"the log density is {values[0]:g} at the start{', from ' + blamed if blamed else ''}, and finite at only "
            f"{len(good)} of {len(points)} points about it; look for data outside a site's support, or give a start"
        )
    return points[good[:count]]


@eqx.filter_jit
def _log_densities(target: AbstractTarget, points: Array) -> Array:
    return jax.lax.map(target.log_density, points)
