"""Bayesian networks: the exact posterior of linear regression, the KL of any network, predictions, what is refused."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import varinf as vi
from varinf import distributions as vd
from varinf import likelihoods as vl
from varinf.models import FanInPrior, LearnedPrior, log_predictive, predictive_draws, sample_predictive
from varinf.networks import MLP, ConvEncoder
from varinf.objectives import Batch, value_and_grad
from varinf.posteriors import FullRank, LowRank, MeanField
from varinf.train import ivon, make_optimizer

T, Y = np.array([-2, -1, 0, 1, 2, 4.0]), np.array([-1.1, -0.2, 0.9, 2.3, 2.8, 5.1])
X = np.stack([np.ones(6), T], 1)
# TABLES.md, exact cases: prior precision 1, noise precision 4
MEAN, SCALE, ELBO = (0.9080625, 1.0311524), (0.2, 0.0975900), -6.5803853
FULL_SCALE, EVIDENCE = (0.2105291, 0.1027277), -6.5290788


class Linear(eqx.Module):
    w: jax.Array

    def __call__(self, x):
        return x @ self.w


def regression(**settings):
    likelihood = vl.Gaussian(scale=0.5)
    return vi.BayesianNetwork(Linear(jnp.array([0.1, 0.1])), likelihood, key=jax.random.key(0), **settings)


def loss_and_gradient(model, data, key, *, num_data=None, objective=None):
    params, fixed = eqx.partition(model, eqx.is_inexact_array)
    rows = len(data[0])
    batch = Batch(data, jnp.arange(rows), jnp.ones(rows, bool), jnp.asarray(num_data or rows), jnp.zeros((), jnp.int32))
    return eqx.filter_jit(value_and_grad)(objective or vi.ELBO(), params, fixed, batch, key=key)[:3]


def exact_elbo(q):
    """Of a mean-field q = N(m, s²) on the regression, in closed form."""
    m, s = np.asarray(q.loc.w), np.exp(np.asarray(q.log_scale.w))
    fit = -0.5 * 4 * (((Y - X @ m) ** 2).sum() + (X**2 @ s**2).sum()) + 6 * (np.log(2) - 0.5 * np.log(2 * np.pi))
    return fit - 0.5 * (s**2 + m**2 - 1 - 2 * np.log(s)).sum()


@pytest.mark.parametrize("estimator", ["weights", "local", "flipout"])
def test_linear_regression_ends_at_the_mean_field_optimum(float64, estimator):
    """Adam with a step size that falls to zero. A KL divided by anything but N moves the scales by a tenth and more."""
    steps = 2000
    optimizer = make_optimizer(learning_rate=0.01, schedule="cosine", total_steps=steps)
    model = eqx.tree_at(lambda m: m.posterior.loc.w, regression(estimator=estimator, scale=1.0), jnp.ones(2))
    fit = vi.fit(
        model,
        (X, Y),
        objective=vi.ELBO(512 if estimator == "weights" else 128),
        optimizer=optimizer,
        batch_size=6,
        epochs=steps,
        key=jax.random.key(1),
    )
    q = fit.model.posterior
    np.testing.assert_allclose(q.loc.w, MEAN, atol=1e-3)
    np.testing.assert_allclose(np.exp(q.log_scale.w), SCALE, atol=1e-3)
    assert exact_elbo(q) == pytest.approx(ELBO, abs=1e-3)
    assert fit.monte_carlo == ()


@pytest.mark.parametrize("members", [None, 2])
def test_a_fit_without_an_optimizer_brings_standard_deviations_to_where_they_belong(members):
    """From 1e-4; at a thousandth a step they would be at 5e-4."""
    model = regression() if members is None else vi.Ensemble([regression()] * members)
    fit = vi.fit(model, (X, Y), objective=vi.ELBO(16), epochs=1500, key=jax.random.key(1))
    one = fit.model if members is None else fit.model[0]
    np.testing.assert_allclose(np.exp(one.posterior.log_scale.w), SCALE, rtol=0.2)
    assert exact_elbo(one.posterior) == pytest.approx(ELBO, abs=0.1)


@pytest.mark.parametrize("estimator", ["weights", "local"])
def test_natural_gradient_steps_end_there_too(float64, estimator):
    steps = 3000
    optimizer = ivon(0.1, num_data=6, curvature_momentum=0.99, schedule="cosine", total_steps=steps)
    model = vi.Ensemble([regression(estimator=estimator, scale=1.0)] * 2)
    settings = {"optimizer": optimizer, "batch_size": 6, "epochs": steps}
    fit = vi.fit(model, (X, Y), objective=vi.ELBO(64), **settings, key=jax.random.key(1))
    for member in (fit.model[0], fit.model[1]):
        np.testing.assert_allclose(member.posterior.loc.w, MEAN, atol=5e-3)
        # the average over a hundred steps is what noise is left in the curvature
        np.testing.assert_allclose(np.exp(member.posterior.log_scale.w), SCALE, rtol=0.03)
        assert exact_elbo(member.posterior) == pytest.approx(ELBO, abs=2e-3)


def test_natural_gradient_steps_are_gradients_times_variances_within_a_standard_deviation(float64):
    """Far from the optimum the first step of a mean is σ; near it, rate · N · σ² · gradient."""
    model = eqx.tree_at(lambda m: m.posterior.log_scale.w, regression(), jnp.log(jnp.array([0.3, 1e-4])))
    params = eqx.filter(model, eqx.is_inexact_array)
    optimizer = ivon(0.1, num_data=6)
    gradient = eqx.tree_at(lambda m: m.posterior.loc.w, jax.tree.map(jnp.zeros_like, params), jnp.array([-50.0, 2.0]))
    updates, _ = optimizer.update(gradient, optimizer.init(params), params)
    np.testing.assert_allclose(updates.posterior.loc.w, [0.3, -0.1 * 6 * 1e-8 * 2], rtol=1e-12)


def test_natural_gradient_steps_multiply_precisions_by_a_second_order_series(float64):
    """x is a (1 - momentum)th of N times the gradient by ln σ. Far to either side the precision grows."""
    params = eqx.filter(regression(), eqx.is_inexact_array)
    optimizer = ivon(0.1, num_data=6, curvature_momentum=0.99)
    zeros = jax.tree.map(jnp.zeros_like, params)
    gradient = eqx.tree_at(lambda m: m.posterior.log_scale.w, zeros, jnp.array([2.0, -50.0]))
    updates, _ = optimizer.update(gradient, optimizer.init(params), params)
    x = 0.01 * 6 * np.array([2.0, -50.0])
    np.testing.assert_allclose(np.exp(-2 * updates.posterior.log_scale.w), 1 + x + x**2 / 2, rtol=1e-12)


def test_full_covariance_is_the_exact_posterior(float64):
    steps = 2000
    optimizer = make_optimizer(learning_rate=0.03, schedule="cosine", total_steps=steps)
    model = regression(posterior=FullRank(), scale=1.0)
    settings = {"optimizer": optimizer, "batch_size": 6, "epochs": steps}
    fit = vi.fit(model, (X, Y), objective=vi.ELBO(16, estimator="stl"), **settings, key=jax.random.key(1))
    assert fit.monte_carlo == ("weights",)  # sticking the landing takes draws
    q = fit.model.posterior
    np.testing.assert_allclose(q.mean().w, MEAN, atol=1e-4)
    np.testing.assert_allclose(np.sqrt(q.family(q.parameters).variance), FULL_SCALE, atol=1e-4)
    assert 6 * fit.history["elbo"][-1] == pytest.approx(EVIDENCE, abs=1e-3)


def test_the_bound_does_not_depend_on_the_batch_size(float64):
    """The mean over all halves of the data is that of the whole. With a KL by the batch's size it would be 3.4 less."""
    model = regression(estimator="local", scale=1.0)
    objective = vi.ELBO(200_000)
    whole = loss_and_gradient(model, (jnp.asarray(X), jnp.asarray(Y)), jax.random.key(0), objective=objective)[1]
    halves = [
        loss_and_gradient(
            model, (jnp.asarray(X[half]), jnp.asarray(Y[half])), jax.random.key(i), num_data=6, objective=objective
        )[1]
        for i, half in enumerate((slice(0, 3), slice(3, 6)))
    ]
    assert float(halves[0]["kl"]) == float(halves[1]["kl"]) == float(whole["kl"])
    assert np.mean([half["elbo"] for half in halves]) == pytest.approx(float(whole["elbo"]), abs=5e-3)
    np.testing.assert_allclose(6 * whole["elbo"], exact_elbo(model.posterior), atol=0.03)


