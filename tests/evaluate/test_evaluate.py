"""The figures about a fitted model, against a VAE whose evidence is known."""

import jax
import numpy as np
import pytest

import linear_gaussian
import varinf as vi

KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def binarised():
    """A small VAE of grey images, binarised dynamically, and some of them."""
    x = np.random.default_rng(0).integers(0, 17, (230, 4, 3)).astype(np.uint8)
    vae = vi.VAE.build(event_shape=(4, 3), hidden=(8,), binarize="dynamic", scale=16, key=jax.random.key(1))
    return vae, x


def test_exact_posterior_gives_the_evidence_without_noise(float64):
    x = linear_gaussian.data(60)  # more than one block of rows
    vae = linear_gaussian.model("exact")
    exact = np.asarray(linear_gaussian.log_evidence(vae, x))
    for num_samples in (1, 7, 250):
        estimate = vi.evaluate.log_likelihood(vae, x, num_samples, key=KEY)
        np.testing.assert_allclose(estimate.value, exact, atol=1e-9)
        # one draw says nothing of how far others lie
        assert np.isnan(estimate.stderr).all() if num_samples == 1 else estimate.stderr.max() < 1e-6
    np.testing.assert_allclose(vi.evaluate.elbo(vae, x, key=KEY).elbo.mean(), exact.mean(), atol=0.5)


def test_estimate_lies_within_its_standard_error_and_above_the_elbo(float64):
    x = linear_gaussian.data(200)
    vae = linear_gaussian.model("off")
    exact = np.asarray(linear_gaussian.log_evidence(vae, x))
    estimate = vi.evaluate.log_likelihood(vae, x, 2000, key=KEY)
    standardised = (estimate.value - exact) / estimate.stderr
    # a mean of ln w in place of ln of the mean of w would lie hundreds of standard errors below
    assert abs(standardised.mean()) < 4 / 200**0.5 + 0.1
    assert 0.8 < standardised.std() < 1.25
    bound = vi.evaluate.elbo(vae, x, 500, key=KEY)
    assert (bound.elbo < exact + 0.2).all()
    assert bound.elbo.mean() < estimate.value.mean()
    np.testing.assert_allclose(bound.elbo, bound.reconstruction - bound.kl)


def test_number_of_samples_need_not_fill_the_blocks_of_draws(float64):
    # 150 draws are one block and a half: the rest of the second must not count
    x = linear_gaussian.data(400)
    vae = linear_gaussian.model("off")
    few, many = (vi.evaluate.log_likelihood(vae, x, s, key=KEY) for s in (150, 200))
    ratio = (few.stderr / many.stderr).mean()
    assert 1.05 < ratio < 1.27  # the root of 200 / 150 is 1.155


def test_row_is_scored_alike_whatever_rows_come_after(binarised):
    vae, x = binarised
    whole = vi.evaluate.log_likelihood(vae, x, 50, key=KEY)
    first = vi.evaluate.log_likelihood(vae, x[:70], 50, key=KEY)
    np.testing.assert_array_equal(whole.value[:70], first.value)
    np.testing.assert_array_equal(
        vi.evaluate.elbo(vae, x, key=KEY).elbo[:70], vi.evaluate.elbo(vae, x[:70], key=KEY).elbo
    )


def test_row_is_scored_by_its_number_wherever_it_stands(binarised):
    vae, x = binarised
    order = np.random.default_rng(1).permutation(len(x))
    whole = vi.evaluate.log_likelihood(vae, x, 50, key=KEY)
    shuffled = vi.evaluate.log_likelihood(vae, x[order], 50, numbers=order, key=KEY)
    np.testing.assert_array_equal(shuffled.value, whole.value[order])


def test_other_numbers_of_rows_and_samples_do_not_compile_again(binarised, compilations):
    vae, x = binarised
    vi.evaluate.log_likelihood(vae, x, 200, key=KEY)
    compilations.clear()
    vi.evaluate.log_likelihood(vae, x[:61], 350, key=jax.random.key(5))
    assert not compilations


def test_both_figures_are_about_the_same_binarised_pixels(binarised):
    # With the code switched off, elbo and ln p(x) are the same number if and only if the pixels are.
    vae, x = binarised
    blind = vi.VAE(vae.prior, lambda x: _prior_for(vae, x), lambda z: vae.decoder(0 * z), vae.observation)
    bound = vi.evaluate.elbo(blind, x, key=KEY)
    estimate = vi.evaluate.log_likelihood(blind, x, 10, key=KEY)
    np.testing.assert_allclose(bound.elbo, estimate.value, atol=1e-4)


def _prior_for(vae, x):
    import jax.numpy as jnp

    loc = jnp.zeros((len(x), *vae.prior.event_shape))
    return vi.distributions.MultivariateNormalDiag(loc, jnp.ones_like(loc))


def test_what_cannot_be_observed_is_refused(binarised):
    vae, x = binarised
    with pytest.raises(vi.InputError, match="got values from 1 to 17"):
        vi.evaluate.log_likelihood(vae, x + np.uint8(1), 10, key=KEY)
    with pytest.raises(vi.InputError, match=r"one for each of the 230 rows, got shape \(3,\)"):
        vi.evaluate.log_likelihood(vae, x, 10, numbers=np.arange(3), key=KEY)
    with pytest.raises(vi.InputError, match="at least 1"):
        vi.evaluate.log_likelihood(vae, x, 0, key=KEY)
    with pytest.raises(vi.InputError, match="num_samples must be at least 1"):
        vi.evaluate.elbo(vae, x, 0, key=KEY)  # or NaN


@pytest.mark.parametrize("estimator", ["local", "weights"])
@pytest.mark.parametrize("figure", [vi.evaluate.log_likelihood, vi.evaluate.elbo])
def test_a_global_latent_is_refused(figure, estimator):
    network, x = vi.networks.MLP((3,), (1,), (2,), key=KEY), np.zeros((4, 3), np.float32)
    model = vi.BayesianNetwork(network, vi.likelihoods.Gaussian(), estimator=estimator, key=KEY)
    with pytest.raises(vi.InputError, match=r"'weights' is one for all rows; .* take predict"):
        figure(model, (x, x[:, :1]), 10, key=KEY)
