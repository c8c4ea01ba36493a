"""What likelihoods and observations make of data, and what they refuse."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.stats

import varinf as vi
from varinf import distributions as vd
from varinf import likelihoods as vl
from varinf._tree import trainable
from varinf.data import source, summarize
from varinf.likelihoods import LIKELIHOODS, AsGiven, Binarized, DataOptions, Rescaled, Standardized, Whole


def summary(values, dtype=np.float32):
    return summarize(source(np.asarray(values, dtype).reshape(-1, 1)))


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_output_shapes_and_leading_axes(name, rng):
    parts = LIKELIHOODS[name].for_data((4, 3), DataOptions(num_values=7), None)
    shape = parts.likelihood.output_shape((4, 3))
    assert shape[:2] == (4, 3)
    assert parts.output_bias is None

    @jax.jit
    def everything(output, x):
        p = parts.likelihood(output)
        return p, parts.features(x), p.log_prob(x), parts.likelihood(output[1, 3]).log_prob(x[3])

    x = np.full((5, 4, 3), 1 if name != "continuous_bernoulli" else 0.5, np.float32)
    p, features, together, alone = jax.device_get(everything(np.float32(rng.normal(size=(2, 5, *shape))), x))
    assert p.batch_shape == (2, 5, 4, 3)
    assert features.shape == (5, *parts.features_shape)
    np.testing.assert_allclose(together[1, 3], alone, rtol=1e-5)


@jax.jit
def score_and_moments(likelihood, output, x):
    p = likelihood(output)
    return p.log_prob(x), p.mean, p.variance


@pytest.mark.parametrize(("output", "most"), [(-40.0, 5), (0.0, 40), (3.0, 120)])
def test_poisson_sums_to_one(float64, output, most):
    log_p, mean, _ = score_and_moments(vl.Poisson(), output, np.arange(float(most)))
    assert np.exp(log_p).sum() == pytest.approx(1, abs=1e-12)
    assert float(mean) == pytest.approx(np.exp(output))


@pytest.mark.parametrize("raw", [-40.0, 0.0, 40.0])
@pytest.mark.parametrize("loc", [-30.0, -1.0, 0.3, 30.0])
def test_discretized_logistic_sums_to_one_from_any_output(float64, loc, raw):
    likelihood, output = vl.DiscretizedLogistic(256), np.array([loc, raw])
    log_p, *_ = score_and_moments(likelihood, output, np.arange(256.0))
    assert np.isfinite(log_p).all()
    assert np.exp(log_p).sum() == pytest.approx(1, abs=1e-12)
    # −1 and 1 are the first and the last value
    assert float(likelihood(output).loc) == pytest.approx(127.5 * (1 + loc))


def test_gaussian_is_learned_unless_known():
    learned, known = vl.Gaussian(shape=(3,)), vl.Gaussian(scale=[1.0, 2.0, 3.0])
    np.testing.assert_allclose(learned(jnp.zeros(3)).scale, 1 + 1e-3, rtol=1e-5)
    np.testing.assert_allclose(known(jnp.zeros(3)).scale, [1, 2, 3])


# --- likelihoods of supervised networks ------------------------------------------------------------------------------


@pytest.mark.parametrize("raw", [-1e4, -3.0, 0.0, 3.0, 1e4])
def test_heteroscedastic_gaussian_is_the_normal_of_its_two_outputs(raw):
    likelihood, output = vl.HeteroscedasticGaussian(), np.array([0.7, raw], np.float32)
    log_prob, mean, variance = score_and_moments(likelihood, output, 2.0)
    p = likelihood(output)
    scale = float(p.scale)
    # 1 at zero, and never below the floor; the identity far up
    assert scale == pytest.approx({-1e4: 1e-3, 0.0: 1.0, 1e4: 1e4}.get(raw, scale), rel=1e-4)
    assert (scale > 1) == (raw > 0)
    assert (float(mean), float(variance)) == pytest.approx((0.7, scale**2))
    expected = scipy.stats.norm(0.7, scale)
    assert float(log_prob) == pytest.approx(expected.logpdf(2.0), rel=1e-4)
    assert float(p.cdf(2.0)) == pytest.approx(expected.cdf(2.0), abs=1e-6)


@pytest.mark.parametrize("df", [2.5, 300.0])
def test_heteroscedastic_student_t_is_that_of_its_two_outputs(float64, df):
    likelihood, output = vl.HeteroscedasticStudentT(df=df), np.array([0.7, -1.3])
    log_prob, mean, variance = score_and_moments(likelihood, output, 2.0)
    # of the noise that a Gaussian would have at these outputs
    expected = scipy.stats.t(df, 0.7, float(vl.HeteroscedasticGaussian()(output).scale))
    assert float(log_prob) == pytest.approx(expected.logpdf(2.0), rel=1e-12)
    assert (float(mean), float(variance)) == pytest.approx((0.7, expected.var()), rel=1e-12)


def test_student_t_is_scipys(float64):
    likelihood, loc = vl.StudentT(df=[2.5, 4.0, 300.0], scale=[0.5, 1.0, 3.0]), np.array([1.0, -2.0, 0.0])
    expected = scipy.stats.t(np.array([2.5, 4.0, 300.0]), loc, [0.5, 1.0, 3.0])
    x = np.array([-40.0, -2.0, 0.999, 1.0, 7.0])[:, None]
    log_prob, mean, variance = score_and_moments(likelihood, loc, x)
    np.testing.assert_allclose(log_prob, expected.logpdf(x), rtol=1e-12)
    np.testing.assert_allclose(likelihood(loc).cdf(x), expected.cdf(x), rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(mean, expected.mean(), rtol=1e-12)
    # scale² itself would be a fifth, a half and 0.993 of it
    np.testing.assert_allclose(variance, expected.var(), rtol=1e-12)
    density = jax.jit(lambda x: jnp.exp(vl.StudentT()(0.3).log_prob(x)))
    assert scipy.integrate.quad(density, -np.inf, np.inf)[0] == pytest.approx(1)


@pytest.mark.parametrize(("log_mean", "concentration"), [(-5.0, 1.0), (1.0, 0.3), (3.0, 5.0), (2.0, 1e6)])
def test_negative_binomial_sums_to_one(float64, log_mean, concentration):
    likelihood, counts = vl.NegativeBinomial(concentration), np.arange(3000.0)
    log_prob, *moments = jax.device_get(score_and_moments(likelihood, log_mean, counts))
    probabilities = np.exp(log_prob)
    assert probabilities.sum() == pytest.approx(1, abs=1e-9)
    mean = (probabilities * counts).sum()
    variance = (probabilities * (counts - mean) ** 2).sum()
    assert moments == pytest.approx([mean, variance], rel=1e-8)
    # a Poisson's would be the mean alone
    assert moments[1] == pytest.approx(np.exp(log_mean) + np.exp(2 * log_mean) / concentration)
    expected = scipy.stats.nbinom(concentration, concentration / (concentration + np.exp(log_mean)))
    np.testing.assert_allclose(likelihood(log_mean).cdf(counts[:99]), expected.cdf(counts[:99]), rtol=1e-7)
    np.testing.assert_allclose(log_prob[:99], expected.logpmf(counts[:99]), rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize(
    "name", ["heteroscedastic_gaussian", "student_t", "heteroscedastic_student_t", "negative_binomial"]
)
def test_extreme_outputs_have_finite_values_and_gradients(name):
    """In single precision, where e^±200 is no number."""
    likelihood = LIKELIHOODS[name]()
    width = likelihood.output_shape(())
    score = jax.jit(jax.value_and_grad(lambda both, x: both[0](both[1]).log_prob(x)))
    for value in (-1e4, -200.0, -80.0, 0.0, 80.0, 200.0, 1e4):
        for x in (0.0, 3.0):
            leaves = jax.tree.leaves(score((likelihood, jnp.full(width, value)), x))
            assert all(np.isfinite(leaf).all() for leaf in leaves), (value, x, leaves)


def test_noise_is_learned_unless_known():
    learned, known = vl.StudentT(shape=(3,))(jnp.zeros(3)), vl.StudentT(df=3.0, scale=[1.0, 2.0, 3.0])(jnp.zeros(3))
    np.testing.assert_allclose(learned.df, 5, rtol=1e-6)
    np.testing.assert_allclose(learned.scale, 1 + 1e-3, rtol=1e-6)
    np.testing.assert_allclose(known.df, 3)
    np.testing.assert_allclose(vl.HeteroscedasticStudentT(shape=(3,))(jnp.zeros((3, 2))).df, 5, rtol=1e-6)
    np.testing.assert_allclose(known.scale, [1, 2, 3])
    np.testing.assert_allclose(vl.NegativeBinomial()(jnp.zeros(2)).concentration, 1, rtol=1e-6)
    np.testing.assert_allclose(vl.NegativeBinomial([2.0, 3.0])(jnp.zeros(2)).concentration, [2, 3])
    count = lambda likelihood: sum(jax.tree.leaves(trainable(likelihood)))  # noqa: E731
    for likelihood, number in [
        (vl.StudentT(), 2),
        (vl.StudentT(df=3.0), 1),
        (vl.StudentT(df=3.0, scale=1.0), 0),
        (vl.NegativeBinomial(), 1),
        (vl.NegativeBinomial(1.0), 0),
        (vl.HeteroscedasticGaussian(), 0),
        (vl.HeteroscedasticStudentT(), 1),
        (vl.HeteroscedasticStudentT(df=3.0), 0),
    ]:
        assert count(likelihood) == number


@pytest.mark.parametrize("raw", [-1e4, 0.0, 1e4])
def test_learned_noise_stays_where_it_has_a_variance(raw):
    """Without floors the variance would be infinite, or the density."""

    @jax.jit
    def everything(raw):
        moved = lambda likelihood: jax.tree.map(lambda leaf: jnp.full_like(leaf, raw), likelihood)(jnp.asarray(0.0))  # noqa: E731
        heavy, counts = moved(vl.StudentT()), moved(vl.NegativeBinomial())
        of_pair = jax.tree.map(lambda leaf: jnp.full_like(leaf, raw), vl.HeteroscedasticStudentT())(jnp.zeros(2))
        return of_pair.df, heavy.df, heavy.variance, counts.concentration, heavy.log_prob(1.0), counts.log_prob(1.0)

    df_of_pair, df, variance, concentration, *log_probs = jax.device_get(everything(raw))
    assert df_of_pair >= 4
    assert df > 2
    assert 1e-6 <= variance < np.inf
    assert 0 < concentration <= 1.0001e4
    assert np.isfinite(log_probs).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: vl.StudentT(df=2.0), "df must be finite and above 2, got 2.0"),
        (lambda: vl.HeteroscedasticStudentT(df=2.0), "df must be finite and above 2, got 2.0"),
        (lambda: vl.StudentT(scale=0.0), "scale must be finite and above 0"),
        (lambda: vl.Gaussian(scale=[1.0, -1.0]), "scale must be finite and above 0"),
        (lambda: vl.NegativeBinomial(np.inf), "concentration must be finite"),
    ],
)
def test_what_cannot_be(make, message):
    with pytest.raises(vi.InputError, match=message):
        make()


def test_classes_left_open_are_those_of_the_output():
    logits = np.log(np.array([0.1, 0.2, 0.7]))
    assert vl.Categorical().output_shape((3,)) == (3, -1)
    log_p, *_ = score_and_moments(vl.Categorical(), logits, np.arange(3.0))
    np.testing.assert_allclose(np.exp(log_p), [0.1, 0.2, 0.7], rtol=1e-6)


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


def test_zeros_and_ones_are_as_they_are_whatever_white_is_said_to_be():
    rows = np.array([[0.0], [1.0], [1.0]], np.float32)
    parts = vl.Bernoulli.for_data((1,), DataOptions(255.0), summary(rows))
    np.testing.assert_array_equal(parts.observation(jnp.asarray(rows), key=None), rows)
    np.testing.assert_allclose(parts.output_bias, np.log(2), rtol=1e-6)
    with pytest.raises(vi.InputError, match="expected zeros and ones"):
        parts.observation.check(summary([0, 255]))


@pytest.mark.parametrize(
    ("observation", "values", "message"),
    [
        (
            Binarized("given", 1.0),
            [0, 0.5],
            r"expected zeros and ones .* from 0 to 0.5; .*, or binarize",
        ),
        (Binarized("given", 1.0), [0, 255], r"'threshold' \(scale=255\)"),
        (Binarized("dynamic", 1.0), [0, 255], r"expected pixels in \[0, 1\] .* rescale them \(scale=255\)"),
        (Binarized("threshold", 255.0), [-1, 255], r"got values from -1 to 255; take another such as 'gaussian'$"),
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


@pytest.mark.parametrize("scale", [1e-40, 1e40])
def test_a_column_that_single_precision_cannot_hold_is_refused(scale):
    summary = summarize(source(np.array([[1.0], [2.0]]) * scale))
    with pytest.raises(vi.InputError, match=re.escape(f"float32 can hold, got {scale / 2:.2g} to")):
        vl.Gaussian.for_data((1,), DataOptions(), summary)


LOCATION_SCALE = {
    "gaussian": (lambda: vl.Gaussian(scale=[0.5, 2.0]), ()),
    "heteroscedastic_gaussian": (vl.HeteroscedasticGaussian, (2,)),
    "student_t": (lambda: vl.StudentT(df=[3.0, 7.0], scale=[0.5, 2.0]), ()),
    "heteroscedastic_student_t": (lambda: vl.HeteroscedasticStudentT(df=[3.0, 7.0]), (2,)),
}


@pytest.mark.parametrize("name", LOCATION_SCALE)
def test_restore_is_a_change_of_variables(float64, name, rng):
    """Student's t rebuilt by position would have the location for its degrees of freedom."""
    make, width = LOCATION_SCALE[name]
    observe = Standardized(np.array([3.0, -100.0]), np.array([0.1, 40.0]), 2)
    y = np.array([3.2, -70.0])

    @jax.jit
    def everything(output):
        p = vd.Independent(make()(output), 1)
        stored = observe.restore(p)
        expected = p.log_prob(observe.prepare(y)) + observe.log_det(), p.mean, p.variance
        return (stored.log_prob(y), stored.mean, stored.variance), expected

    got, (log_prob, mean, variance) = jax.device_get(everything(rng.normal(size=(5, 2, *width))))
    np.testing.assert_allclose(got[0], log_prob, rtol=1e-12)
    np.testing.assert_allclose(got[1], observe.shift + observe.unit * mean, rtol=1e-12)
    np.testing.assert_allclose(got[2], observe.unit**2 * variance, rtol=1e-12)


