import jax
import jax.numpy as jnp
import numpy as np
from numpyro.distributions import Independent, Normal

import varinf as vi
from varinf.report import _latents


def _vae(**settings):
    return vi.VAE.build(event_shape=(4, 3), latent_dim=3, hidden=(5,), key=jax.random.key(0), **settings)


def test_samples_are_a_function_of_the_key():
    model = _vae()
    means, draws = _latents.sample(model, 500, key=jax.random.key(1))
    again = _latents.sample(model, 500, key=jax.random.key(1))
    np.testing.assert_array_equal(means, again[0])
    np.testing.assert_array_equal(draws, again[1])
    assert not np.array_equal(means, _latents.sample(model, 500, key=jax.random.PRNGKey(2))[0])
    # the draws belong to the means: 6000 pixels, so a mean that differs by 0.05 would be 7 standard errors off
    assert abs(draws.mean() - means.mean()) < 0.025
    assert set(np.unique(draws)) == {0, 1}


def test_codes_are_counted_in_the_priors_own_units():
    class Parts:
        prior = Independent(Normal(jnp.array([1.0, -1.0]), jnp.array([2.0, 0.5])), 1)

    np.testing.assert_allclose(_latents.at_sigmas(Parts, np.array([[0.0, 0.0], [1.0, -2.0]])), [[1, -1], [3, -2]])
    assert _latents.latent_dim(Parts) == 2
    np.testing.assert_allclose(_latents.quantiles(3, 0.025), [-1.959964, 0, 1.959964], atol=1e-6)
