"""Convolutions of stride 2 by 4 × 4 kernels, and their transposes, as matrix products of patches.

XLA's convolutions on CPU, their gradients above all, run 15 to 20 times slower than PyTorch's, so there the work
goes to its matrix product, which is fast, and to copies. Images are `[channels, height, width, batch]` throughout:
with the batch last every copy moves whole runs of the batch, whatever the number of channels; the patches are
the right factor of each product as they stand; and XLA's own derivatives (slices become padded sums) are again
copies and matrix products. On other devices both are `lax.conv`.
"""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from varinf.networks._linear import matmul

_LAYOUT = ("CHWN", "HWIO", "CHWN")


def half(size: int) -> int:
    """Length of a side of `size` pixels after a convolution."""
    return -(-size // 2)


def conv(
    x: Float[Array, "in height width batch"], w: Float[Array, "4 4 in out"], dtype: str = "float32"
) -> Float[Array, "out rows columns batch"]:
    """4 × 4 convolution of stride 2 with "same" padding: sides shrink from n to ⌈n / 2⌉.

    Args:
        x: images.
        w: kernel.
        dtype: of the products' operands; "bfloat16" rounds them, and sums in the type of `x`.
    """
    if _by_patches():
        return _conv_by_patches(x, w, dtype)
    pads = _pads(x.shape[1]), _pads(x.shape[2])
    narrow, kernel = _narrow(x, w, dtype)
    return lax.conv_general_dilated(
        narrow, kernel, (2, 2), pads, dimension_numbers=_LAYOUT, preferred_element_type=x.dtype
    )


def conv_transpose(
    y: Float[Array, "out rows columns batch"],
    w: Float[Array, "4 4 in out"],
    shape: tuple[int, int],
    dtype: str = "float32",
) -> Float[Array, "in height width batch"]:
    """The transpose of `conv` in its images: from ⌈n / 2⌉ back to `shape`.

    Args:
        y: images.
        w: the kernel of the convolution whose transpose this is.
        shape: height and width of the result.
        dtype: as in `conv`.
    """
    if _by_patches():
        return _conv_transpose_by_patches(y, w, shape, dtype)
    narrow, kernel = _narrow(y, jnp.flip(w, (0, 1)).swapaxes(2, 3), dtype)
    pads = [(2, 3 - _pads(size)[1]) for size in shape]  # what the convolution padded is not made again
    return lax.conv_general_dilated(
        narrow,
        kernel,
        (1, 1),
        pads,
        lhs_dilation=(2, 2),
        dimension_numbers=_LAYOUT,
        preferred_element_type=y.dtype,
    )


def _by_patches() -> bool:
    # Asked while tracing. `lax.platform_dependent` would follow the device of the call, but its derivative
    # keeps the intermediate values of every branch. Either branch is right anywhere; only the speed differs.
    return jax.default_backend() == "cpu"


def _pads(size: int) -> tuple[int, int]:
    return 1, 2 * half(size) + 1 - size


def _narrow(x: Array, w: Array, dtype: str) -> tuple[Array, Array]:
    return (x.astype(dtype), w.astype(dtype)) if dtype == "bfloat16" else (x, w)


def _whole_patches(channels: int, out: int) -> bool:
    # Whole patches copy each pixel four times; halves copy it twice, but the product gives two sums of half the
    # taps for each output (and one row more of them), to be added up. Thin images are better off whole.
    return 4 * channels <= out


def _split(w: Array) -> Array:
    """[4, 4, in, out] to [2, 2, 2, 2, in, out]: block and pixel by height, then by width."""
    return w.reshape(2, 2, 2, 2, *w.shape[2:])


def _to_blocks(x: Array) -> Array:
    """[C, H, W, N], padded, to [2, 2, C, rows + 1, columns + 1, N]: pixel in its 2 × 2 block, then block."""
    c, height, width, n = x.shape
    x = jnp.pad(x, ((0, 0), _pads(height), _pads(width), (0, 0)))
    x = x.reshape(c, half(height) + 1, 2, half(width) + 1, 2, n)
    return x.transpose(2, 4, 0, 1, 3, 5)


def _from_blocks(blocks: Array, shape: tuple[int, int]) -> Array:
    """The transpose of `_to_blocks`."""
    _, _, c, rows, columns, n = blocks.shape
    x = blocks.transpose(2, 3, 0, 4, 1, 5).reshape(c, 2 * rows, 2 * columns, n)
    return x[:, 1 : 1 + shape[0], 1 : 1 + shape[1]]


def _conv_by_patches(x: Array, w: Array, dtype: str) -> Array:
    c, height, width, n = x.shape
    out, rows, columns = w.shape[-1], half(height), half(width)
    blocks = _to_blocks(x)
    pairs = jnp.stack([blocks[..., :-1, :], blocks[..., 1:, :]])  # the two blocks side by side
    if _whole_patches(c, out):
        patches = jnp.stack([pairs[..., :-1, :, :], pairs[..., 1:, :, :]]).reshape(16 * c, -1)
        kernel = _split(w).transpose(5, 0, 2, 1, 3, 4).reshape(out, 16 * c)
        return matmul(kernel, patches, dtype).reshape(out, rows, columns, n)
    kernel = _split(w).transpose(0, 5, 2, 1, 3, 4).reshape(2 * out, 8 * c)
    sums = matmul(kernel, pairs.reshape(8 * c, -1), dtype).reshape(2, out, rows + 1, columns, n)
    return sums[0, :, :-1] + sums[1, :, 1:]


def _conv_transpose_by_patches(y: Array, w: Array, shape: tuple[int, int], dtype: str) -> Array:
    out, rows, columns, n = y.shape
    c = w.shape[2]
    if _whole_patches(c, out):
        kernel = _split(w).transpose(0, 2, 1, 3, 4, 5).reshape(16 * c, out)
        patches = matmul(kernel, y.reshape(out, -1), dtype).reshape(2, 2, 2, 2, c, rows, columns, n)
        pairs = _overlap(patches, axis=-3)
    else:
        kernel = _split(w).transpose(2, 1, 3, 4, 0, 5).reshape(8 * c, 2 * out)
        above, below = _shifts(y, 1)
        both = jnp.stack([above, below]).reshape(2 * out, -1)
        pairs = matmul(kernel, both, dtype).reshape(2, 2, 2, c, rows + 1, columns, n)
    return _from_blocks(_overlap(pairs, axis=-2), shape)


def _shifts(x: Array, axis: int) -> tuple[Array, Array]:
    """x with a zero after its end, and with one before its start, along `axis`."""
    pads = [[(0, 0)] * x.ndim for _ in range(2)]
    pads[0][axis], pads[1][axis] = (0, 1), (1, 0)
    return jnp.pad(x, pads[0]), jnp.pad(x, pads[1])


def _overlap(halves: Array, axis: int) -> Array:
    """Adds the second half (`halves[1]`), moved on by one along `axis`, to the first."""
    return _shifts(halves[0], axis)[0] + _shifts(halves[1], axis)[1]
