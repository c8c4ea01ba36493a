import jax
import numpy as np
from scipy.special import digamma, gammaln

from varinf.distributions._gamma_ratios import log_half_step


def test_half_a_step_in_single_precision():
    # by ln Γ in single precision the value is off by 3e-6, and its slope by as much of 1 / x
    x = np.geomspace(1e-4, 1e4, 300).astype(np.float32)
    value, slope = map(np.asarray, jax.jit(jax.vmap(jax.value_and_grad(log_half_step)))(x))
    exact = x.astype(np.float64)
    np.testing.assert_allclose(value, gammaln(exact + 0.5) - gammaln(exact) - 0.5 * np.log(exact), atol=1e-6)
    exact_slope = digamma(exact + 0.5) - digamma(exact) - 0.5 / exact
    np.testing.assert_allclose(slope * exact, exact_slope * exact, atol=1e-6)
