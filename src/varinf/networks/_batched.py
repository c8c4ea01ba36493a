from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, Float, PyTree


class _Batched(eqx.Module):
    network: Callable[[Array], Array]

    def __call__(self, x: Float[Array, "batch ..."]) -> Float[Array, "batch ..."]:
        return jax.vmap(self.network)(x)


def batched(network: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """A module that is written for one example, with a leading batch axis.

    Args:
        network: `[*inputs]` -> `[*outputs]`, any Equinox module.

    Returns:
        A module `[batch, *inputs]` -> `[batch, *outputs]`, with `network` as its attribute.
    """
    return _Batched(network)


class Applied(eqx.Module):
    """A plain function with its parameters, as a network: Flax's `module.apply`, for example.

    Args:
        function: parameters and a batch `[batch, *inputs]` -> `[batch, *outputs]`.
        params: any tree of arrays.
    """

    function: Callable[[Any, Array], Array] = eqx.field(static=True)
    params: PyTree[Array]

    def __call__(self, x: Float[Array, "batch ..."]) -> Float[Array, "batch ..."]:
        return self.function(self.params, x)
