"""A model that is no VAE, and a VAE without an encoder, through the same fit, Terms and ELBO."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import linear_gaussian as lg
import varinf as vi
from varinf import distributions as vd
from varinf.likelihoods import AsGiven
from varinf.models import AbstractModel
from varinf.objectives import Draw, Latent, Terms
from varinf.posteriors import MeanField, PerDatum
from varinf.train import make_optimizer

pytestmark = pytest.mark.usefixtures("float64")


class NormalMean(AbstractModel):
    """The unknown mean of a Normal with standard deviation 1.5 under the prior N(0, 2²)."""

    q: jax.Array
    observation: AsGiven = AsGiven()

    def draw(self, batch, request, *, key):
        return Draw(MeanField()(self.q).rsample(key, (request.num_samples,)), None)

    def score(self, batch, draw, request):
        q, prior = MeanField()(self.q), vd.MultivariateNormalDiag(jnp.zeros(1), 2 * jnp.ones(1))
        q_score = jax.lax.stop_gradient(q) if request.stop_posterior else q
        kl = vd.kl_per_dimension(q, prior) if request.closed_form_kl else None
        latent = Latent("mean", prior.log_prob(draw.latents), q_score.log_prob(draw.latents), kl, is_global=True)
        return Terms(vd.Normal(draw.latents, 1.5).log_prob(batch.data), (latent,), batch)


X = np.array([0.5, -1.2, 0.3, 2.1, 1.4])
POSTERIOR_MEAN, POSTERIOR_SCALE, EVIDENCE = 0.5573034, 0.6359987, -9.1949151  # TABLES.md, exact cases


@pytest.mark.parametrize(("objective", "batch_size"), [(vi.ELBO(16), 2), (vi.ELBO(4, estimator="stl"), 5)])
def test_a_global_latent_reaches_its_exact_posterior(objective, batch_size):
    """Without the 1/N, q would end at N(.40, 1.20²); with the rows of a batch of two for N, at N(.48, .94²)."""
    steps = 4000 if batch_size == 2 else 1000
    epochs = steps // -(-len(X) // batch_size)
    optimizer = make_optimizer(learning_rate=0.02, schedule="cosine", total_steps=steps)
    fit = vi.fit(
        NormalMean(jnp.zeros(2)),
        X,
        objective=objective,
        optimizer=optimizer,
        batch_size=batch_size,
        epochs=epochs,
        key=jax.random.key(0),
    )
    q = MeanField()(fit.model.q)
    exact = objective.estimator == "stl"
    np.testing.assert_allclose(q.loc[0], POSTERIOR_MEAN, atol=1e-3 if exact else 0.02)
    np.testing.assert_allclose(q.scale_diag[0], POSTERIOR_SCALE, atol=1e-3 if exact else 0.02)
    # the bound of the fitted model over all the data is the evidence
    last = vi.fit(
        fit.model, X, objective=vi.ELBO(20_000), optimizer=optax.sgd(0.0), batch_size=5, epochs=1, key=jax.random.key(1)
    )
    elbo = len(X) * last.history["elbo"][0]
    assert elbo == pytest.approx(EVIDENCE, abs=0.03)
    assert last.history["kl"][0] * len(X) == pytest.approx(
        0.5 * (POSTERIOR_SCALE**2 / 4 + POSTERIOR_MEAN**2 / 4 - 1 - np.log(POSTERIOR_SCALE**2 / 4)), abs=0.02
    )
    if exact:
        # drawn at the exact posterior, ln p − ln q is the same for every draw
        stl = vi.fit(
            fit.model, X, objective=vi.ELBO(estimator="stl"), optimizer=optax.sgd(0.0), epochs=1, key=jax.random.key(2)
        )
        assert 5 * stl.history["elbo"][0] == pytest.approx(EVIDENCE, abs=5e-3)
        assert stl.monte_carlo == ("mean",)


def test_a_global_latent_and_iwae_do_not_go_together():
    with pytest.raises(vi.InputError, match="Use ELBO"):
        vi.fit(NormalMean(jnp.zeros(2)), X, objective=vi.IWAE(2), key=jax.random.key(0))


def test_a_posterior_for_each_datum_reaches_the_exact_one():
    """One latent and linear Gaussian data, so that the exact posterior is of the family."""
    x, exact = lg.data(23), lg.model("exact", dim=1)
    optimizer = make_optimizer(learning_rate=0.1, schedule="cosine", total_steps=3 * 400)
    settings = {"objective": vi.ELBO(2, estimator="stl"), "batch_size": 8}
    prior = vd.MultivariateNormalDiag(jnp.zeros(1), jnp.ones(1))
    start = vi.VAE(prior, PerDatum(len(x), 1), lambda z: exact.decoder(z))  # a decoder that stays as it is
    fit = vi.fit(start, x, optimizer=optimizer, epochs=400, **settings, key=jax.random.key(0))
    q, expected = fit.model.encoder.at(np.arange(len(x))), exact.encoder(jnp.asarray(x))
    np.testing.assert_allclose(q.loc, expected.mean, atol=1e-5)
    np.testing.assert_allclose(q.scale_diag, np.sqrt(expected.variance), atol=1e-5)
    # the bound is the evidence, which a row number off by one would miss by nats
    evidence = float(lg.log_evidence(exact, x).mean())
    last = vi.fit(fit.model, x, optimizer=optax.sgd(0.0), epochs=1, **settings, key=jax.random.key(1))
    assert last.history["elbo"][0] == pytest.approx(evidence, abs=1e-6)
