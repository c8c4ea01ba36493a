"""Rows to codes and back, in blocks."""

import jax
import numpy as np
import pytest

import varinf as vi
from varinf import evaluate


def _vae(**settings):
    return vi.VAE.build(event_shape=(4, 3), latent_dim=3, hidden=(5,), key=jax.random.key(0), **settings)


@pytest.mark.parametrize("count", [5, 300])
def test_chunks_change_nothing(count):
    model = _vae()
    rows = np.random.default_rng(0).integers(0, 2, (count, 4, 3)).astype(np.uint8)
    encoded = evaluate.encode(model, rows)
    q = model.encode(rows)
    np.testing.assert_allclose(encoded.means, q.mean, atol=1e-6)
    np.testing.assert_allclose(encoded.stds, np.sqrt(q.variance), atol=1e-6)
    exact = vi.distributions.kl_per_dimension(q, model.prior).mean(0)
    np.testing.assert_allclose(encoded.kl, exact, atol=1e-6)
    z = encoded.means.astype(np.float32)
    np.testing.assert_allclose(evaluate.decode(model, z), model.decode(z).mean, atol=1e-6)
    assert evaluate.event_shape(model) == (4, 3)


def test_a_table_is_standardised_once():
    rows = np.random.default_rng(0).normal(size=(50, 2)) * [1e-6, 1e6] + [0, 1e9]
    source = vi.data.ArraySource(rows)
    settings = {"likelihood": "gaussian", "summary": vi.data.summarize(source), "key": jax.random.key(0)}
    model = vi.VAE.build(event_shape=(2,), latent_dim=2, hidden=(5,), **settings)
    # twice would move the second column's codes by some 1000 standard deviations
    codes = evaluate.encode(model, rows).means
    np.testing.assert_allclose(codes, model.encode(rows).mean, atol=1e-5)
    # in single precision the second column would be in steps of 64
    decoded = evaluate.decode(model, codes)[:, 1]
    assert len(np.unique(decoded % 64)) > 40


def test_kl_by_latent_only_where_the_latents_factorise():
    rows = np.zeros((2, 4, 3), np.uint8)
    assert evaluate.encode(_vae(posterior="full_rank"), rows).kl is None
    assert evaluate.encode(_vae(), rows).kl.shape == (3,)


def test_activity_is_the_variance_of_the_means():
    codes = evaluate.Codes(np.array([[0.0, 1.0], [2.0, 1.0]]), np.ones((2, 2)), None)
    np.testing.assert_array_equal(codes.activity, [1.0, 0.0])
