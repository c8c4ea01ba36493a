"""Score-function gradients against their exact expectation: all draws that there are, with their probabilities."""

import dataclasses
import itertools
from typing import Any

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


class OfAllAndOfEach(AbstractModel):
    """A class of the whole data set, and one of each datum whose posterior and datum depend on it."""

    logits: jax.Array
    own_logits: jax.Array
    locs: jax.Array
    observation: AsGiven = AsGiven()

    def draw(self, batch, request, *, key):
        raise NotImplementedError  # `Given` draws

    def posteriors(self, z):
        return vd.Categorical(logits=self.logits), vd.Categorical(logits=self.own_logits[z["all"]][:, None])

    def log_chance(self, z):
        of_all, of_each = self.posteriors(z)
        return of_all.log_prob(z["all"]).sum() + of_each.log_prob(z["each"])[:, :2].sum()

    def score(self, batch, draw, request):
        z = draw.latents
        of_all, of_each = self.posteriors(z)
        prior, own_prior = vd.Categorical(logits=jnp.array([0.3, -0.2])), vd.Categorical(logits=jnp.zeros(2))
        kl = vd.kl_per_dimension(of_all, prior) if request.closed_form_kl else None
        log_q, own_log_q = of_all.log_prob(z["all"]), of_each.log_prob(z["each"])
        latents = (
            Latent("all", prior.log_prob(z["all"]), log_q, kl, is_global=True, reparameterized=False),
            Latent("each", own_prior.log_prob(z["each"]), own_log_q, None, reparameterized=False),
        )
        return Terms(noisy(self.locs[z["all"][:, None], z["each"]]).log_prob(batch.data), latents, batch)


class Given(AbstractModel):
    """A model whose discrete draws are given, `[samples, 1, ...]`."""

    model: AbstractModel
    z: Any
    observation: AsGiven = AsGiven()

    def draw(self, batch, request, *, key):
        if isinstance(self.model, Mixed):
            return Draw(self.model.reparameterised(batch, self.z), None)
        if isinstance(self.model, OfAllAndOfEach):
            return Draw(self.z, None)
        return Draw(self.z, self.model.encoder(batch.data))

    def score(self, batch, draw, request):
        return self.model.score(batch, draw, request)


def all_tuples(objective, values):
    return jnp.asarray([*itertools.product(values, repeat=objective.num_samples)])[:, :, None]


def exact_and_expected(objective, model, tuples, batch):
    """The derivative of the expected loss, by enumeration, and the expectation of what `value_and_grad` gives."""
    params, fixed = eqx.partition(model, trainable(model))

    def probability(params, z):
        model = eqx.combine(params, fixed)
        return jnp.exp(
            model.log_chance(z) if isinstance(model, OfAllAndOfEach) else model.encoder(batch.data).log_prob(z).sum()
        )

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
            value, metrics, gradient, _ = value_and_grad(objective, *parts, batch, key=KEY)
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
    """With a draw in its own baseline, it would be off by 0.2 or more (elbo, of which the term would be (S − 1)/S) and
    by 0.006 or more (iwae, renyi); without ln q in the weights, by 0.07 or more."""
    make, objective = CASES[name]
    model, values = make()
    exact, expected = exact_and_expected(objective, model, all_tuples(objective, values), lg.batch(X))
    np.testing.assert_allclose(expected, exact, atol=1e-10)
    assert np.abs(exact).max() > 0.05


@pytest.mark.parametrize("kl", ["auto", "monte_carlo"])
def test_a_global_latent_gets_the_whole_data_sets_share(kl):
    """Three rows of thirty, of which the last only fills up: it has neither a chance nor a weight."""
    rng = np.random.default_rng(7)
    logits, own_logits, locs = (jnp.asarray(rng.normal(size=shape)) for shape in ((2,), (2, 2), (2, 2, 2)))
    objective, batch = ELBO(2, kl=kl), lg.batch([[0.4, -1.1], [1.3, 0.2], [100.0, 100.0]], [True, True, False], 30)
    tuples = np.array([*itertools.product(np.ndindex(2, 2, 2), repeat=2)])
    each = np.concatenate([tuples[..., 1:], np.zeros_like(tuples[..., :1])], -1)
    draws = {"all": jnp.asarray(tuples[..., 0]), "each": jnp.asarray(each)}
    exact, expected = exact_and_expected(objective, OfAllAndOfEach(logits, own_logits, locs), draws, batch)
    np.testing.assert_allclose(expected, exact, atol=1e-10)
    assert np.abs(exact).max() > 0.05


