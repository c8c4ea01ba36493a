"""Score-function gradients against their exact expectation: all draws that there are, with their probabilities."""

import dataclasses
import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import linear_gaussian as lg
import varinf as vi
from varinf import distributions as vd
from varinf._tree import trainable
from varinf.likelihoods import AsGiven
from varinf.models import AbstractModel
from varinf.objectives import ELBO, IWAE, Draw, Latent, Renyi, Terms, value_and_grad

pytestmark = pytest.mark.usefixtures("float64")
KEY = jax.random.key(0)
X = np.array([[0.4, -1.1]])


class Linear(eqx.Module):
    """A layer, and what its output means."""

    weight: jax.Array
    bias: jax.Array
    meaning: object = eqx.field(static=True)

    def __call__(self, x):
        return self.meaning(x @ self.weight + self.bias)


def bernoullis(logits):
    return vd.Independent(vd.Bernoulli(logits=logits), 1)


def categorical(logits):
    return vd.Categorical(logits=logits)


def noisy(mean):
    return vd.Independent(vd.Normal(mean, 0.8), 1)


def layer(inputs, outputs, meaning, seed):
    rng = np.random.default_rng(seed)
    return Linear(jnp.asarray(rng.normal(size=(inputs, outputs))), jnp.asarray(rng.normal(size=outputs)), meaning)


class OneHotDecoder(eqx.Module):
    layer: Linear

    def __call__(self, z):
        return self.layer(jax.nn.one_hot(z, len(self.layer.weight)))


def three_bernoullis():
    prior = bernoullis(jnp.array([0.3, -0.5, 1.0]))
    return vi.VAE(prior, layer(2, 3, bernoullis, 0), layer(3, 2, noisy, 1)), np.array([*np.ndindex(2, 2, 2)])


def four_classes():
    prior = categorical(jnp.array([0.1, 0.5, -0.2, 0.3]))
    return vi.VAE(prior, layer(2, 4, categorical, 2), OneHotDecoder(layer(4, 2, noisy, 3))), np.arange(4)


class Mixed(AbstractModel):
    """A class, and a number whose posterior depends on the class, by fixed noise."""

    encoder: Linear
    locs: jax.Array
    log_scales: jax.Array
    decoder: Linear
    observation: AsGiven = AsGiven()

    def draw(self, batch, request, *, key):
        raise NotImplementedError  # `Given` draws

    def reparameterised(self, batch, label):
        noise = jnp.linspace(-1.5, 2.0, label.size).reshape(label.shape)
        return {"class": label, "number": self.number(batch, label).loc + jnp.exp(self.log_scales[label]) * noise}

    def number(self, batch, label):
        return vd.Normal(self.locs[label] + batch.data[:, 0] * self.locs[-1], jnp.exp(self.log_scales[label]))

    def score(self, batch, draw, request):
        label, number = draw.latents["class"], draw.latents["number"]
        q, prior = self.encoder(batch.data), vd.Categorical(logits=jnp.array([0.2, 0.1, -0.4]))
        kl = vd.kl_per_dimension(q, prior) if request.closed_form_kl else None
        log_q = self.number(batch, label).log_prob(number)
        x = jnp.concatenate([jax.nn.one_hot(label, 3), number[..., None]], -1)
        latents = (
            Latent("class", prior.log_prob(label), q.log_prob(label), kl, reparameterized=False),
            Latent("number", vd.Normal(0.0, 1.0).log_prob(number), log_q, None),
        )
        return Terms(self.decoder(x).log_prob(batch.data), latents, batch)


def a_class_and_a_number():
    locs, log_scales = jnp.array([0.5, -1.0, 0.3, 0.4]), jnp.array([-0.5, 0.2, 0.1])
    return Mixed(layer(2, 3, categorical, 4), locs, log_scales, layer(4, 2, noisy, 5)), np.arange(3)


