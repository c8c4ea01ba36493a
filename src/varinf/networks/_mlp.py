import math

import equinox as eqx
from jaxtyping import Array, Float, PRNGKeyArray

from varinf.networks._activations import ACTIVATIONS
from varinf.networks._linear import Linear, linear_layers


class MLP(eqx.Module):
    """Dense layers from an array to an array: `[*batch, *in_shape]` -> `[*batch, *out_shape]`.

    Args:
        in_shape: shape of one input.
        out_shape: shape of one output.
        hidden: sizes of the hidden layers; may be empty, which leaves one linear map.
        activation: a name in `ACTIVATIONS`, applied after each hidden layer.
        dtype: of the matrix products; see `Linear`.
        key: for the initial weights; see `linear_layers`.
    """

    layers: tuple[Linear, ...]
    in_shape: tuple[int, ...] = eqx.field(static=True)
    out_shape: tuple[int, ...] = eqx.field(static=True)
    activation: str = eqx.field(static=True)

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_shape: tuple[int, ...],
        hidden: tuple[int, ...] = (100,),
        *,
        activation: str = "relu",
        dtype: str = "float32",
        key: PRNGKeyArray,
    ):
        sizes = (math.prod(in_shape), *hidden, math.prod(out_shape))
        self.layers = linear_layers(sizes, dtype=dtype, key=key)
        self.in_shape, self.out_shape = tuple(in_shape), tuple(out_shape)
        self.activation = ACTIVATIONS.check(activation)

    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        batch = x.shape[: x.ndim - len(self.in_shape)]
        activation = ACTIVATIONS[self.activation]
        x = x.reshape(math.prod(batch), math.prod(self.in_shape))
        for layer in self.layers[:-1]:
            x = activation(layer(x))
        return self.layers[-1](x).reshape(*batch, *self.out_shape)

    def with_output_bias(self, bias: Float[Array, "*outputs"]) -> "MLP":
        """The same network with the bias of its last layer replaced by `bias`, of shape `out_shape`."""
        return eqx.tree_at(lambda net: net.layers[-1].bias, self, bias.reshape(-1))
