import jax
import jax.numpy as jnp
import numpy as np
import pytest

from varinf import distributions as vd
from varinf.posteriors import POSTERIORS, Amortized, FullRank, MeanField


@pytest.mark.parametrize("dim", [1, 2, 3, 7])
@pytest.mark.parametrize("name", POSTERIORS)
def test_shapes(name, dim):
    family = POSTERIORS[name]().built(dim, key=jax.random.key(2))
    parameters = jax.random.normal(jax.random.key(0), (4, 3, family.num_parameters(dim)))

    @jax.jit
    def moments(parameters):
        q = family(parameters)
        return q.mean, q.variance

    q = jax.eval_shape(family, parameters)
    assert (q.batch_shape, q.event_shape) == ((4, 3), (dim,))
    draws = jax.eval_shape(lambda p: family(p).rsample(jax.random.key(1), (5,)), parameters)
    assert draws.shape == (5, 4, 3, dim)
    mean, variance = moments(parameters)
    np.testing.assert_allclose(mean, parameters[..., :dim], atol=1e-5)
    np.testing.assert_allclose(moments(parameters[2, 1])[1], variance[2, 1], rtol=1e-5)


def test_a_full_covariance_can_be_any_and_each_once():
    dim = 3
    parameters = jnp.arange(1.0, FullRank().num_parameters(dim) + 1) / 5
    tril = np.asarray(FullRank()(parameters).scale_tril)
    np.testing.assert_array_equal(tril, np.tril(tril))
    np.testing.assert_allclose(np.diag(tril), np.log1p(np.exp(parameters[dim : 2 * dim])), rtol=1e-4)
    np.testing.assert_allclose(tril[np.tril_indices(dim, -1)], parameters[2 * dim :])


def test_without_correlation_it_is_the_mean_field():
    parameters = jax.random.normal(jax.random.key(0), (2, 6))
    full = FullRank()(jnp.concatenate([parameters, jnp.zeros((2, 3))], -1))
    prior = vd.MultivariateNormalDiag(jnp.zeros(3), jnp.ones(3))
    np.testing.assert_allclose(
        vd.kl_divergence(full, prior), vd.kl_divergence(MeanField()(parameters), prior), rtol=1e-5
    )


@pytest.mark.parametrize("name", POSTERIORS)
def test_extreme_parameters_keep_density_and_gradient_finite(name):
    family = POSTERIORS[name]().built(2, key=jax.random.key(2))
    noise = jax.random.normal(jax.random.key(3), (8, family.num_noise(2)))
    prior = vd.MultivariateNormalDiag(jnp.zeros(2), jnp.ones(2))

    @jax.jit
    @jax.value_and_grad
    def kl(parameters):
        return -prior.log_prob(family.from_noise(parameters, noise)).mean() - family.entropy(parameters, noise)

    for raw in (-1e4, -100.0, 100.0):
        parameters = jnp.full(family.num_parameters(2), raw).at[:2].set(0.0)
        value, gradient = kl(parameters)
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()


def test_an_encoder_is_a_network_a_family_and_features():
    q = Amortized(lambda h: h @ jnp.ones((3, 4)), MeanField(), lambda x: 2 * x)(jnp.ones((5, 3)))
    assert q.batch_shape == (5,)
    np.testing.assert_allclose(q.mean, 6.0)
