"""The bound of a q on fixed draws, and its maximum.

Once the draws are fixed, the bound is a deterministic function of q's parameters: a quasi-Newton method finds its
maximum, and knows when it is there (sample average approximation; Giordano, Ingram and Broderick 2024; Burroni, Domke
and Sheldon 2024). What the density has in common with its parabola at the mode is averaged exactly, and only the rest
over draws (a control variate; Miller et al. 2017).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Int, PyTree
from optax import ScaleByLBFGSState

from varinf._compiled import compiled
from varinf.inference._draws import Noise
from varinf.inference._optimize import Minimum, minimize, no_memory
from varinf.models import AbstractTarget
from varinf.posteriors import AbstractFamily

_MOST_CURVED = 2048  # dimensions, beyond which no curvature is worked out
_AT_ONCE = 128  # of its columns
_MODE_STEPS, _NEWTON_STEPS = 500, 50
MOST_ROUNDING = 1.0  # nats
_LEAST_BEND = 1e-3  # of an eigenvalue, in units of the diagonal
_LEAST_SIZE = 1e-3  # of a step, in units of the whole
_SPREADS = (1.0, 0.1)  # of the q about a point where the curvature is of no use
_ASIDE = 0.1  # of a spread, by which a q, or the search for the mode, begins beside the point


class Frame(NamedTuple):
    """The coordinates that q is fitted in: z = shift + scale u.

    Attributes:
        shift: `[dim]`.
        scale: `[dim]`, or a lower triangular matrix `[dim, dim]`.
    """

    shift: Float[Array, " dim"]
    scale: Float[Array, "..."]

    def z(self, u: Float[Array, "draws dim"]) -> Float[Array, "draws dim"]:
        """The draws that u stands for."""
        return self.shift + (u * self.scale if self.scale.ndim == 1 else u @ self.scale.T)

    def log_det(self) -> Float[Array, ""]:
        """ln |det scale|."""
        return jnp.log(jnp.abs(self.scale if self.scale.ndim == 1 else jnp.diagonal(self.scale))).sum()


class Parabola(NamedTuple):
    """−½ weight uᵀ A u, about what ln p is in a frame: its average over q is known.

    Attributes:
        curvature: A, `[dim, dim]`; None where none was worked out, or the moments of q are not known.
        weight: how much of it is taken off ln p, 0 where that would make averages over draws no better.
    """

    curvature: Float[Array, "dim dim"] | None
    weight: Float[Array, ""]

    def __call__(self, u: Float[Array, "draws dim"]) -> Float[Array, " draws"]:
        """Its height at each draw."""
        if self.curvature is None:
            return jnp.zeros(len(u), u.dtype)
        return -0.5 * self.weight * ((u @ self.curvature) * u).sum(-1)

    def mean(self, member: "Member") -> Float[Array, ""]:
        """Its average over q."""
        if self.curvature is None:
            return jnp.zeros_like(self.weight)
        moments: Any = member.family.moments(member.parameters)
        mean, covariance = moments
        return -0.5 * self.weight * (mean @ self.curvature @ mean + (self.curvature * covariance).sum())


class Member(NamedTuple):
    """q in a frame: a member of a family. Its float arrays, the family's own among them, are fitted.

    Attributes:
        family: q's.
        parameters: of q in the family.
    """

    family: AbstractFamily
    parameters: Float[Array, " parameters"]

    def draws(self, noise: Float[Array, "draws noise"]) -> Float[Array, "draws dim"]:
        """u, made of standard normal numbers."""
        return self.family.from_noise(self.parameters, noise)


class Problem(NamedTuple):
    """What the bound depends on beside q.

    Attributes:
        target: p.
        frame: the coordinates q is in.
        parabola: what is averaged exactly.
    """

    target: AbstractTarget
    frame: Frame
    parabola: Parabola

    def rest(self, u: Float[Array, "draws dim"]) -> Float[Array, " draws"]:
        """ln p of each draw, less the parabola."""
        return jax.vmap(self.target.log_density)(self.frame.z(u)) - self.parabola(u)

    def exact(self, member: Member, noise: Float[Array, "draws noise"]) -> Float[Array, ""]:
        """What of the elbo is no average of ln p over draws, in nats: the parabola's average, and the entropy of q."""
        return self.parabola.mean(member) + member.family.entropy(member.parameters, noise) + self.frame.log_det()

    def bound(self, member: Member, noise: Float[Array, "draws noise"]) -> Float[Array, ""]:
        """The elbo in nats, with the rest averaged over these draws."""
        return self.rest(member.draws(noise)).mean() + self.exact(member, noise)


class Begun(NamedTuple):
    """Where a fit begins from a start.

    Attributes:
        frame: coordinates in which q is not far from N(0, I).
        parabola: of ln p in them.
        value: the elbo of N(0, I) in them.
        curved: whether they are those of the curvature at the mode.
        explained: the share of the variance of ln p over N(0, I) that the parabola is.
        parameters: of N(0, I) in the family.
    """

    frame: Frame
    parabola: Parabola
    value: Float[Array, ""]
    curved: Bool[Array, ""]
    explained: Float[Array, ""]
    parameters: Float[Array, " parameters"]


