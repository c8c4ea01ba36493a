import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from varinf import distributions as vd
from varinf.posteriors import POSTERIORS, Amortized, FullRank, MeanField

KEY = jax.random.key(2)


# with the family as an argument two names of one family share a program
@eqx.filter_jit
def moments(family, dim, parameters):
    q, one = map(family.built(dim, key=KEY), (parameters, parameters[2, 1]))
    return q.mean, q.variance, one.variance


@pytest.mark.parametrize("dim", [1, 2, 3, 7])
@pytest.mark.parametrize("name", POSTERIORS)
def test_shapes(name, dim):
    family = POSTERIORS[name]()
    parameters = np.random.default_rng(0).normal(size=(4, 3, family.num_parameters(dim))).astype(np.float32)

    def with_draws(parameters):
        q = family.built(dim, key=KEY)(parameters)
        return q, q.rsample(jax.random.key(1), (5,))

    q, draws = eqx.filter_eval_shape(with_draws, parameters)
    assert (q.batch_shape, q.event_shape) == ((4, 3), (dim,))
    assert draws.shape == (5, 4, 3, dim)
    mean, variance, of_one = map(np.asarray, moments(family, dim, parameters))
    np.testing.assert_allclose(mean, parameters[..., :dim], atol=1e-5)
    np.testing.assert_allclose(of_one, variance[2, 1], rtol=1e-5)


def test_a_full_covariance_can_be_any_and_each_once():
    dim = 3
    parameters = np.arange(1, FullRank().num_parameters(dim) + 1, dtype=np.float32) / 5
    tril = np.asarray(jax.jit(lambda parameters: FullRank()(parameters).scale_tril)(parameters))
    np.testing.assert_array_equal(tril, np.tril(tril))
    np.testing.assert_allclose(np.diag(tril), np.log1p(np.exp(parameters[dim : 2 * dim])), rtol=1e-4)
    np.testing.assert_allclose(tril[np.tril_indices(dim, -1)], parameters[2 * dim :])


def test_without_correlation_it_is_the_mean_field():
    @jax.jit
    def kls(parameters):
        full = FullRank()(jnp.concatenate([parameters, jnp.zeros((2, 3))], -1))
        prior = vd.MultivariateNormalDiag(jnp.zeros(3), jnp.ones(3))
        return vd.kl_divergence(full, prior), vd.kl_divergence(MeanField()(parameters), prior)

    np.testing.assert_allclose(*kls(np.random.default_rng(0).normal(size=(2, 6)).astype(np.float32)), rtol=1e-5)


@eqx.filter_jit
def kl(family, parameters):
    family = family.built(2, key=KEY)
    noise = jax.random.normal(jax.random.key(3), (8, family.num_noise(2)))
    prior = vd.MultivariateNormalDiag(jnp.zeros(2), jnp.ones(2))

    @jax.value_and_grad
    def of(parameters):
        return -prior.log_prob(family.from_noise(parameters, noise)).mean() - family.entropy(parameters, noise)

    return of(parameters)


@pytest.mark.parametrize("name", POSTERIORS)
def test_extreme_parameters_keep_density_and_gradient_finite(name):
    family = POSTERIORS[name]()
    for raw in (-1e4, -100.0, 100.0):
        parameters = np.full(family.num_parameters(2), raw, np.float32)
        parameters[:2] = 0
        value, gradient = kl(family, parameters)
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()


def test_an_encoder_is_a_network_a_family_and_features():
    encoder = Amortized(lambda h: h @ jnp.ones((3, 4)), MeanField(), lambda x: 2 * x)
    q, mean = jax.jit(lambda x: (q := encoder(x), q.mean))(np.ones((5, 3), np.float32))
    assert q.batch_shape == (5,)
    np.testing.assert_allclose(mean, 6.0)
