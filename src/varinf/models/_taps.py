from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float


def taps(images: Float[Array, "..."], kernel: Sequence[int], params: Any) -> Float[Array, "..."]:
    """What a convolution's kernel is multiplied with at each place, `[batch, *places, in, *kernel]`.

    Made of slices: XLA's own way to patches is a convolution, which is slow on a CPU.

    Args:
        images: as the convolution has them.
        kernel: the shape of the kernel, as the convolution has it.
        params: of the convolution: `conv_general_dilated`'s, without groups and dilation of the images.
    """
    numbers = params["dimension_numbers"]
    batch, channel, *spatial = numbers.lhs_spec
    sides = [kernel[axis] for axis in numbers.rhs_spec[2:]]
    x = images.transpose(batch, *spatial, channel)
    x = jnp.pad(x, ((0, 0), *params["padding"], (0, 0)))
    for axis, side, stride, dilation in zip(
        range(1, 1 + len(sides)), sides, params["window_strides"], params["rhs_dilation"], strict=True
    ):
        # each side's taps on a new last axis
        places = (x.shape[axis] - (side - 1) * dilation - 1) // stride + 1
        starts = [tap * dilation for tap in range(side)]
        parts = [lax.slice_in_dim(x, s, s + (places - 1) * stride + 1, stride, axis) for s in starts]
        x = jnp.stack(parts, axis=-1)
    return x
