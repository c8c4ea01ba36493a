"""The draws, the minimiser, and the families in moved coordinates."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from varinf.inference._bound import Frame
from varinf.inference._draws import NoiseBuffer, normal_draws
from varinf.inference._optimize import minimize
from varinf.posteriors import DENSITY_POSTERIORS, LowRank

pytestmark = pytest.mark.usefixtures("float64")


@pytest.mark.parametrize("dim", [1, 7, 600])
def test_matched_draws_have_the_moments_of_a_standard_normal(dim):
    draws = normal_draws(2048, dim, 0, match=True)
    np.testing.assert_allclose(draws.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(draws.T @ draws / 2048, np.eye(dim), atol=1e-9)
    assert not np.array_equal(draws, normal_draws(2048, dim, 1, match=True))


def test_draws_that_are_not_matched_have_no_bias():
    fourth = [(normal_draws(64, 2, seed, match=False) ** 4).mean() for seed in range(400)]
    assert np.mean(fourth) == pytest.approx(3, abs=4 * np.std(fourth) / 20)


def test_a_buffer_holds_the_last_numbers_and_says_how_many():
    buffer, draws = NoiseBuffer(256, 64, 3, np.dtype(np.float64)), np.arange(256 * 3.0).reshape(256, 3)
    for count in (64, 256, 128):
        noise = buffer.filled(draws[:count] + count)
        assert noise.used == count // 64
        assert np.array_equal(np.reshape(noise.chunks, (256, 3))[:count], draws[:count] + count)


def test_minimise():
    def rosenbrock(x):
        return ((1 - x[:-1]) ** 2 + 100 * (x[1:] - x[:-1] ** 2) ** 2).sum()

    function = jax.value_and_grad(rosenbrock)
    found = jax.jit(lambda x: minimize(function, x, 500, 1e-12))(jnp.zeros(6))
    assert found.converged
    np.testing.assert_allclose(found.x, 1, atol=1e-5)
    stopped = minimize(function, jnp.zeros(6), 3, 1e-12)
    assert not stopped.converged
    assert stopped.steps == 3
    assert stopped.value < rosenbrock(jnp.zeros(6))


FAMILIES = [*((name, DENSITY_POSTERIORS[name]()) for name in DENSITY_POSTERIORS), ("low_rank of 2", LowRank(2))]


@pytest.mark.parametrize(("_", "family"), FAMILIES)
@pytest.mark.parametrize("dim", [1, 5])
def test_a_family_in_moved_coordinates(_, family, dim):
    rng = np.random.default_rng(dim)
    family = family.built(dim, key=jax.random.key(0))
    standard = family.standard(dim)
    assert standard.shape == (family.num_parameters(dim),)
    parameters = standard + 0.3 * rng.normal(size=standard.shape)
    tril = np.tril(rng.normal(size=(dim, dim)), -1) + np.diag(rng.uniform(0.5, 2, dim))
    scale = tril if family.triangular else np.diagonal(tril)
    frame = Frame(jnp.asarray(rng.normal(size=dim)), jnp.asarray(scale))
    noise = normal_draws(1 << 15, family.num_noise(dim), 0, match=False)

    @jax.jit
    def all_of_it(parameters, noise):
        plain, q = family(parameters), family.moved(parameters, *frame)
        u = family.from_noise(parameters, noise)
        z = frame.z(u)
        densities = q.log_prob(z[:50]), plain.log_prob(u[:50]), plain.log_prob(u).mean()
        return (plain.mean, plain.variance), (q.mean, q.variance), z, densities, family.entropy(parameters, noise)

    (mean, variance), *_ = all_of_it(standard, noise)
    # near N(0, I)
    np.testing.assert_allclose(mean, 0, atol=1e-12)
    np.testing.assert_allclose(variance, 1, atol=0.2)
    _, (mean, variance), z, (moved, plain, average), entropy = all_of_it(parameters, noise)
    # the change of variables
    np.testing.assert_allclose(moved, plain - frame.log_det(), rtol=1e-9)
    np.testing.assert_allclose(z.mean(0), mean, atol=0.02 * np.sqrt(variance.max()))
    np.testing.assert_allclose(z.var(0), variance, rtol=0.03)
    # the entropy, by which the bound is worked out
    np.testing.assert_allclose(-average, entropy, atol=0.02)