NETWORKS = {
    "mlp": (lambda key: MLP((3,), (2,), (4,), key=key), (5, 3)),
    "equinox": (lambda key: vi.batched(eqx.nn.MLP(3, 2, 4, 1, key=key)), (5, 3)),
    "convolution": (lambda key: ConvEncoder((6, 6), 2, (3,), key=key), (5, 6, 6)),
    "function": (lambda key: vi.Applied(lambda w, x: jnp.tanh(x @ w["a"]), {"a": jnp.ones((3, 2))}), (5, 3)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_kl_is_the_sum_over_all_arrays_by_the_number_of_data(float64, name):
    make, shape = NETWORKS[name]
    model = vi.BayesianNetwork(make(jax.random.key(0)), vl.Categorical(), vd.Normal(0.3, 2.0), key=jax.random.key(1))
    x, y = jnp.ones(shape), jnp.zeros(len(jnp.ones(shape)))
    metrics = loss_and_gradient(model, (x, y), jax.random.key(2), num_data=1000)[1]
    q = model.posterior
    locs, scales = jax.tree.leaves(q.loc), [np.exp(s) for s in jax.tree.leaves(q.log_scale)]
    kl = sum(
        (np.log(2 / s) + (s**2 + (np.asarray(m) - 0.3) ** 2) / 8 - 0.5).sum() for m, s in zip(locs, scales, strict=True)
    )
    assert float(metrics["kl"]) == pytest.approx(kl / 1000, rel=1e-9)


@pytest.mark.parametrize("name", ["mlp", "convolution"])
def test_estimators_agree_in_the_mean_of_the_gradient_and_not_in_its_noise(name):
    make, shape = NETWORKS[name]
    network = make(jax.random.key(0))
    x = jax.random.normal(jax.random.key(5), (24, *shape[1:]))
    y = jnp.arange(24.0) % 2
    gradients = {}
    for estimator in ("weights", "local", "flipout"):
        model = vi.BayesianNetwork(network, vl.Categorical(), estimator=estimator, scale=0.5, key=jax.random.key(1))
        draw = jax.jit(jax.vmap(lambda key, model=model: loss_and_gradient(model, (x, y), key)[2].posterior.loc))
        each = draw(jax.random.split(jax.random.key(2), 2000))
        gradients[estimator] = np.concatenate([leaf.reshape(2000, -1) for leaf in jax.tree.leaves(each)], axis=1)
    means = {name: g.mean(0) for name, g in gradients.items()}
    noise = {name: g.var(0).sum() for name, g in gradients.items()}
    for estimator in ("local", "flipout"):
        error = np.sqrt((gradients["weights"].var(0) + gradients[estimator].var(0)) / 2000)
        assert np.abs((means[estimator] - means["weights"]) / (error + 1e-12)).max() < 5
    # of convolutions from ten keys, .46 to .60 of it; flipout .66 to .82
    assert noise["local"] < 0.7 * noise["weights"]
    assert noise["local"] < noise["flipout"] < 0.9 * noise["weights"]


def test_some_arrays_stay_point_estimates():
    network = MLP((3,), (2,), (4,), key=jax.random.key(0))
    last = vi.BayesianNetwork(network, vl.Categorical(), random=lambda net: net.layers[-1], key=jax.random.key(1))
    assert list(last.ways(np.ones((1, 3)))) == ["layers[1].weight", "layers[1].bias"]
    biases = jax.tree.map(lambda leaf: leaf.ndim == 1, network)
    assert list(
        vi.BayesianNetwork(network, vl.Categorical(), random=biases, key=jax.random.key(1)).ways(np.ones((1, 3)))
    ) == [
        "layers[0].bias",
        "layers[1].bias",
    ]
    fit = vi.fit(last, (np.ones((8, 3), np.float32), np.arange(8) % 2), epochs=2, key=jax.random.key(2))
    assert not np.array_equal(fit.model.network(fit.model.posterior.mean()).layers[0].weight, network.layers[0].weight)


def test_the_ways_are_asked_for_with_inputs_as_they_are_stored():
    """Passed on as they come, they would be bytes to the network."""
    seen = []

    def network(weights, x):
        seen.append(x.dtype)
        return x @ weights

    observation = vl.Supervised(x=vl.Standardized(np.full(3, 100.0), np.full(3, 20.0), 3))
    model = vi.BayesianNetwork(
        vi.Applied(network, jnp.ones((3, 2))), vl.Categorical(), observation=observation, key=jax.random.key(0)
    )
    assert list(model.ways(np.array([[80, 100, 120]], np.uint8)).values()) == ["local"]
    assert set(seen) == {jnp.float32.dtype}


PRIORS = {
    "fan in": (FanInPrior(3.0), [1.5, 3.0, 3 / 5**0.5, 3.0]),
    "learned": (LearnedPrior(0.5), [0.5] * 4),
}


@pytest.mark.parametrize("name", PRIORS)
def test_priors_of_each_array(name):
    prior, scales = PRIORS[name]
    model = vi.BayesianNetwork(
        MLP((4,), (2,), (5,), key=jax.random.key(0)), vl.Categorical(), prior, key=jax.random.key(0)
    )
    np.testing.assert_allclose([p.scale for p in model.prior(model.posterior.mean())], scales, rtol=1e-6)


def test_a_learned_prior_ends_at_the_size_of_the_weights(float64):
    """At the optimum s² is the mean of E[w²] over an array (MacKay 1992)."""
    model = regression(prior=LearnedPrior(1.0), estimator="local")
    optimizer = make_optimizer(learning_rate=0.03, schedule="cosine", total_steps=2000)
    settings = {"optimizer": optimizer, "batch_size": 6, "epochs": 2000}
    fit = vi.fit(model, (X, Y), objective=vi.ELBO(8), **settings, key=jax.random.key(1))
    q, (prior,) = fit.model.posterior, fit.model.prior(model.posterior.mean())
    assert float(prior.scale) ** 2 == pytest.approx(float(jnp.mean(q.loc.w**2 + jnp.exp(2 * q.log_scale.w))), rel=0.01)


def test_a_prior_without_a_closed_form_is_estimated_from_draws(float64):
    """A scale mixture (Blundell et al. 2015), of which both parts are the same, has the KL of its part."""
    mixing = vd.Categorical(probs=jnp.array([0.25, 0.75]))
    mixture = vd.MixtureSameFamily(mixing, vd.Normal(jnp.zeros(2), jnp.ones(2)))
    data = (jnp.asarray(X), jnp.asarray(Y))
    objective = vi.ELBO(100_000)
    for estimator in ("local", "weights"):
        sampled = loss_and_gradient(
            regression(prior=mixture, estimator=estimator, scale=1.0), data, jax.random.key(0), objective=objective
        )[1]
        exact = loss_and_gradient(regression(estimator=estimator, scale=1.0), data, jax.random.key(0))[1]
        assert float(sampled["kl"]) == pytest.approx(float(exact["kl"]), abs=5e-3)


@pytest.mark.parametrize("family", [LowRank(2), FullRank(), MeanField()], ids=lambda family: type(family).__name__)
def test_families_over_weights_are_densities_with_their_kl(float64, family):
    model = regression(posterior=family, scale=1.0)
    q, prior = model.posterior, model.prior(model.posterior.mean())
    draws = q.sample(jax.random.key(0), 200_000)
    log_ratio = q.log_prob(draws) - jax.scipy.stats.norm.logpdf(draws.w).sum(-1)
    assert q.kl(prior).sum() == pytest.approx(float(log_ratio.mean()), abs=5 * float(log_ratio.std()) / 200_000**0.5)
    np.testing.assert_allclose(draws.w.mean(0), q.mean().w, atol=0.01)


# --- predictions -----------------------------------------------------------------------------------------------------


def fixed_regression():
    """The regression at its mean-field optimum."""
    model = regression()
    where = lambda m: (m.posterior.loc.w, m.posterior.log_scale.w)  # noqa: E731
    return eqx.tree_at(where, model, (jnp.asarray(MEAN), jnp.log(jnp.asarray(SCALE))))


def test_predictions_of_a_linear_network_are_exact():
    model, x = fixed_regression(), np.array([[1, 0.5], [1, -3.0], [0, 0]])
    pred = model.predict(x, 20_000, key=jax.random.key(0))
    variance = x**2 @ np.square(SCALE)
    np.testing.assert_allclose(pred.mean, x @ np.array(MEAN), atol=0.02)
    np.testing.assert_allclose(pred.epistemic, variance, rtol=0.05, atol=1e-12)
    np.testing.assert_allclose(pred.aleatoric, 0.25, rtol=1e-9)
    np.testing.assert_allclose(pred.total, pred.aleatoric + pred.epistemic, rtol=1e-9)
    np.testing.assert_allclose(pred.variance, pred.total)
    y = np.array([0.0, -2, 0.3])
    exact = vd.Normal(x @ np.array(MEAN), np.sqrt(variance + 0.25)).log_prob(y)
    np.testing.assert_allclose(log_predictive(model, x, y, 20_000, key=jax.random.key(1)), exact, atol=0.02)
    drawn = sample_predictive(model, x, 20_000, key=jax.random.key(2))
    assert drawn.shape == (20_000, 3)
    np.testing.assert_allclose(drawn.var(0), variance + 0.25, rtol=0.05)


def test_uncertainty_of_classes_is_entropy_and_its_two_parts():
    """A network that is sure of one class under one draw and of the other under another knows nothing but its
    ignorance; one that is torn under each draw knows that y is noise."""
    network = Linear(jnp.zeros((2, 2)))
    model = vi.BayesianNetwork(network, vl.Categorical(), scale=1.0, key=jax.random.key(0))
    wide = eqx.tree_at(lambda m: m.posterior.log_scale.w, model, jnp.full((2, 2), np.log(1e4)))
    pred = wide.predict(np.array([[1.0, 0.0]]), 2000, key=jax.random.key(1))
    np.testing.assert_allclose([pred.total, pred.epistemic], np.log(2), atol=0.01)
    np.testing.assert_allclose(pred.aleatoric, 0, atol=0.01)
    sure = eqx.tree_at(lambda m: m.posterior.log_scale.w, model, jnp.full((2, 2), np.log(1e-6)))
    pred = sure.predict(np.array([[1.0, 0.0]]), 50, key=jax.random.key(1))
    np.testing.assert_allclose([pred.total, pred.aleatoric], np.log(2), atol=1e-5)
    np.testing.assert_allclose(pred.epistemic, 0, atol=1e-5)
    assert pred.mean.shape == pred.variance.shape == (1, 2)
    assert pred.total.shape == (1,)


def test_two_classes_by_one_logit_are_as_by_two():
    logits = jnp.array([[0.0, 0.7], [0.0, -0.2]])
    two = vi.BayesianNetwork(Linear(logits), vl.Categorical(), scale=1e-6, key=jax.random.key(0))
    one = vi.BayesianNetwork(Linear(logits[:, 1]), vl.Bernoulli(), scale=1e-6, key=jax.random.key(0))
    x = np.eye(2)
    a, b = (model.predict(x, 3, key=jax.random.key(0)) for model in (two, one))
    np.testing.assert_allclose(a.mean[:, 1], b.mean, rtol=1e-4)
    np.testing.assert_allclose(a.total, b.total, rtol=1e-4)
    np.testing.assert_allclose(a.variance[:, 1], b.variance, rtol=1e-4)


def test_a_row_is_predicted_alike_alone_and_among_others():
    model = fixed_regression()
    x = np.random.default_rng(0).normal(size=(1500, 2)).astype(np.float32)
    together, alone = (model.predict(rows, 5, key=jax.random.key(0)) for rows in (x, x[1400:1401]))
    np.testing.assert_array_equal(np.stack(together)[:, 1400], np.stack(alone)[:, 0])
    # noise of each row's own would change with its place
    together, alone = (sample_predictive(model, rows, 5, 2, key=jax.random.key(0)) for rows in (x, x[1400:1401]))
    assert together.shape == (10, 1500)
    np.testing.assert_array_equal(together[:, 1400], alone[:, 0])
    assert len(np.unique(alone)) == 10
    # of few draws of the weights as many of y, which the ends of an interval are made of, in parts of all rows
    (first, drawn), (second, others) = predictive_draws(model, x, 5, key=jax.random.key(0))
    assert [first, second] == [slice(0, 1024), slice(1024, 1500)]
    assert (drawn.shape, others.shape) == ((4000, 1024), (4000, 476))
    assert len(np.unique(drawn[:, 0])) > 3900


# --- ensembles -------------------------------------------------------------------------------------------------------


def test_members_are_fitted_as_if_each_were_alone(float64):
    """Plain gradient descent: with a share of the gradient, a member would make a third of the way."""
    members = [regression(estimator="local", scale=s) for s in (0.5, 1.0, 2.0)]
    settings = {"objective": vi.ELBO(2000), "optimizer": optax.sgd(0.01), "batch_size": 6, "epochs": 20}
    fit = vi.fit(vi.Ensemble(members), (X, Y), **settings, key=jax.random.key(0))
    for i, member in enumerate(members):
        alone = vi.fit(member, (X, Y), **settings, key=jax.random.key(i))
        np.testing.assert_allclose(fit.model[i].posterior.loc.w, alone.model.posterior.loc.w, atol=0.01)
        np.testing.assert_allclose(fit.model[i].posterior.log_scale.w, alone.model.posterior.log_scale.w, atol=0.01)


def test_members_may_have_data_of_their_own():
    x, y = np.stack([X, 2 * X], 1), np.stack([Y, Y + 1], 1)
    ensemble = vi.Ensemble([regression(), regression()], own_data=True)
    fit = vi.fit(ensemble, (x, y), optimizer=make_optimizer(learning_rate=0.05), epochs=300, key=jax.random.key(0))
    np.testing.assert_allclose(fit.model[0].posterior.loc.w, MEAN, atol=0.1)
    np.testing.assert_allclose(fit.model[1].posterior.loc.w, np.linalg.lstsq(2 * X, Y + 1)[0], atol=0.15)


def test_an_ensemble_predicts_the_mixture_of_its_members():
    members = [regression(scale=1e-6), regression(scale=1e-6)]
    members[1] = eqx.tree_at(lambda m: m.posterior.loc.w, members[1], jnp.array([2.1, 0.1]))
    pred = vi.Ensemble(members).predict(np.array([[1.0, 0.0]]), 4, key=jax.random.key(0))
    np.testing.assert_allclose(pred.mean, 1.1, rtol=1e-5)  # of 0.1 and 2.1
    np.testing.assert_allclose(pred.epistemic, 1.0, rtol=1e-4)
    np.testing.assert_allclose(pred.aleatoric, 0.25, rtol=1e-5)
    # of the noise N(0, 1/4) that all rows share, about each member's mean
    drawn = sample_predictive(vi.Ensemble(members), np.array([[1.0, 0.0]]), 3, 2, key=jax.random.key(0))
    assert drawn.shape == (3 * 2 * 2, 1)
    means = np.repeat([[0.1, 2.1] * 3], 2, axis=1)[0]
    noise = (drawn[:, 0] - means).reshape(3, 2, 2)
    np.testing.assert_allclose(noise[:, 0], noise[:, 1], atol=1e-5)


# --- what is refused -------------------------------------------------------------------------------------------------


class Counts(eqx.Module):
    n: jax.Array

    def __call__(self, x):
        return x


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: vi.BayesianNetwork(Counts(jnp.arange(3)), vl.Categorical(), key=jax.random.key(0)), "no float arrays"),
        (lambda: vi.BayesianNetwork(lambda x: x, vl.Categorical(), key=jax.random.key(0)), "no float arrays"),
        (lambda: regression(estimator="locale"), "Did you mean 'local'"),
        (lambda: regression(posterior=FullRank(), estimator="local"), "estimator='weights'"),
        (lambda: regression(posterior=vi.posteriors.Laplace()), "Laplace is for infer"),
        (lambda: regression(prior=vd.Normal(jnp.zeros(1), 1.0)), "expected the prior of one weight"),
        (lambda: vi.Ensemble([]), "needs members"),
        (lambda: vi.Ensemble([regression(), regression(posterior=FullRank())]), "one structure"),
        (lambda: regression().predict(np.zeros((0, 2)), key=jax.random.key(0)), "at least one row"),
        (lambda: ivon(num_data=6).init(eqx.filter(regression(posterior=FullRank()), eqx.is_array)), "mean-field"),
    ],
)
def test_what_is_refused(make, message):
    with pytest.raises(vi.InputError, match=message):
        make()


