"""The bound of a q on fixed draws, and its maximum.

Once the draws are fixed, the bound is a deterministic function of q's parameters: a quasi-Newton method finds its
maximum, and knows when it is there (sample average approximation; Giordano, Ingram and Broderick 2024; Burroni, Domke
and Sheldon 2024).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from varinf.inference._optimize import Minimum, minimize
from varinf.models import AbstractTarget
from varinf.posteriors import AbstractFamily

_MOST_CURVED = 2048  # dimensions, beyond which no curvature is worked out
_MODE_STEPS, _NEWTON_STEPS = 500, 20
_SPREADS = (1.0, 0.1)  # of the q about a point where the curvature is of no use


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


class Noise(NamedTuple):
    """Standard normal numbers in chunks, of which the first `used` count: more of them do not compile again.

    Attributes:
        chunks: `[chunks, draws, noise]`.
        used: how many chunks.
    """

    chunks: Float[Array, "chunks draws noise"]
    used: Int[Array, ""]


class Fixed(NamedTuple):
    """What the bound depends on beside q's parameters."""

    target: AbstractTarget
    family: AbstractFamily
    frame: Frame
    noise: Noise

    def chunk(self, parameters: Float[Array, " parameters"], i: Int[Array, ""]) -> Float[Array, ""]:
        """The mean of −ln p over a chunk of draws."""
        z = self.frame.z(self.family.from_noise(parameters, self.noise.chunks[i]))
        return -jax.vmap(self.target.log_density)(z).mean()

    def rest(self, parameters: Float[Array, " parameters"]) -> Float[Array, ""]:
        """−entropy of q."""
        q: Any = self.family(parameters)
        return -q.entropy() - self.frame.log_det()

    def mean(self, of_chunk: Callable[[Array], PyTree[Array]]) -> PyTree[Array]:
        """The mean of something over the chunks used."""
        start = jax.tree.map(
            lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(of_chunk, jnp.zeros((), int))
        )
        total = jax.lax.fori_loop(0, self.noise.used, lambda i, sums: jax.tree.map(jnp.add, sums, of_chunk(i)), start)
        return jax.tree.map(lambda leaf: leaf / self.noise.used, total)


@eqx.filter_custom_vjp
def negative_bound(parameters: Float[Array, " parameters"], fixed: Fixed) -> Float[Array, ""]:
    """−elbo in nats, with the expectation of ln p taken over fixed draws and the entropy exact."""
    return fixed.mean(lambda i: fixed.chunk(parameters, i)) + fixed.rest(parameters)


@negative_bound.def_fwd
def _value_and_grad(_perturbed: Any, parameters: Float[Array, " parameters"], fixed: Fixed) -> tuple[Array, Array]:
    # A loop of unknown length has no reverse mode: the gradient is summed up in it.
    value, grad = fixed.mean(lambda i: jax.value_and_grad(fixed.chunk)(parameters, i))
    rest, rest_grad = jax.value_and_grad(fixed.rest)(parameters)
    return value + rest, grad + rest_grad


@negative_bound.def_bwd
def _pull_back(grad: Array, cotangent: Array, _perturbed: Any, _parameters: Any, _fixed: Fixed) -> Array:
    return cotangent * grad


@eqx.filter_jit
def begin(
    target: AbstractTarget,
    family: AbstractFamily,
    starts: Float[Array, "restarts dim"],
    noise: Noise,
) -> tuple[Frame, Float[Array, " restarts"], Bool[Array, " restarts"]]:
    """Coordinates in which q is not far from N(0, I), from each start: about the mode, by the curvature there.

    Returns:
        The coordinates, −elbo of N(0, I) in them, and whether the curvature was of use.
    """
    dim = starts.shape[1]
    standard = family.standard(dim)

    def one(start: Array) -> tuple[Frame, Array, Array]:
        mode = minimize(lambda z: -target.log_density(z), start, _MODE_STEPS, 1e-3).x
        frames = []
        if dim <= _MOST_CURVED:
            mode = _newton(target, mode)
            frames = [_curved(target, family, mode)]
        for point in (mode, start):
            frames += [Frame(point, _as_scale(family, jnp.full(dim, spread))) for spread in _SPREADS]
        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *frames)
        values = jax.lax.map(lambda frame: negative_bound(standard, Fixed(target, family, frame, noise)), stacked)
        values = jnp.where(jnp.isfinite(values), values, jnp.inf)
        best = jnp.argmin(values)
        chosen = jax.tree.map(lambda leaf: leaf[best], stacked)
        return chosen, values[best], (best == 0) & (dim <= _MOST_CURVED)

    return jax.vmap(one)(starts)


@eqx.filter_jit
def improve(
    target: AbstractTarget,
    family: AbstractFamily,
    frame: Frame,
    parameters: Float[Array, " parameters"],
    noise: Noise,
    max_steps: Int[Array, ""],
    gain: Float[Array, ""],
) -> tuple[Minimum, Float[Array, ""]]:
    """The q of the largest bound on these draws, and −elbo of the one that was begun with."""

    def loss(parameters: Array) -> Array:
        return negative_bound(parameters, Fixed(target, family, frame, noise))

    return minimize(loss, parameters, max_steps, gain), loss(parameters)


def _newton(target: AbstractTarget, z: Float[Array, " dim"]) -> Float[Array, " dim"]:
    """The mode to rounding by Newton's method from a point near it, as far as each step is one upwards."""

    def step(carry: tuple) -> tuple:
        z, value, _, steps = carry
        gradient = jax.grad(target.log_density)(z)
        factor = jax.scipy.linalg.cho_factor(-jax.hessian(target.log_density)(z))
        new = z + jax.scipy.linalg.cho_solve(factor, gradient)
        new_value = target.log_density(new)
        gain = new_value - value
        return jnp.where(gain > 0, new, z), jnp.where(gain > 0, new_value, value), gain, steps + 1

    def goes_on(carry: tuple) -> Array:
        _, value, gain, steps = carry
        return (gain > jnp.finfo(z.dtype).eps * (1 + jnp.abs(value))) & (steps < _NEWTON_STEPS)

    start = (z, target.log_density(z), jnp.asarray(jnp.inf, z.dtype), jnp.zeros((), int))
    return jax.lax.while_loop(goes_on, step, start)[0]


def _curved(target: AbstractTarget, family: AbstractFamily, mode: Float[Array, " dim"]) -> Frame:
    """About the mode, scaled by the curvature; not a number where that is not of a maximum."""
    curvature = -jax.hessian(target.log_density)(mode)
    if not family.triangular:
        return Frame(mode, 1 / jnp.sqrt(jnp.diagonal(curvature)))
    # Σ = (C Cᵀ)⁻¹ for the Cholesky factor C of the reversed matrix, whose inverse is again triangular
    reverse = jnp.linalg.cholesky(curvature[::-1, ::-1])[::-1, ::-1]
    identity = jnp.eye(len(mode), dtype=mode.dtype)
    return Frame(mode, jax.scipy.linalg.solve_triangular(reverse, identity, lower=False).T)


def _as_scale(family: AbstractFamily, scale: Float[Array, " dim"]) -> Array:
    return jnp.diag(scale) if family.triangular else scale
