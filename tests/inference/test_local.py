"""Posteriors of single data under a fixed decoder, against those that are known."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import linear_gaussian as lg
import varinf as vi
from varinf import distributions as vd

pytestmark = pytest.mark.usefixtures("float64")

KEY = jax.random.key(0)
X = lg.data(300)  # more than one block


def test_the_exact_posterior_is_reached_from_the_prior():
    exact = lg.model("exact")
    found = vi.infer_local(lg.model(), X, start="prior", posterior="full_rank", elbo_tol=1e-4, key=KEY)
    assert found.converged.all()
    # near the exact posterior ln p − ln q is nearly the same for all draws
    np.testing.assert_allclose(found.elbo, lg.log_evidence(exact, X), atol=1e-3)
    assert (found.elbo_stderr < 1e-3).all()
    expected = exact.encoder(jnp.asarray(X))
    np.testing.assert_allclose(found.posterior.mean, expected.mean, atol=5e-3)
    covariance = np.broadcast_to(expected.covariance_matrix, (300, 2, 2))
    np.testing.assert_allclose(found.posterior.covariance_matrix, covariance, atol=5e-3)
    assert (found.steps > 0).all()


def test_the_best_of_a_family_from_a_bad_encoder_and_from_the_prior():
    """The precision of the mean-field optimum is the diagonal of the exact one's; its gap −½ ln |Λ diag(Λ)⁻¹|."""
    exact = lg.model("exact")
    precision = np.linalg.inv(np.asarray(exact.encoder(jnp.asarray(X[:1])).covariance_matrix[0]))
    gap = 0.5 * (np.log(np.diagonal(precision)).sum() - np.linalg.slogdet(precision)[1])
    assert gap > 0.01
    for start in ("encoder", "prior"):
        found = vi.infer_local(lg.model(), X, start=start, elbo_tol=1e-4, key=KEY)
        assert found.converged.all()
        missed = found.elbo - (lg.log_evidence(exact, X) - gap)
        # of all rows alike, whose draws are their own
        stderr = np.sqrt(np.mean(found.elbo_stderr**2))
        assert (np.abs(missed) < 5 * stderr).all()
        assert np.abs(missed.mean()) < 5 * stderr / 300**0.5 < gap / 3
        np.testing.assert_allclose(
            found.posterior.variance, np.broadcast_to(1 / np.diagonal(precision), X[:, :2].shape), rtol=1e-2
        )


@pytest.mark.parametrize("posterior", ["full_rank", "low_rank"])
def test_a_posterior_much_narrower_than_the_prior(posterior):
    narrow = eqx.tree_at(lambda model: model.decoder.log_noise, lg.model(), jnp.log(0.05))
    found = vi.infer_local(narrow, X, start="prior", posterior=posterior, elbo_tol=0.02, key=KEY)
    assert found.converged.all()
    # in the prior's coordinates some stopped where q has no correlations, and some on the way there
    missed = lg.log_evidence(narrow, X) - found.elbo
    assert missed.max() < 0.02


def test_chance_in_the_elbos_averages_out():
    x = np.repeat(X[:1], 200, axis=0)
    found = vi.infer_local(lg.model(), x, elbo_tol=1e-3, key=KEY)
    exact = vi.infer_local(lg.model(), x[:1], elbo_tol=1e-3, key=jax.random.key(1))
    # with the same draws for all, all of them would be the same
    assert found.elbo.std() == pytest.approx(np.sqrt(np.mean(found.elbo_stderr**2)), rel=0.3)
    assert abs(found.elbo.mean() - exact.elbo[0]) < 4 * exact.elbo_stderr[0]


def test_a_row_s_answer_does_not_depend_on_the_others():
    model = lg.model()
    all_rows = vi.infer_local(model, X, elbo_tol=1e-3, key=KEY)
    some = vi.infer_local(model, X[:7], elbo_tol=1e-3, key=KEY)
    np.testing.assert_array_equal(some.steps, all_rows.steps[:7])
    np.testing.assert_allclose(some.posterior.mean, all_rows.posterior.mean[:7], rtol=1e-9)
    np.testing.assert_allclose(some.elbo, all_rows.elbo[:7], rtol=1e-12)


def test_not_converged_is_said_of_each_row():
    found = vi.infer_local(lg.model(), X[:5], start="prior", elbo_tol=1e-6, max_steps=1, key=KEY)
    assert not found.converged.any()
    assert "0.0% of them converged" in str(found)


def test_errors():
    with pytest.raises(vi.InputError, match=r"unknown start 'priors'.*Did you mean 'prior'"):
        vi.infer_local(lg.model(), X, start="priors", key=KEY)
    with pytest.raises(vi.InputError, match="elbo_tol must be positive"):
        vi.infer_local(lg.model(), X, elbo_tol=0.0, key=KEY)
    with pytest.raises(vi.InputError, match="max_draws must be at least 64, got 32"):
        vi.infer_local(lg.model(), X, max_draws=32, key=KEY)
    discrete = vi.VAE(
        prior=vd.Independent(vd.Bernoulli(logits=jnp.zeros(2)), 1),
        encoder=lg.model().encoder,
        decoder=lg.model().decoder,
    )
    with pytest.raises(vi.InputError, match="vectors of real numbers, got a prior Independent"):
        vi.infer_local(discrete, X, key=KEY)
