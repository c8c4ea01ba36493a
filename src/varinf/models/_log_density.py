from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from varinf.errors import InputError
from varinf.models._target import AbstractTarget


class LogDensity(AbstractTarget):
    """A density of one's own, to be given to `varinf.infer`.

    Args:
        fn: x -> ln p(x) in nats, up to a constant; a scalar. Of x as `init` is, all of it real and unbounded.
        init: where to begin: an array, or a tree of arrays, of floats.

    Raises:
        InputError: `init` holds no numbers, or whole ones.
    """

    fn: Callable[[Any], Array]
    init: PyTree[Float[Array, "..."]]

    def __init__(self, fn: Callable[[Any], Array], init: Any):
        self.fn = fn
        self.init = jax.tree.map(jnp.asarray, init)
        leaves = jax.tree.leaves(self.init)
        floats = all(jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in leaves)
        if not floats or not sum(leaf.size for leaf in leaves):
            came = [f"{leaf.dtype}{list(leaf.shape)}" for leaf in leaves]
            raise InputError(f"init: expected floats, an array or a tree of arrays, got {came}")

    @property
    def start(self) -> Float[Array, " dim"]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """`init` as one vector."""
        return ravel_pytree(self.init)[0]

    def log_density(self, z: Float[Array, " dim"]) -> Float[Array, ""]:
        value = jnp.asarray(self.fn(self.constrain(z)))
        if value.shape != () or not jnp.issubdtype(value.dtype, jnp.floating):
            raise InputError(f"expected the log density to be a real scalar, got {value.dtype}{list(value.shape)}")
        return value

    def constrain(self, z: Float[Array, " dim"]) -> Any:
        return ravel_pytree(self.init)[1](z)

    def blame(self, z: Float[Array, " dim"]) -> str:
        return ""
