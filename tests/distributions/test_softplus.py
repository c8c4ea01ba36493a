import jax
import jax.numpy as jnp
import numpy as np

from varinf.distributions import softplus

POINTS = np.concatenate([-np.geomspace(1e-30, 800, 60), [0.0], np.geomspace(1e-30, 800, 60)])


def test_it_is_jaxs(float64):
    np.testing.assert_allclose(softplus(POINTS), jax.nn.softplus(POINTS), rtol=1e-15)


def test_its_derivatives_are_jaxs(float64):
    first = jax.vmap(jax.grad(softplus))(POINTS)
    np.testing.assert_allclose(first, jax.vmap(jax.grad(jax.nn.softplus))(POINTS), rtol=1e-13)
    np.testing.assert_allclose(first, jax.nn.sigmoid(POINTS), rtol=1e-15)
    second = jax.vmap(jax.grad(jax.grad(softplus)))(POINTS)
    np.testing.assert_allclose(second, jax.nn.sigmoid(POINTS) * jax.nn.sigmoid(-POINTS), rtol=1e-9, atol=1e-15)


def test_infinities():
    np.testing.assert_array_equal(softplus(jnp.array([-jnp.inf, jnp.inf])), [0, np.inf])
    np.testing.assert_array_equal(jax.vmap(jax.grad(softplus))(jnp.array([-jnp.inf, jnp.inf])), [0, 1])
