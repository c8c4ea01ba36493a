"""Optax optimisers whose numbers are traced, so that another learning rate does not compile again."""

import functools
import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PyTree

from varinf._compiled import compiled
from varinf.train._table import OPTIMIZERS, SCHEDULES


class _ScheduleState(NamedTuple):
    count: Int[Array, ""]
    peak: Float[Array, ""]
    total: Float[Array, ""]
    warmup: Float[Array, ""]


def make_optimizer(
    name: str = "adam",
    learning_rate: float = 1e-3,
    *,
    schedule: str = "constant",
    total_steps: int = 0,
    warmup_steps: int = 0,
    clip_norm: float | None = None,
) -> optax.GradientTransformation:
    """An Optax optimiser that shares its compiled step with all others of the same names.

    An optimiser made by Optax itself is a new closure each time, and a fit with it compiles again.

    Args:
        name: one of `OPTIMIZERS`.
        learning_rate: the peak.
        schedule: one of `SCHEDULES`: "constant", "cosine" or "linear" to zero, "exponential" to a hundredth.
        total_steps: length of the schedule; past it the learning rate stays where it ended.
        warmup_steps: steps over which the learning rate first rises in a line.
        clip_norm: the global norm above which gradients are scaled down; None for no clipping.

    Raises:
        InputError: an unknown name.
    """
    SCHEDULES.check(schedule)

    def init(params: optax.Params) -> optax.OptState:
        as_float = functools.partial(jnp.asarray, dtype=jnp.result_type(float))
        scale = _ScheduleState(
            jnp.zeros((), jnp.int32),
            as_float(learning_rate),
            as_float(max(total_steps, 1)),
            as_float(warmup_steps),
        )
        limit = as_float(math.inf if clip_norm is None else clip_norm)
        return limit, _initial(name, params), scale

    return optax.GradientTransformation(init, _Update(name, schedule, clip_norm is not None))


@functools.cache
def _transformation(name: str) -> optax.GradientTransformation:
    return OPTIMIZERS[name]()


@compiled
def _initial(name: str, params: optax.Params) -> optax.OptState:
    return _transformation(name).init(params)


def _norm(tree: PyTree[Array]) -> Float[Array, ""]:
    """The norm of all of a tree's numbers as one vector. Optax's own has had three names."""
    return jnp.sqrt(sum((jnp.square(leaf).sum() for leaf in jax.tree.leaves(tree)), jnp.zeros(())))


@dataclass(frozen=True)
class _Update:
    """A step of an optimiser by name: equal to any other of the same names, with which it shares what is compiled."""

    name: str
    schedule: str
    clip: bool

    def __call__(self, updates: PyTree, state: Any, params: PyTree | None = None) -> tuple[PyTree, Any]:
        limit, inner_state, scale = state
        if self.clip:
            factor = jnp.minimum(1, limit / jnp.maximum(_norm(updates), 1e-12))
            updates = optax.tree.scale(factor, updates)
        updates, inner_state = _transformation(self.name).update(updates, inner_state, params)
        done = jnp.clip((scale.count - scale.warmup) / jnp.maximum(scale.total - scale.warmup, 1), 0, 1)
        rise = jnp.clip((scale.count + 1) / (scale.warmup + 1), 0, 1)
        updates = optax.tree.scale(-scale.peak * SCHEDULES[self.schedule](done) * rise, updates)
        return updates, (limit, inner_state, scale._replace(count=scale.count + 1))
