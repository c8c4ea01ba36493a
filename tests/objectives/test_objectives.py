"""Bounds and their gradients on a linear Gaussian VAE, whose evidence and posterior are known."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import linear_gaussian as lg
from varinf import InputError
from varinf import distributions as vd
from varinf._tree import trainable
from varinf.objectives import ELBO, IWAE, Latent, LinearWarmup, Terms, value_and_grad

pytestmark = pytest.mark.usefixtures("float64")
KEY = jax.random.key(0)


@eqx.filter_jit
def run(objective, model, batch, key):
    params, fixed = eqx.partition(model, trainable(model))
    return value_and_grad(objective, params, fixed, batch, key=key)[:3]


@eqx.filter_jit
def run_many(objective, model, batch, keys):
    """Loss, metrics and gradients for each key."""
    params, fixed = eqx.partition(model, trainable(model))
    return jax.lax.map(lambda key: value_and_grad(objective, params, fixed, batch, key=key)[:3], keys, batch_size=256)


def keys(n, seed=0):
    return jax.random.split(jax.random.key(seed), n)


def flat(tree, n=None):
    """A tree's arrays as one vector, or as one for each of n."""
    leaves = jax.tree.leaves(tree)
    return np.concatenate([np.asarray(leaf).reshape(-1) if n is None else leaf.reshape(n, -1) for leaf in leaves], -1)


def mean_and_error(draws):
    draws = np.asarray(draws)
    return draws.mean(0), draws.std(0) / len(draws) ** 0.5


