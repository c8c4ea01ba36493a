"""What likelihoods and observations make of data, and what they refuse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import varinf as vi
from varinf import likelihoods as vl
from varinf.data import source, summarize
from varinf.likelihoods import LIKELIHOODS, AsGiven, Binarized, DataOptions, Rescaled, Standardized, Whole


def summary(values, dtype=np.float32):
    return summarize(source(np.asarray(values, dtype).reshape(-1, 1)))


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_output_shapes_and_leading_axes(name):
    parts = LIKELIHOODS[name].for_data((4, 3), DataOptions(num_values=7), None)
    shape = parts.likelihood.output_shape((4, 3))
    assert shape[:2] == (4, 3)
    output = jax.random.normal(jax.random.key(0), (2, 5, *shape))
    p = parts.likelihood(output)
    assert p.batch_shape == (2, 5, 4, 3)
    assert parts.output_bias is None
    x = jnp.ones((5, 4, 3)) if name != "continuous_bernoulli" else jnp.full((5, 4, 3), 0.5)
    assert parts.features(x).shape == (5, *parts.features_shape)
    np.testing.assert_allclose(p.log_prob(x)[1, 3], parts.likelihood(output[1, 3]).log_prob(x[3]), rtol=1e-5)


@pytest.mark.parametrize(("output", "most"), [(-40.0, 5), (0.0, 40), (3.0, 120)])
def test_poisson_sums_to_one(float64, output, most):
    p = vl.Poisson()(jnp.asarray(output))
    probabilities = np.exp(p.log_prob(jnp.arange(float(most))))
    assert probabilities.sum() == pytest.approx(1, abs=1e-12)
    assert float(p.mean) == pytest.approx(np.exp(output))


@pytest.mark.parametrize("raw", [-40.0, 0.0, 40.0])
@pytest.mark.parametrize("loc", [-30.0, -1.0, 0.3, 30.0])
def test_discretized_logistic_sums_to_one_from_any_output(float64, loc, raw):
    p = vl.DiscretizedLogistic(256)(jnp.array([loc, raw]))
    log_p = p.log_prob(jnp.arange(256.0))
    assert np.isfinite(log_p).all()
    assert np.exp(log_p).sum() == pytest.approx(1, abs=1e-12)
    # −1 and 1 are the first and the last value
    assert float(p.loc) == pytest.approx(127.5 * (1 + loc))


def test_gaussian_is_learned_unless_known():
    learned, known = vl.Gaussian(shape=(3,)), vl.Gaussian(scale=[1.0, 2.0, 3.0])
    np.testing.assert_allclose(learned(jnp.zeros(3)).scale, 1 + 1e-3, rtol=1e-5)
    np.testing.assert_allclose(known(jnp.zeros(3)).scale, [1, 2, 3])


# --- observations ----------------------------------------------------------------------------------------------------


def test_dynamic_binarisation_draws_ones_in_proportion():
    rows = np.tile(np.array([0, 64, 128, 255], np.uint8), (40_000, 1))
    observe = Binarized("dynamic", 255.0)
    drawn = np.asarray(observe(jnp.asarray(rows), key=jax.random.key(0)))
    assert set(np.unique(drawn)) == {0.0, 1.0}
    p = rows[0] / 255
    assert (np.abs(drawn.mean(0) - p) <= 5 * np.sqrt(p * (1 - p) / len(rows))).all()
    # without a key, the mean of the draws
    np.testing.assert_allclose(observe(jnp.asarray(rows[:1]), key=None)[0], p, rtol=1e-6)


@pytest.mark.parametrize(
    ("way", "expected"), [("threshold", [0, 0, 1, 1]), ("none", [0, 0.5, 0.502, 1]), ("given", [0, 0.5, 0.502, 1])]
)
def test_other_ways_are_the_same_with_and_without_a_key(way, expected):
    rows = jnp.array([0.0, 127.5, 128.0, 255.0])
    for key in (None, jax.random.key(0)):
        np.testing.assert_allclose(Binarized(way, 255.0)(rows, key=key), expected, atol=1e-3)


def test_grey_targets_are_soft_on_request_alone():
    for way, soft in ((None, False), ("dynamic", False), ("threshold", False), ("none", True)):
        parts = vl.Bernoulli.for_data((2,), DataOptions(255.0, way), None)
        assert parts.likelihood.soft_targets == soft


@pytest.mark.parametrize(
    ("observation", "values", "message"),
    [
        (Binarized("given", 1.0), [0, 0.5], r"expected zeros and ones .* from 0 to 0.5; .*scale=1 "),
        (Binarized("given", 1.0), [0, 255], r"scale=255 \(the value of white\)"),
        (Binarized("dynamic", 1.0), [0, 255], r"expected pixels in \[0, 1\] .* pass scale=255"),
        (Binarized("threshold", 255.0), [-1, 255], r"got values from -1 to 255"),
        (Rescaled(255.0), [0, 256], r"expected values in \[0, 255\]"),
        (Rescaled(1.0), [-0.1, 1], "continuous Bernoulli"),
        (Whole("poisson", None), [0, 2.5], "got fractions from 0 to 2.5"),
        (Whole("poisson", None), [-1, 2], "got values from -1 to 2"),
        (Whole("categorical", 4), [0, 5], "whole numbers from 0 to 4 for a categorical"),
    ],
)
def test_data_outside_the_support_are_refused(observation, values, message):
    with pytest.raises(vi.InputError, match=message):
        observation.check(summary(values))


@pytest.mark.parametrize(
    ("observation", "values"),
    [
        (AsGiven(), [-5, 1e9]),
        (Binarized("given", 1.0), [0, 1]),
        (Binarized("dynamic", 255.0), [0, 255]),
        (Rescaled(255.0), [0, 255]),
        (Whole("poisson", None), [0, 1e6]),
        (Whole("categorical", 4), [0, 4]),
        (Standardized(np.zeros(1), np.ones(1), 1), [-5, 5]),
    ],
)
def test_data_within_it_are_taken(observation, values):
    observation.check(summary(values))


def test_whole_numbers_become_floats():
    for dtype in (np.uint8, np.int32, bool):
        assert AsGiven()(jnp.ones(3, dtype), key=None).dtype == jnp.float32
    assert Whole("poisson", None)(jnp.full(3, 255, jnp.uint8), key=None).max() == 255


def test_standardised_rows_keep_their_digits():
    """1e9 ± 1: taken off in float32, the shift would leave multiples of 64."""
    rows = 1e9 + np.array([[-1.0], [0.5], [1.0]])
    observe = Standardized(np.array([1e9]), np.array([1.0]), 1)
    np.testing.assert_allclose(observe.prepare(rows), rows - 1e9, atol=1e-6)
    assert observe.prepare(rows).dtype == np.float32


def test_log_det_counts_every_number_of_a_row():
    one_unit = Standardized(np.asarray(0.0), np.asarray(4.0), 6)
    np.testing.assert_allclose(one_unit.log_det(), -6 * np.log(4), rtol=1e-6)
    each = Standardized(np.zeros(3), np.array([1e-6, 1.0, 1e6]), 3)
    np.testing.assert_allclose(each.log_det(), 0, atol=1e-5)


def test_a_constant_column_has_the_unit_one():
    parts = vl.Gaussian.for_data((2,), DataOptions(), summarize(source(np.array([[1.0, 5.0], [2.0, 5.0]]))))
    np.testing.assert_allclose(parts.observation.unit, [0.5, 1.0])
    assert np.isfinite(parts.observation.prepare(np.array([[1.0, 5.0]]))).all()
