"""The variational Rényi bound: what it is at the orders that have names, and between them."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import linear_gaussian as lg
import varinf as vi
from varinf._tree import trainable
from varinf.objectives import ELBO, IWAE, Latent, Renyi, Terms, value_and_grad

pytestmark = pytest.mark.usefixtures("float64")
KEY = jax.random.key(0)
X = lg.data()


@eqx.filter_jit
def run(objective, model, key):
    params, fixed = eqx.partition(model, trainable(model))
    return value_and_grad(objective, params, fixed, lg.batch(X), key=key)[:3]


def flat(tree):
    return np.concatenate([np.asarray(leaf).reshape(-1) for leaf in jax.tree.leaves(tree)])


def of_log_weights(alpha, log_weights):
    """Loss, metrics, and the gradient of the loss with respect to the log weights, `[samples, batch]`."""
    log_weights = jnp.asarray(log_weights)
    batch = lg.batch(np.zeros((log_weights.shape[1], 1)))
    objective = Renyi(alpha, len(log_weights))

    def loss(log_weights):
        zero = jnp.zeros_like(log_weights)
        return objective.loss(Terms(log_weights, (Latent("z", zero, zero, None),), batch))

    (value, metrics), gradient = jax.value_and_grad(loss, has_aux=True)(log_weights)
    return value, metrics, gradient


@pytest.mark.parametrize("alpha", [0, 1])
def test_the_orders_with_names_are_iwae_and_monte_carlo_elbo_draw_by_draw(alpha):
    named = (IWAE(4), ELBO(4, kl="monte_carlo"))[alpha]
    model = lg.model()
    for key in jax.random.split(KEY, 3):
        (loss, metrics, gradient), other = run(Renyi(alpha, 4), model, key), run(named, model, key)
        np.testing.assert_allclose(loss, other[0], rtol=1e-13)
        np.testing.assert_allclose(flat(gradient), flat(other[2]), rtol=1e-9, atol=1e-11)
        np.testing.assert_allclose(metrics["renyi"], metrics[named.bound], rtol=1e-13)
        for name in other[1]:
            np.testing.assert_allclose(metrics[name], other[1][name], rtol=1e-12)


@pytest.mark.parametrize("alpha", [-40.0, -1.0, 0.5, 0.999, 3.0])
def test_it_is_the_formula(alpha, rng):
    log_weights = 3 * rng.normal(size=(5, 2)) - 700  # whose weights underflow
    shifted = np.exp((1 - alpha) * (log_weights + 700))
    loss, metrics, gradient = of_log_weights(alpha, log_weights)
    np.testing.assert_allclose(-loss, (np.log(shifted.mean(0)) / (1 - alpha)).mean() - 700, rtol=1e-12)
    assert metrics["renyi"] == -loss
    np.testing.assert_allclose(gradient, -shifted / shifted.sum(0) / 2, rtol=1e-10, atol=1e-15)


def test_it_falls_as_alpha_rises_on_the_same_draws(rng):
    log_weights = 3 * rng.normal(size=(6, 1))
    alphas = [-1e6, -30, -1, -1e-3, 0, 0.3, 0.9, 1 - 1e-9, 1, 1 + 1e-9, 1.1, 2, 30, 1e6]
    bounds = np.array([of_log_weights(alpha, log_weights)[1]["renyi"] for alpha in alphas])
    assert (np.diff(bounds) < 0).all()
    # near 1 by the slope −var / 2: ln mean w^a worked out as it stands is off by 1e-16 / a = 1e-7 there
    slope = -log_weights.var() / 2
    np.testing.assert_allclose(np.diff(bounds)[[7, 8]], 1e-9 * slope, rtol=1e-5)
    np.testing.assert_allclose(bounds[[0, -1]], [log_weights.max(), log_weights.min()], atol=1e-5)


@pytest.mark.parametrize("num_samples", [1, 20])
@pytest.mark.parametrize("alpha", [-2.0, 0.5, 1.0, 4.0])
def test_at_the_exact_posterior_it_is_the_evidence(alpha, num_samples):
    model = lg.model("exact")
    metrics = run(Renyi(alpha, num_samples), model, KEY)[1]
    np.testing.assert_allclose(metrics["renyi"], lg.log_evidence(model, X).mean(), rtol=1e-12)


def test_draws_of_no_weight_count_as_nothing():
    loss, _, gradient = of_log_weights(0.5, [[0.0], [-np.inf]])
    np.testing.assert_allclose(-loss, 2 * np.log(0.5), rtol=1e-14)
    np.testing.assert_allclose(gradient, [[-1.0], [0.0]], rtol=1e-14)
    assert of_log_weights(2.0, [[0.0], [-np.inf]])[0] == np.inf
    assert of_log_weights(0.5, [[-np.inf], [-np.inf]])[0] == np.inf


def test_another_order_does_not_compile_again(compilations):
    model = lg.model()
    run(Renyi(0.25, 3), model, KEY)
    objective = Renyi(1.0, 3)
    compilations.clear()
    run(objective, model, KEY)
    assert not compilations


def test_what_early_stopping_watches_is_a_lower_bound():
    assert [Renyi(alpha).bound for alpha in (-0.1, 0, 0.5, 1, 2)] == ["iwae", *["renyi"] * 4]
    fit = vi.fit(lg.model(), X, validation=X, patience=5, epochs=2, objective=Renyi(-0.5, 3), key=KEY)
    assert {"validation_renyi", "validation_iwae", "validation_elbo"} <= fit.history.keys()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Renyi(np.inf), "alpha must be a finite number, got inf"),
        (lambda: Renyi(np.nan), "alpha must be a finite number, got nan"),
        (lambda: Renyi(num_samples=0), "num_samples must be at least 1, got 0"),
    ],
)
def test_orders_and_numbers_that_cannot_be(make, message):
    with pytest.raises(vi.InputError, match=message):
        make()


def test_a_global_latent_is_refused():
    latent = Latent("w", jnp.zeros(2), jnp.zeros(2), None, is_global=True)
    with pytest.raises(vi.InputError, match="Use ELBO"):
        Renyi().loss(Terms(jnp.zeros((2, 3)), (latent,), lg.batch(np.zeros((3, 1)))))
