import jax
import jax.numpy as jnp
import numpy as np
import pytest

from varinf import distributions as vd
from varinf.posteriors._weights import MeanFieldWeights


@pytest.mark.parametrize("drawn", [False, True])
@pytest.mark.parametrize("prior_shape", [(), (70,), (90, 1), (90, 70)])
def test_the_kl_of_a_large_array_under_priors_of_any_shape(float64, rng, prior_shape, drawn):
    """One distribution for all weights, for each column or row, or for each weight; and the gradient, which learned
    scales follow."""
    loc, log_scale = rng.normal(size=(2, 90, 70))
    prior_loc, prior_scale = rng.normal(size=prior_shape), rng.uniform(0.5, 2, size=prior_shape)
    q = MeanFieldWeights(jnp.asarray(loc), jnp.asarray(log_scale))

    def kl(prior_scale):
        return q.kl([vd.Normal(jnp.asarray(prior_loc), prior_scale)], drawn=drawn).sum()

    value, slope = jax.value_and_grad(kl)(jnp.asarray(prior_scale))
    squares = np.exp(2 * log_scale) + (loc - prior_loc) ** 2
    expected = np.log(prior_scale) - log_scale + squares / (2 * prior_scale**2) - 0.5
    np.testing.assert_allclose(value, expected.sum(), rtol=1e-12)
    by_weight = np.broadcast_to(1 / prior_scale - squares / prior_scale**3, loc.shape)
    for axis, size in enumerate((1, 1, *prior_shape)[-2:]):
        if size == 1:
            by_weight = by_weight.sum(axis, keepdims=True)
    np.testing.assert_allclose(slope, by_weight.reshape(prior_shape), rtol=1e-9)
