import itertools
from collections.abc import Sequence

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from varinf.networks._start import start


class Linear(eqx.Module):
    """x @ weight + bias on the last axis, with any leading axes.

    Attributes:
        weight: a row for each number that comes in.
        bias: of what goes out.
        dtype: type of the operands of the matrix product, "float32" or "bfloat16"; sums are in the type of the
            parameters, which stay as they are.
    """

    weight: Float[Array, "in out"]
    bias: Float[Array, " out"]
    dtype: str = eqx.field(static=True, default="float32")

    def __call__(self, x: Float[Array, "*batch in"]) -> Float[Array, "*batch out"]:
        return matmul(x, self.weight, self.dtype) + self.bias


def linear_layers(sizes: Sequence[int], *, dtype: str = "float32", key: PRNGKeyArray) -> tuple[Linear, ...]:
    """A layer from each size to the next.

    Weights start uniform with variance 2 / (in_size + out_size) (Glorot and Bengio 2010), biases at zero.

    Args:
        sizes: lengths of the last axis: that of the inputs, and each layer's of outputs.
        dtype: as `Linear` has it.
        key: for the weights.
    """
    shapes = list(itertools.pairwise(sizes))
    weights, biases = start(key, shapes, [(6 / sum(shape)) ** 0.5 for shape in shapes], [shape[1:] for shape in shapes])
    return tuple(Linear(weight, bias, dtype) for weight, bias in zip(weights, biases, strict=True))


def matmul(x: Float[Array, "*batch in"], w: Float[Array, "in out"], dtype: str) -> Float[Array, "*batch out"]:
    """x @ w with operands of `dtype` and sums in the type of `w`."""
    if dtype == "bfloat16":
        x, narrow = x.astype(dtype), w.astype(dtype)
        return jnp.matmul(x, narrow, preferred_element_type=w.dtype)
    return x @ w