@eqx.filter_jit
def run_many(objective, model, x, keys):
    """Metrics and gradients for each key, with draws of the model's own."""
    params, fixed = eqx.partition(model, trainable(model))
    return jax.lax.map(lambda key: value_and_grad(objective, params, fixed, lg.batch(x), key=key)[1:3], keys)


def test_at_the_exact_posterior_there_is_no_noise():
    """VIMCO as published has no baseline for the weights' own gradient by ln q, and as much noise here as elsewhere."""
    model, values = four_classes()
    log_joint = model.prior.log_prob(values) + model.decoder(values).log_prob(X[0])
    exact = eqx.tree_at(lambda m: (m.encoder.weight, m.encoder.bias), model, (jnp.zeros((2, 4)), log_joint))
    keys = jax.random.split(KEY, 20)
    for objective in (ELBO(2, kl="monte_carlo"), IWAE(3)):
        metrics, gradients = run_many(objective, exact, X, keys)
        np.testing.assert_allclose(metrics[objective.bound], jax.nn.logsumexp(log_joint), rtol=1e-12)
        assert np.abs(flat(gradients.encoder)).max() < 1e-12
        assert np.abs(flat(gradients.decoder)).max() > 0.1
        off = run_many(objective, model, X, keys)[1]
        assert np.abs(flat(off.encoder)).max() > 0.1


@pytest.mark.parametrize(("alpha", "named"), [(0, IWAE(3)), (1, ELBO(3, kl="monte_carlo"))])
def test_the_named_orders_of_renyi_agree_draw_by_draw(alpha, named):
    model, _ = three_bernoullis()
    keys = jax.random.split(KEY, 5)
    one, two = (run_many(objective, model, lg.data(4, 2), keys) for objective in (Renyi(alpha, 3), named))
    np.testing.assert_allclose(flat(one[1]), flat(two[1]), rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(one[0]["loss"], two[0]["loss"], rtol=1e-12)


@pytest.mark.parametrize("objective", [IWAE(3), Renyi(0.0, 3)])
def test_where_all_draws_but_one_are_impossible(objective):
    def loss(log_q):
        latent = Latent("z", jnp.zeros((3, 1)), log_q, None, reparameterized=False)
        terms = Terms(jnp.array([[-jnp.inf], [-1.0], [-jnp.inf]]), (latent,), lg.batch(X))
        return objective.loss(terms)[0]

    bound = -1 - np.log(3)
    np.testing.assert_allclose(jax.grad(loss)(jnp.zeros((3, 1))), [[0], [1 - bound], [0]], rtol=1e-12)


def test_draws_that_are_not_reparameterised_carry_no_gradient():
    """A mixture's draws are a function of its locations, but not one whose derivative is that of the expectation."""

    def mixture(locs):
        weights = vd.Categorical(probs=jnp.array([0.4, 0.6]))
        return vd.MixtureSameFamily(
            weights, vd.MultivariateNormalDiag(locs.reshape(*locs.shape[:-1], 2, 2), jnp.ones(2))
        )

    prior = vd.MultivariateNormalDiag(jnp.zeros(2), jnp.ones(2))
    model = vi.VAE(prior, layer(2, 4, mixture, 0), layer(2, 2, noisy, 1))
    params, fixed = eqx.partition(model, trainable(model))

    def total(params):
        return eqx.combine(params, fixed).draw(lg.batch(X), ELBO(2).request, key=KEY).latents.sum()

    assert (flat(jax.grad(total)(params)) == 0).all()
    gradient = run_many(ELBO(2), model, X, KEY[None])[1]
    assert np.abs(flat(gradient.encoder)).max() > 1e-3


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        (None, r"draws of z are not reparameterised.* need num_samples>=2 for the baseline; got 1"),
        (IWAE(1), "need num_samples>=2 for the baseline; got 1"),
        (Renyi(0.5, 1), "need num_samples>=2 for the baseline; got 1"),
        (ELBO(2, estimator="stl"), "estimator='stl' needs draws that gradients pass through, and those of z"),
        (IWAE(3, "dreg"), "estimator='dreg' needs draws that gradients pass through, and those of z"),
    ],
)
def test_what_cannot_be_estimated_is_refused(objective, message):
    with pytest.raises(vi.InputError, match=message):
        vi.fit(three_bernoullis()[0], lg.data(4, 2), objective=objective, key=KEY)
