"""A VAE of discrete codes: fitted to the optimum that enumeration gives, and put to use."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

import varinf as vi
from varinf import distributions as vd
from varinf.train import make_optimizer

pytestmark = pytest.mark.usefixtures("float64")
KEY = jax.random.key(0)
CLASSES, SCALE = 3, 0.8


class Classes(eqx.Module):
    """q(z | x) of a class, which with a linear layer has the exact posterior of a mixture of normals of one scale."""

    weight: jax.Array
    bias: jax.Array

    def __call__(self, x):
        return vd.Categorical(logits=x @ self.weight + self.bias)


class Means(eqx.Module):
    means: jax.Array

    def __call__(self, z):
        return vd.Independent(vd.Normal(self.means[z], SCALE), 1)


class Signs(eqx.Module):
    weight: jax.Array

    def __call__(self, x):
        return vd.Independent(vd.Bernoulli(logits=x @ self.weight), 1)


class Linear(eqx.Module):
    weight: jax.Array

    def __call__(self, z):
        return vd.Independent(vd.Normal(z @ self.weight, SCALE), 1)


def mixture(means):
    prior = vd.Categorical(logits=jnp.zeros(CLASSES))
    return vi.VAE(prior, Classes(jnp.zeros((2, CLASSES)), jnp.zeros(CLASSES)), Means(jnp.asarray(means)))


def four_bits():
    rng = np.random.default_rng(0)
    prior = vd.Independent(vd.Bernoulli(probs=0.5 * jnp.ones(4)), 1)
    return vi.VAE(prior, Signs(jnp.asarray(rng.normal(size=(2, 4)))), Linear(jnp.asarray(rng.normal(size=(4, 2)))))


def log_joint(means, x):
    """ln p(x, z) of the mixture, `[n, classes]`."""
    square = ((x[:, None] - means) ** 2).sum(-1) / SCALE**2
    return -square / 2 - np.log(2 * np.pi * SCALE**2) - np.log(CLASSES)


@pytest.fixture
def rows(rng):
    centres = np.array([[-1.5, 0.0], [1.0, 1.2], [0.8, -1.4]])
    return centres[rng.integers(0, CLASSES, 60)] + SCALE * rng.normal(size=(60, 2)), centres + 0.4


@pytest.mark.parametrize("objective", [vi.ELBO(4), vi.IWAE(4)])
def test_a_fit_reaches_the_optimum(rows, objective):
    """That of the bounds is the largest likelihood, since the family has the exact posterior. With the encoder left
    where it starts, for want of a score-function gradient, the elbo would end 1.0 nats lower."""
    x, start = rows
    means = start
    for _ in range(200):  # EM
        posterior = scipy.special.softmax(log_joint(means, x), 1)
        means = posterior.T @ x / posterior.sum(0)[:, None]
    best = scipy.special.logsumexp(log_joint(means, x), 1).mean()

    optimizer = make_optimizer(learning_rate=0.05, schedule="cosine", total_steps=800)
    fit = vi.fit(mixture(start), x, objective=objective, optimizer=optimizer, epochs=800, key=KEY)
    joint, log_q = log_joint(np.asarray(fit.model.decoder.means), x), np.log(fit.model.encode(x).probs)
    elbo = (np.exp(log_q) * (joint - log_q)).sum(1)
    np.testing.assert_allclose(scipy.special.logsumexp(joint, 1).mean(), best, atol=1e-3)
    assert best - 0.005 < elbo.mean() <= best
    assert fit.monte_carlo == (("z",) if isinstance(objective, vi.IWAE) else ())


def test_figures_about_a_model_with_classes(rows):
    x, means = rows
    model = eqx.tree_at(lambda m: m.encoder.weight, mixture(means), jnp.asarray(means.T))
    joint, log_q = log_joint(means, x), np.log(model.encode(x).probs)
    elbo = vi.evaluate.elbo(model, x, 2000, key=KEY)
    np.testing.assert_allclose(elbo.elbo.mean(), (np.exp(log_q) * (joint - log_q)).sum(1).mean(), atol=0.02)
    np.testing.assert_allclose(elbo.kl, (np.exp(log_q) * (log_q + np.log(CLASSES))).sum(1), rtol=1e-10)
    estimate = vi.evaluate.log_likelihood(model, x, 4000, key=KEY)
    error = estimate.value - scipy.special.logsumexp(joint, 1)
    assert np.abs(error / estimate.stderr).max() < 4.5
    assert estimate.stderr.max() < 0.1


@pytest.mark.parametrize("make", [lambda: mixture([[-1.0, 0.0], [1.0, 1.0], [5.0, 5.0]]), four_bits])
def test_codes_are_drawn_and_decoded_as_the_decoder_takes_them(rows, make):
    x, model = rows[0], make()
    assert model.sample(7, key=KEY).shape == model.sample(7, key=KEY, mean=True).shape == (7, 2)
    probs = np.asarray(model.encode(x).probs if make is not four_bits else model.encode(x).base_dist.probs)
    # the most probable code: a decoder of whole numbers has nothing for the 1.3 that may be their mean
    code = probs.argmax(-1) if make is not four_bits else (probs > 0.5).astype(int)
    np.testing.assert_allclose(model.reconstruct(x), model.decode(jnp.asarray(code)).mean, rtol=1e-12)
