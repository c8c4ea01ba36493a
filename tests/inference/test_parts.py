"""The draws, the minimiser, and the families in moved coordinates."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from varinf.inference._bound import Frame
from varinf.inference._draws import NoiseBuffer, normal_draws
from varinf.inference._optimize import minimize, no_memory
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
    found = jax.jit(lambda x: minimize(function, x, 500, 1e-12, no_memory(x)))(jnp.zeros(6))
    assert found.converged
    np.testing.assert_allclose(found.x, 1, atol=1e-5)
    stopped = minimize(function, jnp.zeros(6), 3, 1e-12, no_memory(jnp.zeros(6)))
    assert not stopped.converged
    assert stopped.steps == 3
    assert stopped.value < rosenbrock(jnp.zeros(6))


def test_a_minimiser_that_remembers_knows_what_is_left_when_the_function_has_changed_a_little():
    rotation = np.linalg.qr(np.random.default_rng(0).standard_normal((6, 6)))[0]
    hessian = rotation @ np.diag(np.geomspace(1, 1e4, 6)) @ rotation.T
    before = np.ones(6)
    after = before + 0.01 * np.random.default_rng(1).standard_normal(6)

    @jax.jit
    def found(x, slope, memory):
        return minimize(jax.value_and_grad(lambda x: 0.5 * x @ hessian @ x - slope @ x), x, 500, 1e-7, memory)

    start = jnp.zeros(6)
    first = found(start, before, no_memory(start))
    again, fresh = (found(first.x, after, memory) for memory in (first.memory, no_memory(start)))
    least = -0.5 * after @ np.linalg.solve(hessian, after)
    assert again.converged
    assert again.first - least > 1e-6
    assert again.value - least < 1e-7
    assert again.steps < first.steps / 4
    # without what it knew it takes a first step for the last
    assert fresh.converged
    assert fresh.value - least > 1e-6


def test_an_update_at_a_new_gradient_changes_none_of_the_memory():
    matrix = np.diag(np.geomspace(1, 100, 30))  # of more dimensions than are remembered
    function = jax.value_and_grad(lambda x: 0.5 * x @ matrix @ x - x.sum())
    end = minimize(function, jnp.zeros(30), 27, 1e-12, no_memory(jnp.zeros(30)))
    again = minimize(function, end.x, 0, 1e-12, end.memory)
    for name in ("diff_params_memory", "diff_updates_memory", "weights_memory"):
        np.testing.assert_allclose(getattr(again.memory, name), getattr(end.memory, name), rtol=1e-6)
    assert again.memory.count == end.memory.count


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
