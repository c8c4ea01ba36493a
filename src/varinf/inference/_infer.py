import math
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, PRNGKeyArray, PyTree
from optax import ScaleByLBFGSState

from varinf._checks import at_least_one
from varinf._compiled import compiled
from varinf.errors import InputError
from varinf.inference._bound import Begun, Frame, Member, Parabola, Problem, begin, improve, rounding
from varinf.inference._draws import Noise, NoiseBuffer, normal_draws, seeds
from varinf.inference._newton import fit_by_newton
from varinf.inference._optimize import Minimum, no_memory
from varinf.inference._result import Ended, Fitted, Inference, Stage, measured
from varinf.models import AbstractTarget, NumpyroModel
from varinf.posteriors import DENSITY_POSTERIORS, AbstractFamily

_FEW = 128  # draws that beginnings are judged by, and of the least stage
_AT_ONCE = 1024  # draws at most whose densities are worked out together
_GROWTH = 4  # a stage has so many times the draws of the one before
_MOST_NUMBERS = 1 << 24  # of all draws of a stage
_EXPLAINED = 0.9  # share of the variance of ln p that is its parabola's, above which few draws will do to begin with
_SHORT = 200  # steps of a stage in which beginnings are compared
_RADIUS = 2.0  # of the cube in which restarts begin
_TRIES = 100  # to find a start where the density is finite


