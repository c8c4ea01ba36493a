"""The minimum of a smooth function, by L-BFGS in one compiled loop."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

_MEMORY = 20
_LEAST_DECREASE = 1e-4  # of what the slope promises, for a trial to be taken
_LEAST_STEPS = 2  # before the scale of the first step, which is a guess, says that there is nothing to gain
_MOST_SHRINKS = 40


class Minimum(NamedTuple):
    """Where a minimisation ended.

    Attributes:
        x: the last point that was taken, `[n]`.
        value: there.
        first: the value at the start.
        steps: how many points were taken.
        converged: whether what is left to gain is below what was asked, or below rounding.
        memory: of the curvature along the way.
    """

    x: Float[Array, " n"]
    value: Float[Array, ""]
    first: Float[Array, ""]
    steps: Int[Array, ""]
    converged: Bool[Array, ""]
    memory: optax.ScaleByLBFGSState


class Search(NamedTuple):
    """A minimisation under way.

    Attributes:
        x: the point reached, `[n]`.
        value: there.
        grad: there, `[n]`.
        first: the value at the start.
        direction: of the next trial, `[n]`.
        size: of the next trial along it.
        left: the Newton decrement ½ gᵀ H⁻¹ g by the quasi-Newton H: about what is left to gain.
        memory: of H.
        steps: how many points were taken.
        shrinks: how many trials in a row were not.
    """

    x: Float[Array, " n"]
    value: Float[Array, ""]
    grad: Float[Array, " n"]
    first: Float[Array, ""]
    direction: Float[Array, " n"]
    size: Float[Array, ""]
    left: Float[Array, ""]
    memory: optax.ScaleByLBFGSState
    steps: Int[Array, ""]
    shrinks: Int[Array, ""]

    def trial(self) -> Float[Array, " n"]:
        """The next point whose value and gradient are wanted."""
        return self.x + self.size * self.direction

    def told(self, value: Float[Array, ""], grad: Float[Array, " n"]) -> "Search":
        """The search once these are known of its trial."""
        slope = self.grad @ self.direction
        promised = self.value + _LEAST_DECREASE * self.size * slope
        enough = (value <= promised + _rounding(value)) | (self.steps == 0)
        taken = enough & jnp.isfinite(value) & jnp.isfinite(grad).all()

        def take() -> Search:
            x = self.trial()
            rebased = _rebased(self.memory, x, grad)
            memory = jax.tree.map(lambda new, old: jnp.where(self.steps == 0, new, old), rebased, self.memory)
            newton: Any = _lbfgs.update(grad, memory, x)
            # by curvature that was not positive the way leads uphill: the memory is of no use
            descent = grad / jnp.maximum(jnp.linalg.norm(grad), 1)
            fresh = no_memory(x)._replace(count=jnp.ones_like(self.memory.count), params=x, updates=grad)
            direction, memory = jax.tree.map(
                lambda good, other: jnp.where(grad @ newton[0] > 0, good, other), newton, (descent, fresh)
            )
            return Search(
                x=x,
                value=value,
                grad=grad,
                first=jnp.where(self.steps == 0, value, self.first),
                direction=-direction,
                size=jnp.ones_like(self.size),
                left=0.5 * grad @ direction,
                memory=memory,
                steps=self.steps + 1,
                shrinks=jnp.zeros_like(self.shrinks),
            )

        def shrink() -> Search:
            # to the minimum of the parabola through what is known
            excess = value - self.value - self.size * slope
            parabola = -0.5 * slope * self.size**2 / excess
            size = jnp.where(excess > 0, jnp.clip(parabola, 0.1 * self.size, 0.5 * self.size), 0.1 * self.size)
            return self._replace(size=size, shrinks=self.shrinks + 1)

        return jax.lax.cond(taken, take, shrink)

    def settled(self, gain: float | Array) -> Bool[Array, ""]:
        """Whether there is less than `gain` left to gain, or less than rounding tells."""
        return (self.steps >= _LEAST_STEPS) & (self.left <= jnp.maximum(gain, _rounding(self.value)))

    def stuck(self) -> Bool[Array, ""]:
        """Whether no step along the direction lowers the function."""
        return self.shrinks > _MOST_SHRINKS


_lbfgs = optax.scale_by_lbfgs(memory_size=_MEMORY)


def no_memory(x: Float[Array, " n"]) -> optax.ScaleByLBFGSState:
    """That of a search that has not begun."""
    memory: Any = _lbfgs.init(x)
    return memory


def search_from(x: Float[Array, " n"], memory: optax.ScaleByLBFGSState) -> Search:
    """A search whose first trial is the start itself.

    Args:
        x: the start.
        memory: of a search that ended there, on a function that was much the same; or none.
    """
    zero, infinite = jnp.zeros((), x.dtype), jnp.asarray(jnp.inf, x.dtype)
    none = jnp.zeros((), int)
    still = jnp.zeros_like(x)
    return Search(x, infinite, still, infinite, still, zero, infinite, memory, none, none)


def minimize(
    value_and_grad: Callable[[Float[Array, " n"]], tuple[Float[Array, ""], Float[Array, " n"]]],
    x: Float[Array, " n"],
    max_steps: int | Array,
    gain: float | Array,
    memory: optax.ScaleByLBFGSState,
) -> Minimum:
    """Minimise a smooth function, until about `gain` is left to be gained, by the Newton decrement.

    Source: Nocedal and Wright 2006, chapter 7.

    Args:
        value_and_grad: the function and its gradient; there is one copy of it to compile.
        x: where to begin.
        max_steps: at most so many.
        gain: in the function's units.
        memory: as of `search_from`.
    """

    def goes_on(search: Search) -> Array:
        return (search.steps <= max_steps) & ~search.settled(gain) & ~search.stuck()

    end = jax.lax.while_loop(
        goes_on, lambda search: search.told(*value_and_grad(search.trial())), search_from(x, memory)
    )
    # the start is a point taken, but no step
    return Minimum(end.x, end.value, end.first, end.steps - 1, end.settled(gain), end.memory)


def _rebased(
    memory: optax.ScaleByLBFGSState, x: Float[Array, " n"], grad: Float[Array, " n"]
) -> optax.ScaleByLBFGSState:
    """The memory as if its last step had led to this point and gradient: an update with these changes none of it."""
    # an update writes the step that led to its point to the place before the last
    known: Any = memory
    last = (known.count - 2) % _MEMORY
    params, updates = x - known.diff_params_memory[last], grad - known.diff_updates_memory[last]
    return known._replace(count=jnp.maximum(known.count - 1, 0), params=params, updates=updates)


def _rounding(value: Float[Array, ""]) -> Float[Array, ""]:
    return 8 * jnp.finfo(value.dtype).eps * (1 + jnp.abs(value))
