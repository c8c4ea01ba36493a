"""A linear VAE is probabilistic PCA (Lucas et al. 2019; Tipping and Bishop 1999)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import varinf as vi
from varinf import distributions as vd
from varinf.data import source, summarize
from varinf.train import make_optimizer

N, D, K = 500, 6, 2


def factor_data():
    rng = np.random.default_rng(4)
    scales = np.array([1e-2, 1.0, 30.0, 2.0, 0.5, 5.0])
    x = rng.normal(size=(N, K)) @ rng.normal(size=(K, D)) * 1.2 + 0.6 * rng.normal(size=(N, D))
    return 3.0 + scales * x


def optimum(x):
    """Of p(x) = N(μ, W Wᵀ + σ² I), per datum, where each column is measured in its own standard deviation."""
    unit = x.std(0)
    values = np.sort(np.linalg.eigvalsh(np.cov(x.T / unit[:, None], bias=True)))[::-1]
    noise = values[K:].mean()
    standard = -0.5 * (np.log(values[:K]).sum() + (D - K) * np.log(noise) + D + D * np.log(2 * np.pi))
    return standard - np.log(unit).sum()


# per datum, each row's parameters make one step in an epoch, so that they are larger and more
@pytest.mark.parametrize(
    ("posterior", "batch_size", "epochs", "rate"),
    [("mean_field", 100, 200, 3e-2), ("full_rank", 100, 200, 3e-2), ("per_datum", 250, 400, 0.1)],
)
def test_a_linear_vae_reaches_the_optimum_of_ppca(float64, posterior, batch_size, epochs, rate):
    x = factor_data()
    model = vi.VAE.build(
        event_shape=(D,),
        latent_dim=K,
        hidden=(),
        likelihood="gaussian",
        variance="shared",
        posterior=posterior,
        summary=summarize(source(x)),
        key=jax.random.key(0),
    )
    optimizer = make_optimizer(learning_rate=rate, schedule="cosine", total_steps=epochs * N // batch_size)
    objective = vi.ELBO(estimator="stl")
    settings = {"objective": objective, "optimizer": optimizer, "batch_size": batch_size, "epochs": epochs}
    fit = vi.fit(model, x, **settings, key=jax.random.key(1))

    def bound(objective):
        still = make_optimizer("sgd", 0.0)
        settings = {"optimizer": still, "batch_size": N, "epochs": 20, "key": jax.random.key(2)}
        values = vi.fit(fit.model, x, objective=objective, **settings).history[objective.bound]
        return np.mean(values), np.std(values) / len(values) ** 0.5

    best = optimum(x)
    # near the exact posterior, ln p − ln q has hardly any noise
    elbo, elbo_error = bound(vi.ELBO(20, kl="monte_carlo"))
    assert elbo_error < 1e-3
    # without latents it would be 2.9 nats lower; without the log-determinant of the units, 3.5 higher
    assert best - 1e-2 < elbo < best + 3 * elbo_error
    # p(x) of the fitted model is exact, since the decoder is linear
    decoder = fit.model.decoder
    weight, bias = decoder.network.layers[-1].weight, decoder.network.layers[-1].bias
    noise = decoder.likelihood(jnp.zeros(D)).scale
    p = vd.MultivariateNormal(bias, weight.T @ weight + noise**2 * jnp.eye(D))
    log_p = float(p.log_prob((x - x.mean(0)) / x.std(0)).mean() - np.log(x.std(0)).sum())
    assert best - 1e-2 < log_p < best + 1e-9
    iwae, iwae_error = bound(vi.IWAE(20))
    assert iwae_error < 1e-3
    assert elbo - 3 * np.hypot(elbo_error, iwae_error) <= iwae <= log_p + 3 * iwae_error