def infer(
    model: Callable | AbstractTarget,
    *args: Any,
    posterior: str | AbstractFamily = "full_rank",
    num_restarts: int = 1,
    elbo_tol: float = 5e-4,
    max_draws: int = 131_072,
    max_steps: int = 1000,
    key: PRNGKeyArray,
    **kwargs: Any,
) -> Inference:
    """Approximate the posterior of a model, until there is no more to gain, and say whether to trust it.

    The bound is maximised on fixed draws by a quasi-Newton method, in stages of ever more draws: from about the mode or
    about the start, by what the first draws say, or by two short stages where they do not tell. It has converged when
    new draws, four times as many, let the bound rise by less than `elbo_tol` nats, or what rounding hides of an elbo so
    large, up to one nat. A full-rank posterior of more than 64 dimensions that is nearly normal is found by Newton's
    method, from average second derivatives, until what the last step and chance leave to gain is less than that.
    Constrained sites are inferred in the unconstrained space.

    Sources: Giordano, Ingram and Broderick 2024 (fixed draws); Burroni, Domke and Sheldon 2024 (ever more of them, and
    when to stop); Opper and Archambeau 2009 (second derivatives).

    Args:
        model: a NumPyro model, or `LogDensity`.
        *args: the NumPyro model's arguments.
        posterior: a name in `varinf.posteriors.DENSITY_POSTERIORS`, or a family.
        num_restarts: how many starts to try, in one compiled call; the best is gone on with.
        elbo_tol: nats; of the stopping rule, and twice the standard error of the elbo that is reported, where that
            takes no more evaluations of the density than the fit did, or in few dimensions no more than a million.
        max_draws: of the last stage; the first has what the family needs, whatever this is. A draw of the second
            derivatives counts as one for each dimension.
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
    if not elbo_tol > 0:
        raise InputError(f"elbo_tol must be positive, got {elbo_tol:g}")
    family = DENSITY_POSTERIORS[posterior]() if isinstance(posterior, str) else posterior
    if isinstance(model, AbstractTarget):
        if args or kwargs:
            raise InputError("arguments are for NumPyro models; a log density has its data inside")
        target = model
    else:
        target = NumpyroModel(model, args, kwargs)
    start_seed, first_seed, stage_seed, result_seed = seeds(key, 4)
    starts = _starts(target, num_restarts, start_seed)
    family = family.built(starts.shape[1], key=key)
    noise = normal_draws(_FEW, family.num_noise(starts.shape[1]), first_seed, match=True).astype(starts.dtype)
    by_mode, by_start = begin(target, family, jnp.asarray(starts), jnp.asarray(noise))
    if not np.isfinite([by_mode.value, by_start.value]).any():
        raise InputError("the log density is not finite about any start; give a better one")
    ended = fit_by_newton(target, family, by_mode, max_draws, elbo_tol, stage_seed)
    if ended is None:
        nearly_normal = float(np.min(by_mode.explained)) > _EXPLAINED
        first = _FEW if nearly_normal else _first_draws(family, starts.shape[1])
        draws = _Draws(noise.shape[1], first, max_draws, starts.dtype, stage_seed)
        if nearly_normal or family.needs_curvature:
            begun = [by_mode]
        else:
            begun = [by_start] if np.all(by_start.value >= by_mode.value) else [by_mode, by_start]
        limits = jnp.asarray(elbo_tol / 1000, starts.dtype), jnp.asarray(max_steps)
        fits, stage = _furthest(target, [_Fits.of(family, each) for each in begun], draws, *limits)
        ended = _maximize(target, fits, draws, stage, elbo_tol, *limits)
    if (objection := _objection(ended, family)) is not None:
        ended = ended._replace(converged=False, reason=objection)
    return measured(ended, elbo_tol, result_seed)


def _objection(ended: Ended, family: AbstractFamily) -> str | None:
    """Why an end is not to be relied on, whatever the stages came to."""
    parameters = np.asarray(ended.fitted.member.parameters)
    if family.needs_curvature and not ended.curved:
        return "the curvature at the mode is not that of a maximum: Laplace's method does not apply"
    if np.abs(parameters).max(initial=0) > float(np.finfo(parameters.dtype).max) ** 0.25:
        return "q grew without end: the density has no finite integral; look for an improper prior"
    return None


class _Draws:
    """The fixed draws of each stage."""

    def __init__(self, width: int, first: int, most: int, dtype: np.dtype, seed: int):
        # a power of two, as all stages then are
        self._first = 1 << (first - 1).bit_length()
        self._most = max(self._first, min(most, _MOST_NUMBERS // width))
        self._buffer = NoiseBuffer(self._most, min(self._first, _AT_ONCE), width, dtype)
        self._width, self._seed = width, seed

    def number(self, stage: int) -> int:
        """How many draws a stage has."""
        return self._first * _GROWTH**stage

    @property
    def last(self) -> int:
        """The number of the stage of which the next would have more draws than are allowed."""
        return int(math.log2(self._most // self._first) / math.log2(_GROWTH))

    def noise(self, stage: int) -> Noise:
        """The draws of a stage, new ones for each; those of the stage before are then gone."""
        return self._buffer.filled(normal_draws(self.number(stage), self._width, self._seed + stage, match=True))


class _Fits(NamedTuple):
    """Fits under way, each leaf with a leading axis `[restarts]`; `curved` as in `Begun`, `memories` of the curvature
    of the bound."""

    frames: Frame
    parabolas: Parabola
    members: Member
    memories: ScaleByLBFGSState
    curved: Array

    @classmethod
    def of(cls, family: AbstractFamily, begun: Begun) -> "_Fits":
        """Where they begin."""
        members = Member(_repeated(family, len(begun.value)), begun.parameters)
        memories = _no_memories(eqx.filter(members, eqx.is_inexact_array))
        return cls(begun.frame, begun.parabola, members, memories, begun.curved)

    def improved(self, target: AbstractTarget, noise: Noise, least: Array, steps: Array) -> "tuple[_Fits, Minimum]":
        """The best on these draws, to `least` nats, or after so many steps."""
        parts = self.frames, self.parabolas, self.members, self.memories
        members, found = improve(target, *parts, noise, steps, least)
        return self._replace(members=members, memories=found.memory), found


def _furthest(
    target: AbstractTarget, fits: list[_Fits], draws: _Draws, least: Array, max_steps: Array
) -> tuple[_Fits, int]:
    """Of all fits the one that two short stages bring to the largest bound on draws of neither, and the stage to go on
    with; its axis has length one."""
    if len(fits) == len(fits[0].curved) == 1:
        return fits[0], 0
    last = min(1, draws.last)
    for stage in range(last + 1):
        noise = draws.noise(stage)
        fits = [each.improved(target, noise, least, jnp.minimum(max_steps, _SHORT))[0] for each in fits]
    noise = draws.noise(min(2, draws.last))
    costs = np.stack([each.improved(target, noise, least, jnp.zeros_like(max_steps))[1].value for each in fits])
    which, row = divmod(int(np.argmin(np.where(np.isfinite(costs), costs, np.inf))), costs.shape[1])
    return _rows(fits[which], jnp.asarray([row])), min(last, max(draws.last - 1, 0))


def _maximize(
    target: AbstractTarget, fits: _Fits, draws: _Draws, stage: int, elbo_tol: float, least: Array, max_steps: Array
) -> Ended:
    """The best q, by stages of ever more draws."""
    stages: list[Stage] = []
    ends = []
    while True:
        fits, found = fits.improved(target, draws.noise(stage), least, max_steps)
        value, first, steps, settled = (
            np.asarray(leaf)[0].item() for leaf in (found.value, found.first, found.steps, found.converged)
        )
        ends.append(settled)
        number, gain = draws.number(stage), first - value
        stages.append(Stage(number, -value, steps))
        enough = max(elbo_tol, rounding(value, found.value.dtype))
        no_gain = len(stages) > 1 and gain < enough
        if no_gain or stage == draws.last:
            break
        stage += 1
    # an end right after a stage that came to none is not to be relied on: its measure starts from nothing
    converged = no_gain and all(ends[-2:])
    if converged:
        reason = f"{number} new draws raised the bound by less than {enough:.2g} nats"
    elif no_gain:
        reason = f"the quasi-Newton method came to no end within {max_steps} steps of a stage"
    else:
        reason = f"new draws still raised the bound by {gain:.2g} nats at {number} draws, the most allowed"
    best = _rows(fits, jnp.asarray(0))
    problem = Problem(target, best.frames, best.parabolas)
    return Ended(Fitted(problem, best.members), bool(best.curved), stages, converged, reason)


def _first_draws(family: AbstractFamily, dim: int) -> int:
    """How many draws the first stage has: not so few that q would be fitted to them instead of to the density."""
    own = sum(leaf.size for leaf in jax.tree.leaves(eqx.filter(family, eqx.is_inexact_array)))
    return max(_FEW, own, 3 * dim if family.triangular else 0)


def _repeated(family: AbstractFamily, count: int) -> AbstractFamily:
    """The family with its own arrays once for each restart."""
    arrays, static = eqx.partition(family, eqx.is_inexact_array)
    return eqx.combine(jax.tree.map(lambda leaf: jnp.stack([leaf] * count), arrays), static)


@compiled
def _no_memories(arrays: PyTree) -> ScaleByLBFGSState:
    return jax.vmap(lambda one: no_memory(ravel_pytree(one)[0]))(arrays)


@compiled
def _rows(tree: Any, index: Array) -> Any:
    return jax.tree.map(lambda leaf: leaf[index] if eqx.is_array(leaf) else leaf, tree)


def _starts(target: AbstractTarget, count: int, seed: int) -> np.ndarray:
    """Where to begin: the model's own start, and others about it, at all of which the log density is finite."""
    own = np.asarray(target.start)
    if count == 1 and np.isfinite(_checked_log_densities(target, own[None])).all():
        return own[None]
    about = np.random.default_rng(seed).uniform(-_RADIUS, _RADIUS, (_TRIES * count, len(own))).astype(own.dtype)
    points = np.concatenate([own[None], own + about])
    values = _checked_log_densities(target, points)
    good = np.flatnonzero(np.isfinite(values))
    if len(good) < count:
        blamed = target.blame(target.start)
        raise InputError(
            f"the log density is {values[0]:g} at the start{', from ' + blamed if blamed else ''}, and finite at only "
            f"{len(good)} of {len(points)} points about it; look for data outside a site's support, or give a start"
        )
    return points[good[:count]]


def _checked_log_densities(target: AbstractTarget, points: np.ndarray) -> np.ndarray:
    try:
        return np.asarray(_log_densities(target, jnp.asarray(points)))
    except InputError:
        raise
    except (TypeError, ValueError) as error:
        raise InputError(f"the log density does not run: {error}") from error


@compiled
def _log_densities(target: AbstractTarget, points: Array) -> Array:
    return jax.lax.map(target.log_density, points)