@compiled
def begin(
    target: AbstractTarget,
    family: AbstractFamily,
    starts: Float[Array, "restarts dim"],
    noise: Float[Array, "draws noise"],
) -> tuple[Begun, Begun]:
    """From each start: about the mode, by the curvature there if that is of use; and about the start itself.

    The mode of a posterior that is not nearly normal can be far from where most of it is.

    Returns:
        Both, each with a leading axis `[restarts]`.
    """
    dim = starts.shape[1]
    member = Member(family, family.standard(dim).astype(starts.dtype))
    u = member.draws(noise)
    aside = _ASIDE * u[0]
    has_curvature = dim <= _MOST_CURVED
    has_moments = family.moments(member.parameters) is not None

    def seen(frame: Frame, curvature: Array | None) -> Begun:
        """The beginning in a frame, with the weight of the parabola by regression over q."""
        heights = jax.vmap(target.log_density)(frame.z(u))
        unit = Parabola(curvature, jnp.ones((), u.dtype))
        parabola = unit(u) - unit(u).mean()
        square, product = (parabola**2).mean(), (parabola * (heights - heights.mean())).mean()
        weight = jnp.clip(product / jnp.where(square > 0, square, 1), 0, 1)
        weight = jnp.where((square > 0) & jnp.isfinite(weight), weight, 0)
        explained = jnp.where(weight > 0, weight * product / heights.var(), 0)
        weighted = unit._replace(weight=weight)
        value = (heights - weighted(u)).mean() + Problem(target, frame, weighted).exact(member, noise)
        value = jnp.where(jnp.isfinite(value), value, -jnp.inf)
        return Begun(frame, weighted, value, jnp.asarray(False), explained, member.parameters)

    def about(point: Array) -> list[Frame]:
        # not at it: between two equal modes, for one, the gradient of the bound is zero
        return [
            Frame(point + spread * aside, _as_scale(family, jnp.full(dim, spread, point.dtype))) for spread in _SPREADS
        ]

    def best_of(begun: Begun, part: slice, number_curved: int) -> Begun:
        """The best of some beginnings, of which the first are those of the curvature."""
        values = begun.value[part]
        best = jnp.argmax(values)
        if family.needs_curvature and number_curved:
            # q is by definition that of the curvature, unless it is off so far that there is none to speak of
            best = jnp.where(values[0] > values[best] - dim, 0, best)
        return jax.tree.map(lambda leaf: leaf[part][best], begun)._replace(curved=best < number_curved)

    def one(start: Array) -> tuple[Begun, Begun]:
        # not from it, either: between the two the gradient of ln p is zero as well
        beside = start + _SPREADS[-1] * aside
        beside = jnp.where(jnp.isfinite(target.log_density(beside)), beside, start)
        loss = jax.value_and_grad(lambda z: -target.log_density(z))
        mode = minimize(loss, beside, _MODE_STEPS, 1e-3, no_memory(beside)).x
        curved, curvatures = [], None
        if has_curvature:
            mode, matrix = _newton(target, mode)
            curved = [_curved(family, mode, matrix)]
            if has_moments:
                scale = curved[0].scale
                curvature = scale.T @ matrix @ scale if scale.ndim == 2 else scale[:, None] * matrix * scale
                # the frames about points are for where it is of no use
                curvatures = jnp.stack([curvature, *[jnp.zeros_like(curvature)] * (2 * len(_SPREADS))])
        frames = curved + about(mode) + about(start)
        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *frames)
        # all in one loop, so that there is one copy of the density to compile
        begun = jax.lax.map(lambda args: seen(*args), (stacked, curvatures))
        last = -len(_SPREADS)
        return best_of(begun, slice(None, last), len(curved)), best_of(begun, slice(last, None), 0)

    return jax.lax.map(one, starts)


@compiled
def improve(
    target: AbstractTarget,
    frames: Frame,
    parabolas: Parabola,
    members: Member,
    memories: ScaleByLBFGSState,
    noise: Noise,
    max_steps: Int[Array, ""],
    gain: Float[Array, ""],
) -> tuple[Member, Minimum]:
    """The q of the largest bound on these draws in each frame: all before the noise but the target have an axis
    `[restarts]`."""
    fitted, static = eqx.partition(members, eqx.is_inexact_array)

    def one(part: tuple[Frame, Parabola, PyTree, ScaleByLBFGSState]) -> tuple[PyTree, Minimum]:
        frame, parabola, start, memory = part
        problem = Problem(target, frame, parabola)
        flat, unravel = ravel_pytree(start)

        def chunk(x: Array, i: Array) -> Array:
            return -problem.bound(eqx.combine(unravel(x), static), noise.chunks[i])

        def value_and_grad(x: Array) -> tuple[Array, Array]:
            # a loop of unknown length has no reverse mode: the gradient is summed up in it
            def add(i: Array, sums: tuple) -> tuple:
                return jax.tree.map(jnp.add, sums, jax.value_and_grad(chunk)(x, i))

            sums = jax.lax.fori_loop(0, noise.used, add, (jnp.zeros((), x.dtype), jnp.zeros_like(x)))
            return jax.tree.map(lambda leaf: leaf / noise.used, sums)

        found = minimize(value_and_grad, flat, max_steps, gain, memory)
        return unravel(found.x), found

    best, found = jax.lax.map(one, (frames, parabolas, fitted, memories))
    return eqx.combine(best, static), found


