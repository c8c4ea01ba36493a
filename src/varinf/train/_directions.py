"""The directions in which optimisers step, before the learning rate: Optax's, and Adam's at less cost."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import PyTree
from optax import identity, scale_by_adamax, scale_by_belief, scale_by_lion, scale_by_rms
from optax.tree_utils import tree_update_moment, tree_update_moment_per_elem_norm

__all__ = ["identity", "scale_by_adam", "scale_by_adamax", "scale_by_belief", "scale_by_lion", "scale_by_rms"]

_FIRST_DECAY, _SECOND_DECAY, _EPSILON = 0.9, 0.999, 1e-8


def scale_by_adam() -> optax.GradientTransformation:
    """Adam (Kingma and Ba 2015) as Optax has it, with one division for each number.

    That the moments begin at zero is made up for by two factors of the step, not by dividing each moment: as the
    paper notes at the end of section 2.
    """

    init = optax.scale_by_adam(_FIRST_DECAY, _SECOND_DECAY, _EPSILON).init

    def update(updates: PyTree, state: Any, params: PyTree | None = None) -> tuple[PyTree, Any]:
        first = tree_update_moment(updates, state.mu, _FIRST_DECAY, 1)
        second = tree_update_moment_per_elem_norm(updates, state.nu, _SECOND_DECAY, 2)
        count = state.count + 1
        steps = count.astype(jnp.result_type(float))
        of_first = 1 / (1 - _FIRST_DECAY**steps)
        of_root = jax.lax.rsqrt(1 - _SECOND_DECAY**steps)
        direction = jax.tree.map(lambda m, v: of_first * m / (of_root * jnp.sqrt(v) + _EPSILON), first, second)
        return direction, state._replace(count=count, mu=first, nu=second)

    return optax.GradientTransformation(init, update)