def test_restore_refuses_what_is_no_location_scale_family():
    observe = Standardized(np.zeros(()), np.asarray(2.0), 1)
    for p in (vd.LogNormal(0.0, 1.0), vd.Bernoulli(logits=0.0), vd.DiscretizedLogistic(3.0, 1.0)):
        with pytest.raises(TypeError, match=f"on the real line, got {type(p).__name__}"):
            observe.restore(p)


def test_supervised_observes_each_of_a_pair_in_its_own_way():
    y = Standardized(np.asarray(10.0), np.asarray(4.0), 1)
    observe = vl.Supervised(Binarized("dynamic", 255.0), y)
    rows = np.tile(np.array([0, 255, 128], np.uint8), (50, 1)), np.full(50, 18.0)
    observe.check(summarize(source(rows)))
    prepared = observe.prepare(rows)
    seen, target = observe(jax.tree.map(jnp.asarray, prepared), key=jax.random.key(0))
    assert set(np.unique(seen[:, 2])) == {0.0, 1.0}
    np.testing.assert_allclose(target, 2.0)
    mean, _ = observe(jax.tree.map(jnp.asarray, prepared), key=None)
    np.testing.assert_allclose(mean[:, 2], 128 / 255, rtol=1e-6)
    # a density is over y alone
    np.testing.assert_allclose(observe.log_det(), -np.log(4), rtol=1e-6)
    np.testing.assert_allclose(observe.restore(vd.Normal(2.0, 1.0)).mean, 18.0)


def test_supervised_by_default_as_given():
    rows = np.ones((3, 2), np.uint8), np.arange(3)
    x, y = vl.Supervised()(jax.tree.map(jnp.asarray, vl.Supervised().prepare(rows)), key=jax.random.key(0))
    np.testing.assert_array_equal(x, rows[0])
    np.testing.assert_array_equal(y, rows[1])


def test_supervised_rows_that_cannot_be():
    pair = summarize(source((np.ones((2, 1)), np.array([0.0, 1.5]))))
    with pytest.raises(vi.InputError, match="got fractions"):
        vl.Supervised(y=Whole("poisson", None)).check(pair)
    with pytest.raises(vi.InputError, match="got fractions"):
        vl.Supervised(x=Whole("poisson", None)).check(pair[::-1])
    for summaries, came in ((pair[0], "one array"), ((*pair, pair[0]), "3 arrays")):
        with pytest.raises(vi.InputError, match=rf"expected rows \(x, y\), .* got {came}"):
            vl.Supervised().check(summaries)