X = lg.data()
OBJECTIVES = {
    "elbo": lambda: ELBO(),
    "elbo, 3 draws": lambda: ELBO(3),
    "elbo, Monte Carlo": lambda: ELBO(2, kl="monte_carlo"),
    "elbo, beta": lambda: ELBO(beta=0.3),
    "elbo, free bits": lambda: ELBO(free_bits=0.8),
    "elbo, warm-up": lambda: ELBO(beta=LinearWarmup(0.5, 10)),
    "iwae": lambda: IWAE(4),
}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_gradient_is_the_derivative_of_the_loss(name):
    model = lg.model("diagonal" if "bits" in name or "draws" in name else "off")
    objective, batch = OBJECTIVES[name](), lg.batch(X, step=4)
    params, fixed = eqx.partition(model, trainable(model))

    @jax.jit
    def loss(params):
        model = eqx.combine(params, fixed)
        draw = model.draw(batch, objective.request, key=KEY)
        return objective.loss(model.score(batch, draw, objective.request))[0]

    value, metrics, gradient = run(objective, model, batch, KEY)
    assert value == metrics["loss"]
    np.testing.assert_allclose(value, loss(params), rtol=1e-13)
    np.testing.assert_allclose(flat(gradient), flat(jax.jit(jax.grad(loss))(params)), rtol=1e-10, atol=1e-12)
    vector, unravel = jax.flatten_util.ravel_pytree(params)
    steps = 1e-5 * np.eye(len(vector))
    differences = [(loss(unravel(vector + h)) - loss(unravel(vector - h))) / 2e-5 for h in steps]
    np.testing.assert_allclose(jax.flatten_util.ravel_pytree(gradient)[0], differences, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("encoder", ["off", "diagonal"])
def test_analytic_and_monte_carlo_kl_agree(encoder):
    model, batch, n = lg.model(encoder), lg.batch(X), 2000
    exact = run(ELBO(), model, batch, KEY)[1]["kl"]
    kl, error = mean_and_error(run_many(ELBO(5, kl="monte_carlo"), model, batch, keys(n))[1]["kl"])
    assert abs(kl - exact) < 5 * error
    assert error < 0.015 * exact
    expected = vd.kl_divergence(model.encoder(jnp.asarray(X)), model.prior).mean()
    np.testing.assert_allclose(exact, expected, rtol=1e-12)


def test_iwae_with_one_sample_is_the_monte_carlo_elbo_draw_by_draw():
    model, batch = lg.model(), lg.batch(X)
    iwae, elbo = IWAE(1), ELBO(1, kl="monte_carlo")
    for key in keys(3):
        one, two = run(iwae, model, batch, key), run(elbo, model, batch, key)
        np.testing.assert_allclose(one[0], two[0], rtol=1e-14)
        np.testing.assert_allclose(flat(one[2]), flat(two[2]), rtol=1e-9, atol=1e-11)
        for name in ("elbo", "reconstruction", "kl"):
            np.testing.assert_allclose(one[1][name], two[1][name], rtol=1e-12)


def test_iwae_rises_with_the_number_of_samples_up_to_the_evidence():
    model, batch = lg.model(), lg.batch(X)
    evidence = float(lg.log_evidence(model, X).mean())
    bounds = []
    for num_samples in (1, 4, 32):
        bounds.append(mean_and_error(run_many(IWAE(num_samples), model, batch, keys(200))[1]["iwae"]))
    for (low, low_error), (high, high_error) in itertools.pairwise(bounds):
        assert high - low > 3 * np.hypot(low_error, high_error), bounds
    assert all(bound < evidence + 3 * error for bound, error in bounds)
    assert evidence - bounds[-1][0] < 0.1 * (evidence - bounds[0][0])


@pytest.mark.parametrize("num_samples", [1, 50])
def test_at_the_exact_posterior_the_bound_is_the_evidence(num_samples):
    model, batch = lg.model("exact"), lg.batch(X)
    evidence = lg.log_evidence(model, X).mean()
    for objective in (IWAE(num_samples), ELBO(num_samples, estimator="stl")):
        metrics = run(objective, model, batch, KEY)[1]
        np.testing.assert_allclose(metrics[objective.bound], evidence, rtol=1e-12)


def test_at_the_exact_posterior_sticking_the_landing_has_no_noise():
    model, batch = lg.model("exact"), lg.batch(X)
    stl = run(ELBO(2, estimator="stl"), model, batch, KEY)[2].encoder
    dreg = run(IWAE(4, "dreg"), model, batch, KEY)[2].encoder
    plain = run(ELBO(2, kl="monte_carlo"), model, batch, KEY)[2].encoder
    assert np.abs(flat(stl)).max() < 1e-12
    assert np.abs(flat(dreg)).max() < 1e-12
    assert np.abs(flat(plain)).max() > 0.1


@pytest.mark.parametrize("encoder", ["off", "diagonal"])
def test_sticking_the_landing_is_unbiased(encoder):
    model, batch, n = lg.model(encoder), lg.batch(X), 6000
    stl, stl_error = mean_and_error(flat(run_many(ELBO(1, estimator="stl"), model, batch, keys(n))[2], n))
    plain, plain_error = mean_and_error(flat(run_many(ELBO(1), model, batch, keys(n, 1))[2], n))
    error = np.hypot(stl_error, plain_error)
    assert (np.abs(stl - plain) <= 5 * error + 1e-12).all()
    # tight enough: with ln q left out, the entropy's part of the gradient would be missing
    assert np.abs(stl).max() > 30 * error.max()


def test_dreg_is_the_gradient_of_the_bound_with_less_noise():
    model, batch, n, num_samples = lg.model(), lg.batch(X), 4000, 8
    dreg = run_many(IWAE(num_samples, "dreg"), model, batch, keys(n))[2]
    plain = run_many(IWAE(num_samples), model, batch, keys(n))[2]
    # of the model: the same gradient, draw by draw
    np.testing.assert_allclose(flat(dreg.decoder), flat(plain.decoder), rtol=1e-9, atol=1e-10)
    # of the posterior: the same on average
    one, two = flat(dreg.encoder, n), flat(plain.encoder, n)
    (mean_one, error_one), (mean_two, error_two) = mean_and_error(one), mean_and_error(two)
    assert (np.abs(mean_one - mean_two) <= 5 * np.hypot(error_one, error_two) + 1e-12).all()
    # weights to the first power, as in sticking the landing, would be off by more than 20 standard errors
    assert np.abs(mean_one).max() > 20 * error_one.max()
    noisy = two.std(0) > 0
    assert (one.std(0)[noisy] < 0.5 * two.std(0)[noisy]).all()


def test_free_bits_change_nothing_above_them():
    model, batch = lg.model("diagonal"), lg.batch(X)
    parts = vd.kl_per_dimension(model.encoder(batch.data), model.prior).mean(0)
    free, plain = run(ELBO(free_bits=0.9 * float(parts.min())), model, batch, KEY), run(ELBO(), model, batch, KEY)
    np.testing.assert_allclose(free[0], plain[0], rtol=1e-14)
    np.testing.assert_allclose(flat(free[2]), flat(plain[2]), rtol=1e-12)


def test_below_free_bits_the_kl_is_not_pressed():
    model, batch = lg.model("diagonal"), lg.batch(X)
    free, without = run(ELBO(free_bits=100.0), model, batch, KEY), run(ELBO(beta=0.0), model, batch, KEY)
    np.testing.assert_allclose(flat(free[2]), flat(without[2]), rtol=1e-12)
    np.testing.assert_allclose(free[0], without[0] + 200.0, rtol=1e-13)
    # the metrics stay those of the bound
    for name in ("elbo", "kl", "reconstruction"):
        np.testing.assert_allclose(free[1][name], run(ELBO(), model, batch, KEY)[1][name], rtol=1e-13)


@pytest.mark.parametrize(
    ("beta", "expected"),
    [
        (0.25, 0.25),
        (LinearWarmup(0.5, 10), 0.15),
        (LinearWarmup(2, 2), 2.0),
        (LinearWarmup(0.5, 0), 0.5),
        (optax.linear_schedule(0.0, 1.0, 6), 0.5),
    ],
)
def test_beta_weighs_the_loss_alone(beta, expected):
    model, batch = lg.model(), lg.batch(X, step=3)
    loss, metrics, _ = run(ELBO(beta=beta), model, batch, KEY)
    np.testing.assert_allclose(loss, expected * metrics["kl"] - metrics["reconstruction"], rtol=1e-6)
    np.testing.assert_allclose(metrics["elbo"], metrics["reconstruction"] - metrics["kl"], rtol=1e-13)
    plain = run(ELBO(), model, batch, KEY)[1]
    for name in ("elbo", "kl", "reconstruction"):
        np.testing.assert_allclose(metrics[name], plain[name], rtol=1e-13)


def test_warmup_rises_in_a_line():
    warmup = LinearWarmup(2.0, 4)
    np.testing.assert_allclose([warmup(step) for step in range(6)], [0, 0.5, 1, 1.5, 2, 2])


@pytest.mark.parametrize("name", [*OBJECTIVES, "stl", "dreg"])
def test_masked_rows_do_not_count(name):
    """Counted, the rows of 100 would raise the loss a thousandfold; a mean over all rows would be 3/5 of it."""
    made = OBJECTIVES | {"stl": lambda: ELBO(estimator="stl"), "dreg": lambda: IWAE(3, "dreg")}
    mask = [True, True, True, False, False]
    filled = [np.concatenate([X[:3], np.full((2, 3), fill)]) for fill in (100.0, 0.0)]
    one, two = (run(made[name](), lg.model("diagonal"), lg.batch(x, mask, 5, 4), KEY) for x in filled)
    np.testing.assert_allclose(one[0], two[0], rtol=1e-13)
    np.testing.assert_allclose(flat(one[2]), flat(two[2]), rtol=1e-10, atol=1e-13)
    # and the mean is over the three: with the draws' noise taken out, the KL is theirs
    if name == "elbo":
        q = lg.model("diagonal").encoder(jnp.asarray(X[:3]))
        np.testing.assert_allclose(one[1]["kl"], vd.kl_divergence(q, lg.model().prior).mean(), rtol=1e-12)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ELBO(kl="analytic", estimator="stl"), "needs a Monte Carlo KL"),
        (lambda: ELBO(free_bits=0.5, kl="monte_carlo"), "free_bits needs a KL in closed form"),
        (lambda: ELBO(free_bits=0.5, estimator="stl"), "free_bits needs a KL in closed form"),
        (lambda: ELBO(free_bits=-0.5), "free_bits must not be negative"),
        (lambda: ELBO(beta=-1), "beta must not be negative"),
        (lambda: ELBO(num_samples=0), "at least 1"),
        (lambda: ELBO(kl="exact"), "unknown kl"),
        (lambda: ELBO(estimator="slt"), "Did you mean 'stl'"),
        (lambda: IWAE(0), "at least 1"),
        (lambda: IWAE(estimator="stl"), "unknown estimator"),
    ],
)
def test_settings_that_exclude_each_other(make, message):
    with pytest.raises(InputError, match=message):
        make()


