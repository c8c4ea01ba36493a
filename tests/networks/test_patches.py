"""The products of patches against XLA's own convolution, in values and in gradients."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from varinf.networks import _patches
from varinf.networks._patches import conv, conv_transpose, half

# height, width, channels in, channels out: even and odd sides, whole patches (4 in ≤ out) and halves.
SHAPES = [(8, 6, 1, 4), (5, 7, 2, 9), (7, 6, 4, 3), (1, 2, 2, 1)]
BATCH = 3


def reference(x, w):
    return lax.conv_general_dilated(x, w, (2, 2), "SAME", dimension_numbers=("CHWN", "HWIO", "CHWN"))


def operands(rng, height, width, channels, out):
    x = jnp.asarray(rng.normal(size=(channels, height, width, BATCH)))
    w = jnp.asarray(rng.normal(size=(4, 4, channels, out)))
    y = jnp.asarray(rng.normal(size=(out, half(height), half(width), BATCH)))
    return x, w, y


def assert_close(got, expected):
    # Sums of up to 64 terms of order one: rounding is 1e-14, one wrong tap is of order one.
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-12), got, expected)


@pytest.fixture(params=["patches", "lax"])
def way(request, monkeypatch):
    monkeypatch.setattr(_patches, "_by_patches", lambda: request.param == "patches")


@pytest.mark.usefixtures("float64", "way")
@pytest.mark.parametrize("shape", SHAPES)
class TestAgainstXla:
    def test_conv(self, rng, shape):
        x, w, y = operands(rng, *shape)
        with_gradients = lambda f: jax.jit(lambda x, w, y: (f(x, w), jax.vjp(f, x, w)[1](y)))  # noqa: E731
        assert_close(with_gradients(conv)(x, w, y), with_gradients(reference)(x, w, y))

    def test_conv_transpose(self, rng, shape):
        x, w, y = operands(rng, *shape)

        def got(y, w):
            return conv_transpose(y, w, shape[:2])

        def expected(y, w):
            return jax.vjp(lambda x: reference(x, w), jnp.zeros_like(x))[1](y)[0]

        with_gradients = lambda f: jax.jit(lambda y, w, x: (f(y, w), jax.vjp(f, y, w)[1](x)))  # noqa: E731
        assert_close(with_gradients(got)(y, w, x), with_gradients(expected)(y, w, x))


@pytest.mark.usefixtures("float64")
def test_forward_derivative(rng):
    x, w, _ = operands(rng, 7, 6, 2, 3)
    step = jnp.asarray(rng.normal(size=x.shape))
    # Linear in x, so the derivative along a step is the convolution of the step.
    assert_close(jax.jvp(lambda x: conv(x, w), (x,), (step,))[1], reference(step, w))


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("shape", [(8, 6, 1, 4), (7, 5, 4, 3)])
def test_bfloat16_rounds_the_operands_alone(rng, shape):
    plain = [a.astype(jnp.float32) for a in operands(rng, *shape)]
    rounded = [a.astype(jnp.bfloat16).astype(jnp.float32) for a in plain]

    @partial(jax.jit, static_argnums=3)
    def both(x, w, y, dtype):
        return jnp.ravel(conv(x, w, dtype)), jnp.ravel(conv_transpose(y, w, shape[:2], dtype))

    got, expected, exact = both(*plain, "bfloat16"), both(*rounded, "float32"), both(*plain, "float32")
    for a, b, c in zip(got, expected, exact, strict=True):
        assert a.dtype == jnp.float32
        # Sums rounded to bfloat16, too, would be off by 4e-3 of their size, which is 10.
        np.testing.assert_allclose(a, b, rtol=0, atol=2e-5)
        assert np.abs(a - c).max() > 1e-3


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_gradients_keep_the_parameters_type(rng, dtype):
    x, w, y = (a.astype(jnp.float32) for a in operands(rng, 6, 5, 3, 2))
    exact = jax.grad(lambda w: jnp.sum(y * reference(x, w)))(w)
    got = jax.grad(lambda w: jnp.sum(y * conv(x, w, dtype)))(w)
    assert got.dtype == jnp.float32
    assert float(jnp.linalg.norm(got - exact) / jnp.linalg.norm(exact)) < (1e-5 if dtype == "float32" else 1e-2)
