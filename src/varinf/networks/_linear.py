import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray


class Linear(eqx.Module):
    """x @ weight + bias on the last axis, with any leading axes.

    Weights start uniform with variance 2 / (in_size + out_size) (Glorot and Bengio 2010), biases at zero.

    Args:
        in_size: length of the last axis that comes in.
        out_size: length of the last axis that goes out.
        dtype: type of the operands of the matrix product, "float32" or "bfloat16"; sums are in float32,
            parameters stay as they are.
        key: for the initial weights.
    """

    weight: Float[Array, "in out"]
    bias: Float[Array, " out"]
    dtype: str = eqx.field(static=True)

    def __init__(self, in_size: int, out_size: int, *, dtype: str = "float32", key: PRNGKeyArray):
        bound = (6 / (in_size + out_size)) ** 0.5
        self.weight = jax.random.uniform(key, (in_size, out_size), minval=-bound, maxval=bound)
        self.bias = jnp.zeros(out_size)
        self.dtype = dtype

    def __call__(self, x: Float[Array, "*batch in"]) -> Float[Array, "*batch out"]:
        return matmul(x, self.weight, self.dtype) + self.bias


def matmul(x: Float[Array, "*batch in"], w: Float[Array, "in out"], dtype: str) -> Float[Array, "*batch out"]:
    """x @ w with operands of `dtype` and sums in the type of `w`."""
    if dtype == "bfloat16":
        x, narrow = x.astype(dtype), w.astype(dtype)
        return jnp.matmul(x, narrow, preferred_element_type=w.dtype)
    return x @ w
