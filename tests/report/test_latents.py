import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro.distributions import Independent, Normal

import varinf as vi
from varinf.report import _latents


def _vae(**settings):
    return vi.VAE.build(event_shape=(4, 3), latent_dim=3, hidden=(5,), key=jax.random.key(0), **settings)


@pytest.mark.parametrize("count", [5, 300])
def test_chunks_change_nothing(count):
    model = _vae()
    rows = np.random.default_rng(0).integers(0, 2, (count, 4, 3)).astype(np.uint8)
    encoded = _latents.encode(model, rows)
    q = model.encode(rows)
    np.testing.assert_allclose(encoded.means, q.mean, atol=1e-6)
    exact = vi.distributions.kl_per_dimension(q, model.prior).mean(0)
    np.testing.assert_allclose(encoded.kl, exact, atol=1e-6)
    z = encoded.means.astype(np.float32)
    np.testing.assert_allclose(_latents.decode(model, z), model.decode(z).mean, atol=1e-6)


def test_a_table_is_standardised_once():
    rows = np.random.default_rng(0).normal(size=(50, 2)) * [1e-6, 1e6] + [0, 1e9]
    source = vi.data.ArraySource(rows)
    settings = {"likelihood": "gaussian", "summary": vi.data.summarize(source), "key": jax.random.key(0)}
    model = vi.VAE.build(event_shape=(2,), latent_dim=2, hidden=(5,), **settings)
    # twice would move the second column's codes by some 1000 standard deviations
    np.testing.assert_allclose(_latents.encode(model, rows).means, model.encode(rows).mean, atol=1e-5)


def test_kl_by_latent_only_where_the_latents_factorise():
    rows = np.zeros((2, 4, 3), np.uint8)
    assert _latents.encode(_vae(posterior="full_rank"), rows).kl is None
    assert _latents.encode(_vae(), rows).kl.shape == (3,)


def test_activity_is_the_variance_of_the_means():
    codes = _latents.Codes(np.array([[0.0, 1.0], [2.0, 1.0]]), None)
    np.testing.assert_array_equal(codes.activity, [1.0, 0.0])


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
