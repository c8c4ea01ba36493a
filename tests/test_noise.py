import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from varinf._noise import _radius, _sine, folded, normal, uniform

SHAPES = [(784, 400), (3, 137), (1,), (), (401,), (75, 16, 3, 3), (0, 2)]
SHAPES += [(1_000_000 - sum(map(math.prod, SHAPES)),)]
NUMBER = 1_000_000


@pytest.fixture(scope="module")
def drawn() -> np.ndarray:
    """Numbers of neighbouring keys, `[keys, number]`."""
    draw = jax.jit(lambda key: normal(key, SHAPES, jnp.dtype("float32")))
    return np.stack(
        [
            np.concatenate([np.ravel(part) for part in draw(key)]).astype(float)
            for key in (jax.random.key(0), *jax.random.split(jax.random.key(0)))
        ]
    )


def test_they_are_normal(drawn: np.ndarray):
    for numbers in drawn:
        # a distribution function off by 0.002 anywhere would show, or a scale off by 0.3 %
        assert stats.kstest(numbers, "norm").pvalue > 1e-3
        assert np.isfinite(numbers).all()
        assert abs(numbers.std() - 1) < 4 / (2 * NUMBER) ** 0.5
        # as many beyond 3.5 standard deviations as there should be, within 4 of the count's own
        expected = NUMBER * 2 * stats.norm.sf(3.5)
        assert abs((np.abs(numbers) > 3.5).sum() - expected) < 4 * expected**0.5


def test_neighbours_have_nothing_in_common(drawn: np.ndarray):
    """Neither numbers beside each other, nor rows of a matrix, nor the same place under other keys: in values,
    sizes or signs."""
    bound = 4.5 / NUMBER**0.5
    for form in (lambda x: x, lambda x: x**2 - 1, np.sign):
        formed = [form(numbers) / form(numbers).std() for numbers in drawn]
        for lag in (1, 2, 10, 400, 784):
            assert all(abs(np.mean(f[lag:] * f[:-lag])) < bound for f in formed)
        pairs = ((0, 1), (0, 2), (1, 2))
        assert all(abs(np.mean(formed[a] * formed[b])) < bound for a, b in pairs)
    spectra = [np.abs(np.fft.rfft(numbers)[1:-1]) ** 2 / NUMBER for numbers in drawn]
    assert all(spectrum.max() < np.log(NUMBER) + 10 for spectrum in spectra)  # a period of any length would stand out


def test_neighbours_fill_the_square_evenly():
    """Chi-squared of neighbours' radii in 2¹⁶ cells. Of a hash of plain counters, tens of standard deviations off."""
    draw = jax.jit(lambda key: normal(key, [(8000, 400)], jnp.dtype("float32"))[0])
    counts = np.zeros(1 << 16)
    for key in jax.random.split(jax.random.key(3), 6):
        sine, cosine = np.split(np.asarray(draw(key)), 2)
        cell = np.minimum(256 * np.exp(-(sine**2 + cosine**2) / 2), 255).astype(int)
        counts += np.bincount((256 * cell[:, :-3] + cell[:, 3:]).ravel(), minlength=1 << 16)
    assert stats.chisquare(counts).pvalue > 1e-3


def test_uniform_numbers():
    """Chi-squared of values and of pairs of them: beside each other, in the next row, and under the next key."""
    draw = jax.jit(lambda key: uniform(key, (5000, 400), jnp.dtype("float32")))
    numbers = np.stack([np.asarray(draw(key)) for key in (jax.random.key(0), jax.random.key(1))]).astype(float)
    assert numbers.min() >= 0
    assert numbers.max() < 1
    cells = (1024 * numbers).astype(int)
    low = (numbers * 2**24).astype(int) & 1023  # the last bits that there are
    for parts in (cells, low):
        assert stats.chisquare(np.bincount(parts.ravel(), minlength=1024)).pvalue > 1e-3
    for first, second in (
        (cells[:, :, :-1], cells[:, :, 1:]),
        (cells[:, :-1], cells[:, 1:]),
        (cells[0], cells[1]),
        (cells, low),
    ):
        pairs = (first >> 2) * 256 + (second >> 2)
        assert stats.chisquare(np.bincount(pairs.ravel(), minlength=1 << 16)).pvalue > 1e-3


@pytest.mark.parametrize("shape", [(), (0, 3), (5,), (3, 7), (2, 3, 130)])
def test_uniform_numbers_of_any_shape_and_precision(shape):
    assert uniform(jax.random.key(0), shape, jnp.dtype("float32")).shape == shape
    with jax.enable_x64(True):
        expected = jax.random.uniform(jax.random.key(0), shape, "float64")
        np.testing.assert_array_equal(uniform(jax.random.key(0), shape, jnp.dtype("float64")), expected)


