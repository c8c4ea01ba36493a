"""Outputs that are drawn without the weights have the distribution of those of drawn weights, for any network."""

from functools import cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from varinf.models._gradient_estimators import per_datum_outputs, plan
from varinf.networks import MLP, ConvEncoder, batched
from varinf.posteriors import MeanFieldWeights

KEY = jax.random.key(3)
DRAWS = 20_000


class Convolution(eqx.Module):
    """A strided, padded, dilated convolution of images that are not square, of which a dense layer sees all."""

    conv: eqx.nn.Conv2d
    dense: eqx.nn.Linear

    def __init__(self):
        self.conv = eqx.nn.Conv2d(2, 3, (3, 2), stride=(2, 1), padding=((1, 1), (0, 1)), dilation=(1, 2), key=KEY)
        self.dense = eqx.nn.Linear(36, 2, key=KEY)

    def __call__(self, x):
        return self.dense(jax.nn.relu(self.conv(x)).ravel())


class Recurrent(eqx.Module):
    cell: eqx.nn.GRUCell
    dense: eqx.nn.Linear

    def __init__(self):
        self.cell, self.dense = eqx.nn.GRUCell(2, 4, key=KEY), eqx.nn.Linear(4, 2, key=KEY)

    def __call__(self, x):
        state, _ = jax.lax.scan(lambda state, x: (self.cell(x, state), None), jnp.zeros(4), x)
        return self.dense(state)


class Attention(eqx.Module):
    attention: eqx.nn.MultiheadAttention

    def __init__(self):
        self.attention = eqx.nn.MultiheadAttention(2, 4, key=KEY)

    def __call__(self, x):
        return self.attention(x, x, x).mean(0)


class Tied(eqx.Module):
    """A weight that is used twice, a scaled difference of layers, and one that is summed by hand."""

    weight: jax.Array
    other: jax.Array
    bias: jax.Array

    def __init__(self):
        keys = jax.random.split(KEY, 3)
        self.weight, self.other, self.bias = (
            jax.random.normal(k, s) for k, s in zip(keys, ((3, 3), (3, 2), (2,)), strict=True)
        )

    def __call__(self, x):
        hidden = jnp.tanh(x @ self.weight) @ self.weight
        return self.bias - 3 * (hidden[:, None] * self.other).sum(0) / 2


NETWORKS = {
    "dense": (lambda: batched(eqx.nn.MLP(3, 2, 5, 2, key=KEY)), (4, 3)),
    "ours": (lambda: MLP((3,), (2,), (5,), key=KEY), (4, 3)),
    "convolution": (lambda: batched(Convolution()), (3, 2, 6, 5)),
    "our convolution": (lambda: ConvEncoder((6, 5), 2, (2, 3), key=KEY), (3, 6, 5)),
    "recurrent": (lambda: batched(Recurrent()), (3, 5, 2)),
    "attention": (lambda: batched(Attention()), (3, 5, 4)),
    "tied": (lambda: batched(Tied()), (4, 3)),
}


def parts(name):
    """A network as a function of weights and inputs, a posterior with wide weights, and inputs."""
    make, shape = NETWORKS[name]
    weights, fixed = eqx.partition(eqx.filter_jit(make)(), eqx.is_inexact_array)
    q = MeanFieldWeights(weights, jax.tree.map(lambda w: np.full(w.shape, np.log(0.3), w.dtype), weights))
    x = jnp.asarray(np.random.default_rng(3).normal(size=shape))
    return lambda weights, x: eqx.combine(weights, fixed)(x), q, x


def moments(outputs):
    """Mean and covariance of the outputs of each datum."""
    outputs = np.asarray(outputs, np.float64).reshape(len(outputs), outputs.shape[1], -1)
    return outputs.mean(0), np.stack([np.cov(outputs[:, i].T) for i in range(outputs.shape[1])])


@cache
def expected(name):
    """The moments under drawn weights."""
    network, q, x = parts(name)
    return moments(jax.jit(lambda key: jax.vmap(lambda w: network(w, x))(q.sample(key, DRAWS)))(jax.random.key(0)))


@pytest.mark.parametrize("estimator", ["local", "flipout"])
@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_have_the_distribution_of_those_of_drawn_weights(name, estimator):
    """Independent noise at each place of a convolution's output would have the right variances there, and in the sum
    over places a fifth of it; that is what the dense layer behind it sees."""
    network, q, x = parts(name)
    mean, covariance = expected(name)
    drawn = jax.jit(lambda: per_datum_outputs(plan(network, q.loc, x, estimator), q, x, DRAWS, jax.random.key(1)))()
    own_mean, own_covariance = moments(drawn)
    spread = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
    assert np.abs((own_mean - mean) / spread).max() < 5 * np.sqrt(2 / DRAWS)
    scale = spread[:, :, None] * spread[:, None, :]
    assert np.abs((own_covariance - covariance) / scale).max() < 0.1  # 5 to 6 standard errors, of heavy tails


def test_what_is_drawn_for_what():
    def found(name, wrapped=lambda network: network):
        network, q, x = parts(name)
        return plan(wrapped(network), q.loc, x, "local").ways

    ways = {name: eqx.filter_eval_shape(found, name) for name in NETWORKS}
    assert set(ways["dense"]) == set(ways["ours"]) == {"local"}
    assert set(eqx.filter_eval_shape(found, "ours", jax.checkpoint)) == {"local"}
    assert ways["convolution"] == ("datum", "datum", "local", "local")  # kernel, its bias; the dense layer
    assert ways["recurrent"][-2:] == ("local", "local")
    assert set(ways["recurrent"][:-2]) == set(ways["attention"]) == {"datum"}
    assert ways["tied"] == ("datum", "local", "local")


def test_data_do_not_share_their_draws():
    """One draw of the weights makes equal rows equal."""
    network, q, _ = parts("convolution")
    x = np.ones((2, 2, 6, 5), np.float32)
    for estimator in ("local", "flipout"):
        way = plan(network, q.loc, x, estimator)
        drawn = jax.jit(lambda key, way=way: per_datum_outputs(way, q, x, 2000, key))(jax.random.key(1))
        own = np.corrcoef(np.asarray(drawn)[..., 0].T)[0, 1]
        assert abs(own) < 0.2 if estimator == "flipout" else abs(own) < 0.1


def test_large_arrays_that_are_no_layers_are_flipped_by_auto():
    class Wide(eqx.Module):
        weight: jax.Array

        def __call__(self, x):
            return (x @ self.weight).sum(-2)

    weight = jnp.ones((200, 200))
    q = MeanFieldWeights(Wide(weight), Wide(jnp.zeros_like(weight)))
    x = jax.ShapeDtypeStruct((4, 7, 200), weight.dtype)
    assert plan(lambda net, x: net(x), q.loc, x, "auto").ways == ("flipout",)
    assert plan(lambda net, x: net(x), q.loc, x, "local").ways == ("datum",)


def test_a_row_of_zeros_has_a_gradient():
    """The standard deviation of a product with nothing but zeros is zero, where the root has none."""
    network, q, _ = parts("tied")
    x = np.zeros((1, 3), np.float32)
    way = plan(network, q.loc, x, "local")
    gradient = jax.jit(jax.grad(lambda q: per_datum_outputs(way, q, x, 1, jax.random.key(0)).sum()))(q)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
