"""The maximum of a deterministic bound, by L-BFGS in one compiled loop."""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

_MEMORY = 20
_STALLED = 2  # steps in a row that gained nothing, after which there is nothing more to gain


class Minimum(NamedTuple):
    """Where a minimisation ended.

    Attributes:
        x: the best point, `[n]`.
        value: there.
        steps: how many were made.
        converged: whether what is left to gain is below what was asked, or below rounding.
    """

    x: Float[Array, " n"]
    value: Float[Array, ""]
    steps: Int[Array, ""]
    converged: Bool[Array, ""]


def minimize(
    fn: Callable[[Float[Array, " n"]], Float[Array, ""]],
    x: Float[Array, " n"],
    max_steps: int | Array,
    gain: float | Array,
) -> Minimum:
    """Minimise a smooth function.

    It ends when the last step's Newton decrement ½ gᵀ H⁻¹ g, by the quasi-Newton H, is below `gain`: about what is
    left to be gained. Or when steps no longer lower the function by more than rounding.

    Args:
        fn: the function.
        x: where to begin.
        max_steps: at most so many.
        gain: in the function's units.
    """
    # One evaluation of the function for each trial of a step, so that there is one copy of it to compile.
    search = optax.scale_by_backtracking_linesearch(
        max_backtracking_steps=30, max_learning_rate=1.0, increase_factor=math.inf, store_grad=True
    )
    solver = optax.lbfgs(memory_size=_MEMORY, linesearch=search)
    value_and_grad = optax.value_and_grad_from_state(fn)
    rounding = 8 * jnp.finfo(x.dtype).eps

    def step(carry: tuple) -> tuple:
        x, state, best_x, best, _, stalled, steps = carry
        value, grad = value_and_grad(x, state=state)
        given, state = solver.update(grad, state, x, value=value, grad=grad, value_fn=fn)
        updates = jnp.asarray(given)
        left = -0.5 * jnp.asarray(grad) @ _direction(updates, state)
        better = value < best
        stalled = jnp.where(best - value > rounding * (1 + jnp.abs(value)), 0, stalled + 1)
        best_x, best = jnp.where(better, x, best_x), jnp.where(better, value, best)
        return x + updates, state, best_x, best, left, stalled, steps + 1

    def goes_on(carry: tuple) -> Array:
        _, _, _, _, left, stalled, steps = carry
        return (steps < max_steps) & ~((left < gain) & (left >= 0)) & (stalled < _STALLED)

    big = jnp.asarray(jnp.inf, x.dtype)
    start = (x, solver.init(x), x, big, big, jnp.zeros((), int), jnp.zeros((), int))
    last, _, best_x, best, _, _, steps = jax.lax.while_loop(goes_on, step, start)
    value = fn(last)
    better = value < best
    found = jnp.where(better, last, best_x), jnp.where(better, value, best)
    return Minimum(*found, steps, steps < max_steps)


def _direction(updates: Array, state: optax.OptState) -> Array:
    """The quasi-Newton step that was scaled by the line search."""
    (linesearch,) = (part for part in jax.tree.leaves(state, is_leaf=_is_linesearch) if _is_linesearch(part))
    return updates / jnp.maximum(linesearch.learning_rate, 1e-30)


def _is_linesearch(part: object) -> bool:
    return isinstance(part, optax.ScaleByBacktrackingLinesearchState)
