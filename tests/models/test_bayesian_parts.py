"""Random weights beside a model's own latents."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import varinf as vi
from varinf import distributions as vd
from varinf.models import BayesianParts
from varinf.objectives import Batch, Request, value_and_grad

pytestmark = pytest.mark.usefixtures("float64")


def vae():
    return vi.VAE.build(event_shape=(6,), latent_dim=2, hidden=(5,), likelihood="gaussian", key=jax.random.key(0))


def batch(rows, num_data):
    size = len(rows)
    return Batch(rows, jnp.arange(size), jnp.ones(size, bool), jnp.asarray(num_data), jnp.zeros((), jnp.int32))


def metrics(model, rows, num_samples, num_data, key=0):
    params, fixed = eqx.partition(model, eqx.is_inexact_array)
    data = batch(rows, num_data)
    return eqx.filter_jit(value_and_grad)(vi.ELBO(num_samples), params, fixed, data, key=jax.random.key(key))[1:3]


def test_a_vae_with_a_bayesian_decoder_has_both_kls():
    """That of the codes is a mean over data, that of the weights is divided by their number."""
    rows = jnp.asarray(np.random.default_rng(0).normal(size=(7, 6)))
    plain = vae()
    model = BayesianParts(plain, lambda m: m.decoder.network, vd.Normal(0.0, 2.0), scale=1e-9, key=jax.random.key(1))
    q = model.weights.posterior
    weights_kl = float(q.kl(model.weights.prior(q.mean())).sum())
    found, gradient = metrics(model, rows, 3, 1000)
    own, _ = metrics(plain, rows, 3, 1000)
    assert float(found["kl"]) == pytest.approx(float(own["kl"]) + weights_kl / 1000, rel=1e-6)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


def test_codes_see_the_weights_they_were_drawn_with():
    """Sticking the landing and the plain bound agree in the mean: draws, weights and terms belong together."""
    rows = jnp.asarray(np.random.default_rng(0).normal(size=(4, 6)))
    model = BayesianParts(vae(), lambda m: m.decoder.network, scale=0.5, key=jax.random.key(1))
    request = Request(3, closed_form_kl=True, stop_posterior=False)
    data = batch(rows, 100)

    @eqx.filter_jit
    def scored_and_by_hand(model):
        draw = model.draw(data, request, key=jax.random.key(2))
        weights = [jax.tree.map(lambda leaf, s=s: leaf[s], draw.latents[0]) for s in range(3)]
        by_hand = [model.at(weights[s]).decoder(draw.latents[1][s]).log_prob(rows)[0] for s in range(3)]
        return model.score(data, draw, request), by_hand

    terms, by_hand = scored_and_by_hand(model)
    assert terms.log_likelihood.shape == (3, 4)
    assert [latent.name for latent in terms.latents] == ["z", "weights"]
    np.testing.assert_allclose(terms.log_likelihood, by_hand, rtol=1e-9)


def test_it_is_fitted_as_all_models_are():
    rows = np.random.default_rng(0).normal(size=(64, 6))
    model = BayesianParts(vae(), lambda m: m.decoder.network, vd.Normal(0.0, 0.3), key=jax.random.key(1))
    fit = vi.fit(model, rows, epochs=20, key=jax.random.key(2))
    assert fit.history["elbo"][-1] > fit.history["elbo"][0]
    one = fit.model.sampled(key=jax.random.key(3))
    assert one.reconstruct(rows[:2]).shape == (2, 6)
    with pytest.raises(vi.InputError, match="no float arrays"):
        BayesianParts(vae(), lambda m: m.prior, key=jax.random.key(1))
