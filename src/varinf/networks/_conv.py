import itertools
import math

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from varinf._compiled import compiled
from varinf.networks._activations import ACTIVATIONS
from varinf.networks._linear import matmul
from varinf.networks._patches import conv, conv_transpose, half
from varinf.networks._start import start


class ConvEncoder(eqx.Module):
    """Images to a vector: `[*batch, *in_shape]` -> `[*batch, out_size]`.

    One 4 × 4 convolution of stride 2 per entry of `channels`, each followed by the activation, then a linear map.
    Weights start uniform, with the variance that keeps the activations' scale; biases start at zero.

    Args:
        in_shape: (height, width) or (height, width, channels) of one image; any sizes.
        out_size: length of the vector.
        channels: of the convolutions' outputs.
        activation: a name in `ACTIVATIONS`.
        dtype: of the operands of the matrix products, "float32" or "bfloat16"; sums are in the type of the
            parameters, which stay as they are.
        key: for the initial weights.
    """

    weights: tuple[Float[Array, "..."], ...]
    biases: tuple[Float[Array, " out"], ...]
    in_shape: tuple[int, ...] = eqx.field(static=True)
    activation: str = eqx.field(static=True)
    dtype: str = eqx.field(static=True)

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_size: int,
        channels: tuple[int, ...] = (32, 64),
        *,
        activation: str = "relu",
        dtype: str = "float32",
        key: PRNGKeyArray,
    ):
        height, width, depth = _image(in_shape)
        sizes = _sides(height, width, len(channels))
        inputs = (depth, *channels)
        shapes: list[tuple[int, ...]] = [(4, 4, *pair) for pair in itertools.pairwise(inputs)]
        shapes.append((inputs[-1] * math.prod(sizes[-1]), out_size))
        bounds = _bounds([math.prod(s[:-1]) for s in shapes], activation)
        self.weights, self.biases = start(key, shapes, bounds, [s[-1:] for s in shapes])
        self.in_shape = tuple(in_shape)
        self.activation = ACTIVATIONS.check(activation)
        self.dtype = dtype

    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "*batch out"]:
        batch = x.shape[: x.ndim - len(self.in_shape)]
        n = math.prod(batch)
        x = x.reshape(n, *_image(self.in_shape)).transpose(3, 1, 2, 0)
        for w, b in zip(self.weights[:-1], self.biases[:-1], strict=True):
            x = ACTIVATIONS[self.activation](conv(x, w, self.dtype) + b[:, None, None, None])
        size, out = self.weights[-1].shape
        x = matmul(self.weights[-1].T, x.reshape(size, n), self.dtype)
        return (x.T + self.biases[-1]).reshape(*batch, out)


class ConvDecoder(eqx.Module):
    """A vector to images, the mirror image of `ConvEncoder`: `[*batch, in_size]` -> `[*batch, *out_shape]`.

    A linear map to `channels[-1]` small images, then one transposed 4 × 4 convolution of stride 2 per entry of
    `channels`, with the activation before each. Sides that do not halve evenly are cut to size on the way.

    Args:
        in_size: length of the vector.
        out_shape: (height, width) or (height, width, channels) of one image; any sizes.
        channels: of the encoder's convolutions, in the encoder's order.
        activation: a name in `ACTIVATIONS`.
        dtype: as in `ConvEncoder`.
        key: for the initial weights.
    """

    weights: tuple[Float[Array, "..."], ...]
    biases: tuple[Float[Array, "..."], ...]
    out_shape: tuple[int, ...] = eqx.field(static=True)
    activation: str = eqx.field(static=True)
    dtype: str = eqx.field(static=True)

    def __init__(
        self,
        in_size: int,
        out_shape: tuple[int, ...],
        channels: tuple[int, ...] = (32, 64),
        *,
        activation: str = "relu",
        dtype: str = "float32",
        key: PRNGKeyArray,
    ):
        height, width, depth = _image(out_shape)
        sizes = _sides(height, width, len(channels))
        inputs = (depth, *channels)[::-1]
        # A transposed convolution's kernel is the convolution's, [4, 4, in, out], and runs from out to in.
        shapes: list[tuple[int, ...]] = [(in_size, inputs[0] * math.prod(sizes[-1]))]
        shapes += [(4, 4, b, a) for a, b in itertools.pairwise(inputs)]
        fan_in = [in_size, *(4 * a for a in inputs[:-1])]  # four of the sixteen taps meet in each pixel
        biases = [(size,) for size in (shapes[0][1], *inputs[1:-1])]
        last = (1, 1, depth)[: len(out_shape)]
        self.weights, self.biases = start(key, shapes, _bounds(fan_in, activation), [*biases, last])
        self.out_shape = tuple(out_shape)
        self.activation = ACTIVATIONS.check(activation)
        self.dtype = dtype

    def __call__(self, z: Float[Array, "*batch in"]) -> Float[Array, "..."]:
        batch, n, steps = z.shape[:-1], math.prod(z.shape[:-1]), len(self.weights) - 1
        height, width, _ = _image(self.out_shape)
        *sizes, smallest = _sides(height, width, steps)
        x = matmul(self.weights[0].T, z.reshape(n, z.shape[-1]).T, self.dtype) + self.biases[0][:, None]
        x = x.reshape(x.shape[0] // math.prod(smallest), *smallest, n)
        for i, size in enumerate(reversed(sizes), start=1):
            x = conv_transpose(ACTIVATIONS[self.activation](x), self.weights[i], size, self.dtype)
            if i < steps:
                x = x + self.biases[i][:, None, None, None]
        return x.transpose(3, 1, 2, 0).reshape(*batch, *self.out_shape) + self.biases[-1]

    def with_output_bias(self, bias: Float[Array, "*outputs"]) -> "ConvDecoder":
        """The same network with a bias for each pixel, of shape `out_shape`, instead of one per channel."""
        return eqx.tree_at(lambda net: net.biases[-1], self, bias.reshape(self.out_shape))


def _image(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """(height, width, channels) of a shape of two or three entries."""
    if len(shape) not in (2, 3):
        raise ValueError(
            f"expected images of shape (height, width) or (height, width, channels), got {tuple(shape)}; "
            "use network 'mlp' for other data"
        )
    height, width, *channels = shape
    return height, width, channels[0] if channels else 1


def _sides(height: int, width: int, steps: int) -> list[tuple[int, int]]:
    """Height and width before the first of `steps` convolutions, and after each."""
    sizes = [(height, width)]
    for _ in range(steps):
        sizes.append((half(sizes[-1][0]), half(sizes[-1][1])))
    return sizes


def _bounds(fan_in: list[int], activation: str) -> list[float]:
    """Of uniform weights of variance 1 / fan_in for the first layer, and 1 / (fan_in E[f(x)²]) after activation f.

    For ReLU the second is He et al.'s (2015) 2 / fan_in.
    """
    square = float(_mean_square(activation))
    return [(3 / (n * (square if i else 1))) ** 0.5 for i, n in enumerate(fan_in)]


@compiled
def _mean_square(activation: str) -> Float[Array, ""]:
    """E[f(x)²] for a standard normal x."""
    x = jnp.linspace(-6.0, 6.0, 241)
    density = jnp.exp(-(x**2) / 2)
    return jnp.sum(density * ACTIVATIONS[activation](x) ** 2) / jnp.sum(density)
