import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from varinf import InputError
from varinf.networks import ACTIVATIONS, MLP, linear_layers

KEY = jax.random.key(0)


@pytest.mark.parametrize("hidden", [(), (4,), (4, 5)])
@pytest.mark.parametrize("batch", [(), (6,), (2, 6)])
def test_any_leading_axes(hidden, batch):
    network = MLP((3, 2), (2, 5), hidden, key=KEY)
    x = jax.random.normal(KEY, (*batch, 3, 2))
    y = network(x)
    assert y.shape == (*batch, 2, 5)
    one = (0,) * len(batch)
    np.testing.assert_allclose(y[one], network(x[one]), rtol=1e-5, atol=1e-6)


def test_it_is_the_formula():
    network = MLP((3,), (2,), (4,), activation="tanh", key=KEY)
    first, last = network.layers
    x = jax.random.normal(KEY, (5, 3))
    expected = np.tanh(x @ first.weight + first.bias) @ last.weight + last.bias
    np.testing.assert_allclose(network(x), expected, rtol=1e-5, atol=1e-6)


def test_weights_start_with_glorots_variance():
    for layer, (inputs, outputs) in zip(linear_layers((300, 200, 500), key=KEY), ((300, 200), (200, 500)), strict=True):
        weight = np.asarray(layer.weight)
        # a normal would go beyond the bound; a variance of 1 / in_size would be two thirds above
        assert np.abs(weight).max() <= (6 / (inputs + outputs)) ** 0.5
        assert weight.var() == pytest.approx(2 / (inputs + outputs), rel=0.02)
        assert abs(weight.mean()) < 4 * (weight.var() / weight.size) ** 0.5
        assert (np.asarray(layer.bias) == 0).all()


def test_no_two_weights_start_as_one():
    layers = linear_layers((40, 30, 20, 10), key=KEY)
    drawn = np.concatenate([np.ravel(layer.weight) * (sum(layer.weight.shape) / 6) ** 0.5 for layer in layers])
    assert len(np.unique(drawn.round(6))) > 0.995 * len(drawn)


def test_networks_of_many_keys_are_those_of_each():
    """Equinox's way to an ensemble."""
    keys = jax.random.split(KEY, 3)
    many = eqx.filter_vmap(lambda key: MLP((3,), (2,), (4,), key=key))(keys)
    for i, key in enumerate(keys):
        for leaf, own in zip(*map(jax.tree.leaves, (many, MLP((3,), (2,), (4,), key=key))), strict=True):
            np.testing.assert_array_equal(leaf[i], own)


def test_bfloat16_is_for_the_products_alone():
    wide, narrow = (linear_layers((64, 8), dtype=dtype, key=KEY)[0] for dtype in ("float32", "bfloat16"))
    x = jax.random.normal(KEY, (5, 64))
    assert narrow(x).dtype == narrow.weight.dtype == jnp.float32
    gap = np.abs(narrow(x) - wide(x)).max()
    assert 1e-5 < gap < 0.05
    gradient = jax.grad(lambda x: narrow(x).sum())(x)
    assert gradient.dtype == jnp.float32


def test_output_bias():
    network = MLP((3,), (2, 2), (4,), key=KEY).with_output_bias(jnp.arange(4.0).reshape(2, 2))
    np.testing.assert_array_equal(network(jnp.zeros(3)), [[0, 1], [2, 3]])


def test_activations():
    for name in ACTIVATIONS:
        y = ACTIVATIONS[name](jnp.array([-2.0, 0.0, 2.0]))
        assert y.shape == (3,)
        assert float(y[2]) > float(y[0])
    with pytest.raises(InputError, match="Did you mean 'tanh'"):
        MLP((3,), (2,), activation="tanhh", key=KEY)
