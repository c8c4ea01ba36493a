"""The convolutional networks: shapes for any image, leading axes, biases, scale at the start, compilations."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from varinf.networks import ConvDecoder, ConvEncoder

SIZES = [(n, 38 - n) for n in (*range(5, 34, 4), 6, 32)]
IMAGES = [(6, 6), (7, 5, 3), (9, 4, 1)]


def networks(image, code=3, channels=(4, 6), **settings):
    keys = jax.random.split(jax.random.key(0))
    return (
        ConvEncoder(image, 2 * code, channels, key=keys[0], **settings),
        ConvDecoder(code, image, channels, key=keys[1], **settings),
    )


@pytest.mark.parametrize(("depth", "channels"), [((), (2, 3)), ((1,), (2,)), ((3,), (2, 3, 2))])
def test_any_size_comes_out_as_it_went_in(depth, channels):
    for size in SIZES:
        image = (*size, *depth)

        def there_and_back(key, image=image):
            encoder = ConvEncoder(image, 4, channels, key=key)
            decoder = ConvDecoder(4, image, channels, key=key)
            return encoder(jnp.zeros((2, *image))), decoder(jnp.zeros((2, 4)))

        code, output = jax.eval_shape(there_and_back, jax.random.key(0))
        assert code.shape == (2, 4)
        assert output.shape == (2, *image)


@pytest.mark.parametrize("image", IMAGES)
def test_any_leading_axes(rng, image):
    encoder, decoder = networks(image)
    x = jnp.asarray(rng.normal(size=(2, 3, *image)), dtype=jnp.float32)
    z = jnp.asarray(rng.normal(size=(2, 3, 3)), dtype=jnp.float32)
    results = jax.jit(lambda x, z: (encoder(x), encoder(x[1, 2]), decoder(z), decoder(z[1, 2])))(x, z)
    code, one_code, output, one_output = results
    assert code.shape == (2, 3, 6)
    assert output.shape == x.shape
    np.testing.assert_allclose(one_code, code[1, 2], atol=1e-5)
    np.testing.assert_allclose(one_output, output[1, 2], atol=1e-5)
    none = jax.eval_shape(lambda x, z: (encoder(x), decoder(z)), x[:0], z[:0])
    assert [a.shape for a in none] == [(0, 3, 6), (0, 3, *image)]


def test_rows_do_not_mix(rng):
    encoder, decoder = networks((7, 6))
    x = jnp.asarray(rng.normal(size=(4, 7, 6)), dtype=jnp.float32)
    gradient = jax.jit(jax.grad(lambda x: jnp.sum(decoder(encoder(x)[:, :3])[1] ** 2)))(x)
    assert float(jnp.abs(gradient[1]).min()) > 0  # each pixel of the row counts
    np.testing.assert_array_equal(gradient[jnp.array([0, 2, 3])], 0.0)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("image", IMAGES)
def test_gradients_agree_with_finite_differences(rng, image):
    nets = networks(image, activation="tanh")
    x = jnp.asarray(rng.normal(size=(2, *image)))
    parameters, static = eqx.partition(nets, eqx.is_array)

    @jax.jit
    def loss(parameters):
        encoder, decoder = eqx.combine(parameters, static)
        return jnp.sum((decoder(encoder(x)[:, :3]) - x) ** 2)

    gradient = jax.jit(jax.grad(loss))(parameters)
    parameters = jax.tree.map(np.asarray, parameters)
    for i, leaf in enumerate(jax.tree.leaves(parameters)):
        leaves, tree = jax.tree.flatten(parameters)
        step = rng.normal(size=leaf.shape)
        moved = [[*leaves[:i], leaf + h * step, *leaves[i + 1 :]] for h in (1e-6, -1e-6)]
        above, below = (float(loss(jax.tree.unflatten(tree, ends))) for ends in moved)
        slope = np.sum(np.asarray(jax.tree.leaves(gradient)[i]) * step)
        np.testing.assert_allclose(slope, (above - below) / 2e-6, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("image", IMAGES)
def test_output_bias(rng, image):
    _, decoder = networks(image)
    z = jnp.asarray(rng.normal(size=(2, 3)), dtype=jnp.float32)
    bias = jnp.asarray(rng.normal(size=image), dtype=jnp.float32)

    @jax.jit
    def outputs(decoder, bias):
        biased = decoder.with_output_bias(bias)
        gradient = jax.grad(lambda net: jnp.sum(net(z)))(biased)
        return decoder(z), biased(z), biased.with_output_bias(0 * bias)(z), gradient.biases[-1]

    plain, biased, replaced, gradient = outputs(decoder, bias)
    np.testing.assert_allclose(biased - plain, jnp.broadcast_to(bias, (2, *image)), atol=1e-5)
    np.testing.assert_allclose(replaced, plain, atol=1e-6)  # it replaces, not adds
    np.testing.assert_allclose(gradient, jnp.full(image, 2.0))


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_weights_start_so_that_the_scale_is_kept(rng, activation):
    encoder, decoder = networks((20, 20), code=16, channels=(16, 24), activation=activation)
    x = jnp.asarray(rng.normal(size=(32, 20, 20)), dtype=jnp.float32)
    z = jnp.asarray(rng.normal(size=(32, 16)), dtype=jnp.float32)
    # Variance 1 / fan_in without the activation's part gives 0.3 for the ReLU's code.
    code, output = jax.jit(lambda x, z: (encoder(x), decoder(z)))(x, z)
    assert 0.6 < np.sqrt(np.mean(np.square(code))) < 1.5
    assert 0.6 < np.sqrt(np.mean(np.square(output))) < 1.5


def test_bfloat16_leaves_the_parameters_alone(rng):
    x = jnp.asarray(rng.normal(size=(4, 8, 8)), dtype=jnp.float32)
    (exact, _), (narrow, _) = networks((8, 8)), networks((8, 8), dtype="bfloat16")
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(narrow))
    rounded, full = jax.jit(lambda narrow, exact: (narrow(x), exact(x)))(narrow, exact)
    assert rounded.dtype == jnp.float32
    # bfloat16 keeps 8 bits, so 1e-2 after three layers, and not nothing.
    assert 1e-4 < float(jnp.abs(rounded - full).max()) < 5e-2


def test_second_call_does_not_compile(rng, compilations):
    first, second = (networks((7, 6), activation="elu") for _ in range(2))
    x = jnp.asarray(rng.normal(size=(2, 7, 6)), dtype=jnp.float32)
    call = eqx.filter_jit(lambda nets, x: nets[1](nets[0](x)[..., :3]))
    call(first, x).block_until_ready()
    assert compilations
    compilations.clear()
    call(second, x).block_until_ready()
    assert not compilations


@pytest.mark.parametrize("shape", [(5,), (4, 4, 3, 2)])
def test_other_data_are_refused(shape):
    with pytest.raises(ValueError, match="use network 'mlp'"):
        ConvEncoder(shape, 3, key=jax.random.key(0))
    with pytest.raises(ValueError, match="use network 'mlp'"):
        ConvDecoder(3, shape, key=jax.random.key(0))


def test_unknown_activation_is_refused():
    with pytest.raises(ValueError, match="relu"):
        ConvEncoder((8, 8), 3, activation="rellu", key=jax.random.key(0))