def test_small_seeds():
    """The words of a key of a small seed are mostly zeros, and hashed no further by JAX."""
    keys = jax.vmap(jax.random.key)(jnp.arange(4000))
    of_keys = jax.jit(jax.vmap(lambda key: uniform(key, (5,), jnp.dtype("float32"))))(keys)
    normals = jax.jit(jax.vmap(lambda key: normal(key, [(5,)], jnp.dtype("float32"))[0]))(keys)
    for place in range(5):
        assert stats.kstest(np.asarray(of_keys[:, place], float), "uniform").pvalue > 1e-3
        assert stats.kstest(np.asarray(normals[:, place], float), "norm").pvalue > 1e-3
    assert np.abs(normals[:4]).max() < 4
    assert np.asarray(of_keys[:4]).min() > 1e-3


def test_folded_keys():
    """Two thousand numbers of each of a thousand: all apart, and their uniform numbers even, alone and in pairs."""
    numbers = jnp.arange(1000)

    @jax.jit
    def words(key):
        children = jax.vmap(lambda a: jax.vmap(lambda b: folded(folded(key, a), b))(jnp.arange(2000)))(numbers)
        drawn = jax.vmap(jax.vmap(lambda key: uniform(key, (2,), jnp.dtype("float32"))))(children)
        return jax.random.key_data(children), drawn

    data, drawn = map(np.asarray, words(jax.random.key(0)))
    assert len(np.unique(data.reshape(-1, 2), axis=0)) == 2_000_000
    for word in np.moveaxis(data, 2, 0):
        for part in (word >> 22, word & 1023):
            assert stats.chisquare(np.bincount(part.ravel(), minlength=1024)).pvalue > 1e-3
    cells = (256 * drawn.astype(float)).astype(int)
    neighbours = ((cells[..., 0], cells[..., 1]), (cells[:-1], cells[1:]), (cells[:, :-1], cells[:, 1:]))
    for first, second in neighbours:
        assert stats.chisquare(np.bincount((256 * first + second).ravel(), minlength=1 << 16)).pvalue > 1e-3
    assert not np.array_equal(jax.random.key_data(folded(jax.random.key(1), jnp.asarray(0))), data[0, 0])


def test_keys_of_any_kind():
    typed, raw, other = jax.random.key(5), jax.random.PRNGKey(5), jax.random.key(5, impl="rbg")
    first, second, third = (uniform(key, (40,), jnp.dtype("float32")) for key in (typed, raw, other))
    np.testing.assert_array_equal(first, second)
    assert third.shape == (40,)
    children = jax.random.split(other, 20)
    numbers = np.stack([uniform(key, (40,), jnp.dtype("float32")) for key in children])
    assert len(np.unique(numbers)) == numbers.size


def test_shapes_are_those_asked_for():
    drawn = jax.eval_shape(lambda key: normal(key, SHAPES, jnp.dtype("float32")), jax.random.key(0))
    assert [array.shape for array in drawn] == SHAPES


def test_numbers_are_the_same_whether_stored_or_not():
    once, often = (
        jax.jit(lambda key, way=way: normal(key, SHAPES, jnp.dtype("float32"), read_once=way))(jax.random.key(2))
        for way in (True, False)
    )
    for a, b in zip(once, often, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_the_same_shapes_are_compiled_once(compilations):
    normal(jax.random.key(0), [(3, 4)], jnp.dtype("float32"))
    key, once = jax.random.key(1), len(compilations)
    normal(key, [(3, 4)], jnp.dtype("float32"))
    assert len(compilations) == once


def test_angles():
    turns = np.concatenate(
        [np.arange(0, 2**32, 65_521), *(np.arange(at - 2, at + 3) % 2**32 for at in range(0, 2**32, 2**29))]
    )
    sines = np.asarray(_sine(jnp.asarray(turns, jnp.uint32)), float)
    np.testing.assert_allclose(sines, np.sin(2 * np.pi * turns / 2**32), atol=4e-7)


def test_radii():
    bits = np.concatenate([np.arange(0, 2**32, 65_521), np.arange(5), 2**32 - np.arange(1, 100_000, 7)])
    radii = np.asarray(_radius(jnp.asarray(bits, jnp.uint32)), float)
    uniform = np.float32(bits) + np.float32(0.5)  # as far as single precision tells them apart
    np.testing.assert_allclose(radii, np.sqrt(-2 * np.log(uniform / 2.0**32)), rtol=3e-7, atol=0)


def test_double_precision_is_kept():
    with jax.enable_x64(True):
        key = jax.random.key(1)
        first, second = normal(key, [(3, 2), (4,)], jnp.dtype("float64"))
        assert jnp.array_equal(jnp.append(first, second), jax.random.normal(key, 10, "float64"))