def rounding(elbo: float, dtype: jnp.dtype) -> float:
    """Nats that the precision cannot tell of such an elbo; beyond `MOST_ROUNDING`, it can tell no q from another."""
    return 8 * float(jnp.finfo(dtype).eps) * abs(elbo)


def expansion(
    fn: Callable[[Float[Array, " dim"]], Float[Array, ""]], z: Float[Array, " dim"]
) -> tuple[Float[Array, ""], Float[Array, " dim"], Float[Array, "dim dim"]]:
    """The value, the gradient and the matrix of second derivatives, a bounded number of its columns at a time."""
    dim = len(z)
    (value, gradient), change = jax.linearize(jax.value_and_grad(fn), z)
    blocks = -(-dim // _AT_ONCE)
    directions = jnp.eye(blocks * min(dim, _AT_ONCE), dim, dtype=z.dtype).reshape(blocks, -1, dim)
    columns = jax.lax.map(jax.vmap(lambda direction: change(direction)[1]), directions)
    return value, gradient, columns.reshape(-1, dim)[:dim]


def _newton(target: AbstractTarget, z: Float[Array, " dim"]) -> tuple[Float[Array, " dim"], Float[Array, "dim dim"]]:
    """The mode to rounding by Newton's method, as far as each step is one upwards.

    Where the curvature is not that of a maximum, its absolute eigenvalues are taken (Dauphin et al. 2014), in units of
    its diagonal; a step that is not upwards is halved.

    Returns:
        It, and the curvature −∇² ln p there.
    """

    infinite = jnp.asarray(jnp.inf, z.dtype)

    def past_a_saddle(gradient: Array, curvature: Array) -> Array:
        units = 1 / jnp.sqrt(jnp.maximum(jnp.abs(jnp.diagonal(curvature)), jnp.finfo(z.dtype).tiny))
        values, vectors = jnp.linalg.eigh(units[:, None] * curvature * units)
        return units * (vectors @ (vectors.T @ (units * gradient) / jnp.maximum(jnp.abs(values), _LEAST_BEND)))

    def step(carry: tuple) -> tuple:
        z, _, _, _, steps = carry
        value, gradient, matrix = expansion(target.log_density, z)
        newton = jax.scipy.linalg.cho_solve(jax.scipy.linalg.cho_factor(-matrix), gradient)
        whole = jax.lax.cond(jnp.isfinite(newton).all(), lambda: newton, lambda: past_a_saddle(gradient, -matrix))

        def is_no_rise(trial: tuple) -> Array:
            size, new_value = trial
            return ~(new_value > value) & (size > _LEAST_SIZE)

        def half(trial: tuple) -> tuple:
            size = trial[0] / 2
            return size, target.log_density(z + size * whole)

        # the whole step is the half of two, so that there is one copy of the density to compile
        size, new_value = jax.lax.while_loop(is_no_rise, half, (jnp.full_like(value, 2), -infinite))
        gain = new_value - value
        better = gain > 0
        return jnp.where(better, z + size * whole, z), -matrix, jnp.where(better, new_value, value), gain, steps + 1

    def goes_on(carry: tuple) -> Array:
        _, _, value, gain, steps = carry
        return (gain > jnp.finfo(z.dtype).eps * (1 + jnp.abs(value))) & (steps < _NEWTON_STEPS)

    unknown = jnp.full((len(z), len(z)), jnp.nan, z.dtype)
    end = jax.lax.while_loop(goes_on, step, (z, unknown, jnp.zeros_like(infinite), infinite, jnp.zeros((), int)))
    return end[0], end[1]


def _curved(family: AbstractFamily, mode: Float[Array, " dim"], curvature: Float[Array, "dim dim"]) -> Frame:
    """About the mode, scaled by the curvature; not a number where that is not of a maximum."""
    if not family.triangular:
        return Frame(mode, 1 / jnp.sqrt(jnp.diagonal(curvature)))
    return Frame(mode, inverse_factor(curvature))


def inverse_factor(matrix: Float[Array, "dim dim"]) -> Float[Array, "dim dim"]:
    """The lower triangular L with L Lᵀ the inverse; not a number where the matrix is not positive definite."""
    # the reversed matrix has a Cholesky factor that, turned back, is upper triangular, and so is its inverse
    reverse = jnp.linalg.cholesky(matrix[::-1, ::-1])[::-1, ::-1]
    return jax.scipy.linalg.solve_triangular(reverse, jnp.eye(len(matrix), dtype=matrix.dtype), lower=False).T


def _as_scale(family: AbstractFamily, scale: Float[Array, " dim"]) -> Array:
    return jnp.diag(scale) if family.triangular else scale
