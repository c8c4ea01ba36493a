import itertools

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from varinf.errors import InputError
from varinf.networks._activations import ACTIVATIONS
from varinf.networks._linear import Linear, linear_layers


class MaskedMLP(eqx.Module):
    """Dense layers whose outputs for a component depend on the components before it alone, and on a context.

    `[*batch, dim]` and a context `[*batch, context]`, which may have fewer leading axes -> `[*batch, dim, outputs]`.
    The outputs for the first component, which has none before it, are free numbers.

    Source: Germain et al. 2015.

    Args:
        dim: components.
        outputs: numbers for each component.
        hidden: sizes of the hidden layers, of which there is at least one; each of `dim` − 1 units or more, or some
            components would not be seen by some after them.
        context: length of the context; may be 0.
        activation: a name in `ACTIVATIONS`, applied after each hidden layer.
        key: for the initial weights.

    Raises:
        InputError: too few hidden units.
    """

    layers: tuple[Linear, ...]
    context_weight: Float[Array, "context hidden"]
    dim: int = eqx.field(static=True)
    outputs: int = eqx.field(static=True)
    activation: str = eqx.field(static=True)

    def __init__(
        self,
        dim: int,
        outputs: int,
        hidden: tuple[int, ...] = (32,),
        *,
        context: int = 0,
        activation: str = "silu",
        key: PRNGKeyArray,
    ):
        if min(hidden) < dim - 1:
            raise InputError(
                f"hidden: expected at least {dim - 1} units in each layer, for {dim} components, got {hidden}"
            )
        sizes = (dim, *hidden, dim * outputs)
        layers_key, context_key = jax.random.split(key)
        self.layers = linear_layers(sizes, key=layers_key)
        self.context_weight = linear_layers((context, sizes[1]), key=context_key)[0].weight
        self.dim, self.outputs = dim, outputs
        self.activation = ACTIVATIONS.check(activation)

    def __call__(
        self, x: Float[Array, "*batch dim"], context: Float[Array, "*some context"]
    ) -> Float[Array, "*batch dim outputs"]:
        activation, masks = ACTIVATIONS[self.activation], self._masks()
        first = self.layers[0]
        x = x @ (masks[0] * first.weight) + (context @ self.context_weight + first.bias)
        for mask, layer in zip(masks[1:], self.layers[1:], strict=True):
            x = activation(x) @ (mask * layer.weight) + layer.bias
        return x.reshape(*x.shape[:-1], self.dim, self.outputs)

    def _masks(self) -> list[np.ndarray]:
        """Of the weights, `[in, out]` for each layer: a unit of degree k sees the first k components."""
        inputs = np.arange(1, self.dim + 1)
        degrees = [inputs]
        for layer in self.layers[:-1]:
            degrees.append(1 + np.arange(layer.bias.shape[0]) % max(self.dim - 1, 1))
        masks = [below[:, None] <= above for below, above in itertools.pairwise(degrees)]
        return [*masks, degrees[-1][:, None] < np.repeat(inputs, self.outputs)]