class NoClosedFormPrior(eqx.Module):
    loc: jax.Array

    def __call__(self):
        return vd.Independent(vd.StudentT(5.0, self.loc, 1.0), 1)


def test_without_a_closed_form_auto_draws_and_the_others_refuse():
    model = eqx.tree_at(lambda m: m.prior, lg.model(), NoClosedFormPrior(jnp.zeros(2)))
    loss, _, gradient = run(ELBO(), model, lg.batch(X), KEY)
    np.testing.assert_allclose(loss, run(ELBO(kl="monte_carlo"), model, lg.batch(X), KEY)[0], rtol=1e-14)
    # a module's prior is trained
    assert np.abs(gradient.prior.loc).max() > 0
    for objective in (ELBO(kl="analytic"), ELBO(free_bits=0.1)):
        with pytest.raises(InputError, match="closed form"):
            run(objective, model, lg.batch(X), KEY)


# --- global latents: their KL is shared among the data ---------------------------------------------------------------


def _terms(kl):
    latent = Latent("w", jnp.array([1.0, 2.0]), jnp.array([4.0, 6.0]), kl, is_global=True)
    return Terms(jnp.arange(6.0).reshape(2, 3), (latent,), lg.batch(np.zeros((3, 1)), num_data=30))


@pytest.mark.parametrize(("kl", "expected"), [(None, 3.5 / 30), ([1.0, 2.0], 3.0 / 30)])
def test_a_global_kl_is_divided_by_the_number_of_data(kl, expected):
    _, metrics = ELBO(2).loss(_terms(None if kl is None else jnp.array(kl)))
    np.testing.assert_allclose(metrics["kl"], expected, rtol=1e-14)
    np.testing.assert_allclose(metrics["elbo"], 2.5 - expected, rtol=1e-14)


def test_iwae_refuses_a_global_latent():
    with pytest.raises(InputError, match="Use ELBO"):
        IWAE(2).loss(_terms(None))