def test_an_output_of_the_wrong_width_is_refused():
    network = MLP((2,), (3,), (), key=jax.random.key(0))
    with pytest.raises(vi.InputError, match=r"needs outputs of shape \(2,\) .* the network gives \(3,\)"):
        vi.fit(
            vi.BayesianNetwork(network, vl.HeteroscedasticGaussian(), key=jax.random.key(0)),
            (X, Y),
            epochs=1,
            key=jax.random.key(0),
        )


KEY = jax.random.key(0)


@pytest.mark.parametrize("estimator", ["weights", "local"])
@pytest.mark.parametrize(
    ("network", "message"),
    [
        (eqx.nn.Linear(2, 1, key=KEY), r"batch of shape \(\d+, 2\) alone: .* varinf.batched lifts"),
        (vi.batched(eqx.nn.Sequential([eqx.nn.Linear(2, 1, key=KEY), eqx.nn.Dropout()])), "inference_mode"),
        (vi.Applied(lambda w, x: (x @ w)[0], jnp.ones((2, 3))), r"gives shape \(3,\) for \d+ rows"),
    ],
)
def test_a_network_that_takes_no_batch_is_refused(network, message, estimator):
    bnn = vi.BayesianNetwork(network, vl.Gaussian(), estimator=estimator, key=KEY)
    with pytest.raises(vi.InputError, match=message):
        vi.fit(bnn, (X, Y), epochs=1, key=KEY)


def test_layers_that_keep_a_state_are_refused():
    norm = eqx.nn.BatchNorm(3, "batch", mode="batch")
    with pytest.raises(vi.InputError, match="LayerNorm"):
        vi.BayesianNetwork(eqx.nn.Sequential([eqx.nn.Linear(2, 3, key=KEY), norm]), vl.Gaussian(), key=KEY)


@pytest.mark.parametrize("name", ["low_rank", "full_rank", "coupling_flow"])
def test_a_posterior_by_name(name):
    bnn = regression(posterior=name)
    assert type(bnn.posterior) is type(regression(posterior=vi.posteriors.POSTERIORS[name]()).posterior)
    fitted = vi.fit(bnn, (X, Y), epochs=2, key=KEY)
    assert np.isfinite(fitted.history["elbo"][-1])
    with pytest.raises(vi.InputError, match="Did you mean 'low_rank'"):
        regression(posterior="lowrank")


def test_weights_have_no_importance_weighted_bound_from_batches():
    with pytest.raises(vi.InputError, match="Use ELBO"):
        vi.fit(regression(), (X, Y), objective=vi.IWAE(5), epochs=1, key=jax.random.key(0))
