import itertools

import jax
import numpy as np
from scipy.special import digamma, gammaln, polygamma

from varinf.distributions._gamma_ratios import kl_of_shapes, log_half_step


def test_half_a_step_in_single_precision():
    # by ln Γ in single precision the value is off by 3e-6, and its slope by as much of 1 / x
    x = np.geomspace(1e-4, 1e4, 300).astype(np.float32)
    value, slope = map(np.asarray, jax.jit(jax.vmap(jax.value_and_grad(log_half_step)))(x))
    exact = x.astype(np.float64)
    np.testing.assert_allclose(value, gammaln(exact + 0.5) - gammaln(exact) - 0.5 * np.log(exact), atol=1e-6)
    exact_slope = digamma(exact + 0.5) - digamma(exact) - 0.5 / exact
    np.testing.assert_allclose(slope * exact, exact_slope * exact, atol=1e-6)


def test_shapes_of_gammas_are_compared_in_single_precision():
    """By ln Γ and ψ in single precision, off by 1e-3 of it where they are as near as 1 and 1.001."""
    a, ratio = np.array(list(itertools.product(np.geomspace(1e-4, 60, 30), [1e-4, 0.3, 0.99, 1.01, 20]))).T
    a, alpha = np.float32(a), np.float32(a * ratio)
    got = jax.jit(jax.vmap(jax.value_and_grad(kl_of_shapes, (0, 1))))(a, alpha)
    value, (by_a, by_alpha) = jax.device_get(got)
    a, alpha = np.float64(a), np.float64(alpha)
    rho, slope = lambda x: gammaln(x) - x * np.log(x) + x, lambda x: digamma(x) - np.log(x)
    np.testing.assert_allclose(value, rho(alpha) - rho(a) - (alpha - a) * slope(a), rtol=2e-6)
    np.testing.assert_allclose(by_alpha, slope(alpha) - slope(a), rtol=2e-6)
    np.testing.assert_allclose(by_a, (a - alpha) * (polygamma(1, a) - 1 / a), rtol=2e-6)