class Given(AbstractModel):
    """A model whose discrete draws are given, `[samples, 1, ...]`."""

    model: AbstractModel
    z: jax.Array
    observation: AsGiven = AsGiven()

    def draw(self, batch, request, *, key):
        if isinstance(self.model, Mixed):
            return Draw(self.model.reparameterised(batch, self.z), None)
        return Draw(self.z, self.model.encoder(batch.data))

    def score(self, batch, draw, request):
        return self.model.score(batch, draw, request)


def exact_and_expected(objective, model, values, batch):
    """The derivative of the expected loss, by enumeration, and the expectation of what `value_and_grad` gives."""
    num_samples = objective.num_samples
    tuples = jnp.asarray([*itertools.product(values, repeat=num_samples)])[:, :, None]
    params, fixed = eqx.partition(model, trainable(model))

    def probability(params, z):
        return jnp.exp(eqx.combine(params, fixed).encoder(batch.data).log_prob(z).sum())

    def loss(params, z):
        given = Given(eqx.combine(params, fixed), z)
        drawn = given.draw(batch, objective.request, key=KEY)
        terms = given.score(batch, drawn, objective.request)
        # as the function of its terms that the loss is, without score-function terms
        plain = tuple(dataclasses.replace(latent, reparameterized=True) for latent in terms.latents)
        return objective.loss(dataclasses.replace(terms, latents=plain))[0]

    @jax.jit
    def exact(params):
        return jax.grad(lambda p: jax.vmap(lambda z: probability(p, z) * loss(p, z))(tuples).sum())(params)

    @jax.jit
    def expected(params):
        def one(z):
            given = Given(eqx.combine(params, fixed), z)
            parts = eqx.partition(given, trainable(given))
            value, metrics, gradient = value_and_grad(objective, *parts, batch, key=KEY)
            chance = probability(params, z)
            # the surrogate must not show in a value
            return jax.tree.map(lambda leaf: chance * leaf, gradient.model), chance, value - metrics["loss"]

        gradient, chances, differences = jax.vmap(one)(tuples)
        return jax.tree.map(lambda leaf: leaf.sum(0), gradient), chances.sum(), jnp.abs(differences).max()

    (gradient, total, difference) = expected(params)
    np.testing.assert_allclose(total, 1, rtol=1e-12)
    assert difference == 0
    return flat(exact(params)), flat(gradient)


def flat(tree):
    return np.concatenate([np.asarray(leaf).reshape(-1) for leaf in jax.tree.leaves(tree)])


CASES = {
    "elbo": (three_bernoullis, ELBO(2)),
    "elbo, 3 draws": (four_classes, ELBO(3)),
    "elbo, Monte Carlo": (three_bernoullis, ELBO(2, kl="monte_carlo")),
    "elbo, beta": (four_classes, ELBO(2, beta=0.3, kl="monte_carlo")),
    "elbo, free bits": (three_bernoullis, ELBO(2, free_bits=0.3)),
    "iwae": (three_bernoullis, IWAE(2)),
    "iwae, 3 draws": (four_classes, IWAE(3)),
    "renyi": (four_classes, Renyi(-1.0, 3)),
    "mixed, elbo": (a_class_and_a_number, ELBO(3)),
    "mixed, beta": (a_class_and_a_number, ELBO(2, beta=0.3, kl="monte_carlo")),
    "mixed, iwae": (a_class_and_a_number, IWAE(3)),
    "mixed, renyi": (a_class_and_a_number, Renyi(0.5, 3)),
}


@pytest.mark.parametrize("name", CASES)
def test_the_expected_gradient_is_the_derivative_of_the_expected_loss(name):
    """With a draw in its own baseline, the score term would be (S − 1)/S of itself; without the term, nothing."""
    make, objective = CASES[name]
    model, values = make()
    exact, expected = exact_and_expected(objective, model, values, lg.batch(X))
    np.testing.assert_allclose(expected, exact, atol=1e-10)
    assert np.abs(exact).max() > 0.05
