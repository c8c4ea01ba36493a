import jax
import numpy as np

from varinf.distributions._excess import excess, log_ratio


def test_digits_and_slopes_in_single_precision():
    """Of r − 1 − ln r as it stands none is left at 1 + 1e-4, and a tenth is lost of ln r at 1 + 1e-6."""
    t = np.float32([s * x for s in (-1, 1) for x in (0, 1e-15, 1e-6, 1e-3, 0.1, 0.499, 0.501, 3, 80)])
    value, slope = jax.jit(jax.vmap(jax.value_and_grad(excess)))(t)
    with jax.enable_x64(True):
        exact = np.float64(t)
        series = exact**2 * (1 / 2 + exact / 6 + exact**2 / 24 + exact**3 / 120)
        closed = np.expm1(exact) - exact
        expected = np.where(np.abs(exact) < 0.01, series, closed)
        np.testing.assert_allclose(value, expected, rtol=1e-6)
        np.testing.assert_allclose(excess(exact), expected, rtol=1e-12)
        np.testing.assert_allclose(slope, np.expm1(exact), rtol=1e-6)

    x, y = np.float32([1e6, 1e6 + 1, 1e6, 3, 1e-20, 1e20]), np.float32([1e6 + 1, 1e6, 1e6, 1e-3, 1, 1e-15])
    log, slopes = jax.jit(jax.vmap(jax.value_and_grad(log_ratio, (0, 1))))(x, y)
    np.testing.assert_allclose(log, np.log(np.float64(x)) - np.log(np.float64(y)), rtol=1e-6)
    np.testing.assert_allclose(slopes, (1 / x, -1 / y), rtol=1e-6)
