"""The directions in which optimisers step, before the learning rate: Optax's, and Adam's at less cost."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import PyTree
from optax import identity, scale_by_adamax, scale_by_belief, scale_by_lion, scale_by_rms

__all__ = ["identity", "scale_by_adam", "scale_by_adamax", "scale_by_belief", "scale_by_lion", "scale_by_rms"]

_FIRST_DECAY, _SECOND_DECAY, _EPSILON = 0.9, 0.999, 1e-8


def scale_by_adam() -> optax.GradientTransformation:
    """Adam (Kingma and Ba 2015) as Optax has it, with one division for each number.

    That the moments begin at zero is made up for by two factors of the step, not by dividing each moment: as the
    paper notes at the end of section 2.
    """

    init = optax.scale_by_adam(_FIRST_DECAY, _SECOND_DECAY, _EPSILON).init

    def update(updates: PyTree, state: Any, params: PyTree | None = None) -> tuple[PyTree, Any]:
        first = jax.tree.map(lambda m, g: _FIRST_DECAY * m + (1 - _FIRST_DECAY) * g, state.mu, updates)
        second = jax.tree.map(lambda v, g: _SECOND_DECAY * v + (1 - _SECOND_DECAY) * g**2, state.nu, updates)
        count = state.count + 1
        steps = count.astype(jnp.result_type(float))
        of_first = 1 / (1 - _FIRST_DECAY**steps)
        of_root = jax.lax.rsqrt(1 - _SECOND_DECAY**steps)
        direction = jax.tree.map(lambda m, v: of_first * m / (of_root * jnp.sqrt(v) + _EPSILON), first, second)
        return direction, state._replace(count=count, mu=first, nu=second)

    return optax.GradientTransformation(init, update)
