"""Scores of draws from predictive distributions, against closed forms and cases worked by hand."""

import numpy as np
import pytest
from scipy import stats

from varinf.errors import InputError
from varinf.evaluate import coverage


def test_three_draws_by_hand():
    result = coverage([[3.0, 0.0], [1.0, 0.0], [2.0, 0.0]], [2.5, 0.0], levels=[0.5, 0.25])
    # quantiles at 1/4, 1/2, 3/4 are the draws themselves: [1, 3], and halfway between them [1.5, 2.5]
    np.testing.assert_allclose(result.width, [1.0, 0.5])
    # both ends belong to the interval; a row of equal draws that are y is held
    np.testing.assert_array_equal(result.observed, [1, 1])
    # (1.5 + 0.5 + 0.5) / 3 less half the mean over pairs (1 + 2 + 1) / 3; over all nine pairs it would be 0.3889
    assert result.crps == pytest.approx((5 / 6 - 2 / 3) / 2)
    assert coverage([[3.0], [1.0], [2.0]], [3.1], levels=[0.5]).observed == [0]


def test_crps_is_what_all_pairs_give(rng):
    draws, y = rng.normal(size=(40, 7)), rng.normal(size=7)
    pairs = np.abs(draws[:, None] - draws[None]).sum((0, 1)) / (40 * 39)
    expected = (np.abs(draws - y).mean(0) - pairs / 2).mean()
    assert coverage(draws, y).crps == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("num_draws", [3, 50])
def test_crps_of_a_normal_is_its_closed_form_for_any_number_of_draws(rng, num_draws):
    """Gneiting and Raftery 2007, equation 5; with S² pairs in place of S (S − 1) it is 1 / (S √π) too large."""
    n, y = 100_000, 0.7
    closed = y * (2 * stats.norm.cdf(y) - 1) + 2 * stats.norm.pdf(y) - 1 / np.sqrt(np.pi)
    found = coverage(3 * rng.normal(size=(num_draws, n)) + 5, np.full(n, 3 * y + 5), levels=[0.4]).crps
    # at 3 draws one row's standard deviation is about 0.6; the bias left out would be 0.19, at 50 draws 0.011
    assert found / 3 == pytest.approx(closed, abs=5 * 0.6 / np.sqrt(n) if num_draws == 3 else 0.003)


@pytest.mark.parametrize("num_draws", [39, 99])
def test_intervals_of_the_true_distribution_hold_as_many_as_they_say(rng, num_draws):
    """However few draws; with NumPy's default quantiles 95 % would be 90.3 % at 39 draws, 93.1 % at 99."""
    n = 40_000
    result = coverage(rng.exponential(size=(num_draws, n)), rng.exponential(size=n))
    errors = np.sqrt(result.levels * (1 - result.levels) / n)
    assert (np.abs(result.observed - result.levels) < 4 * errors).all()
    assert (np.diff(result.width) > 0).all()
    assert result.num_rows == n


def test_too_narrow_a_distribution_holds_too_few(rng):
    result = coverage(0.5 * rng.normal(size=(200, 10_000)), rng.normal(size=10_000), levels=(0.5, 0.95))
    expected = 2 * stats.norm.cdf(0.5 * stats.norm.ppf([0.75, 0.975])) - 1
    np.testing.assert_allclose(result.observed, expected, atol=0.015)
    np.testing.assert_allclose(result.width, 2 * 0.5 * stats.norm.ppf([0.75, 0.975]), rtol=0.02)


def test_far_from_zero_digits_are_kept(rng):
    draws, y = rng.normal(size=(50, 30)), rng.normal(size=30)
    near, far = coverage(draws, y), coverage(draws + 1e9, y + 1e9)
    # in single precision all would be in steps of 64
    assert far.crps == pytest.approx(near.crps, rel=1e-5)
    np.testing.assert_array_equal(far.observed, near.observed)


def test_prints_as_a_short_table():
    text = str(coverage(np.arange(99.0)[:, None] + [0.0, 0.0], [49.0, 200.0], levels=(0.5, 0.95)))
    assert text.splitlines() == [
        "rows  2",
        "crps  71.21",  # (2450 / 99 + 151) / 2 less half of 100 / 3
        "level    observed  mean width",
        "50 %       50.0%   50",
        "95 %       50.0%   95",
    ]


DRAWS = np.arange(100.0).reshape(50, 2)


@pytest.mark.parametrize(
    ("draws", "y", "levels", "said"),
    [
        (DRAWS.T, [0.0, 1.0], (0.5,), r"expected \[num_draws, 2\] to fit y, got shape \(2, 50\)"),
        (DRAWS[:, 0], [0.0, 1.0], (0.5,), r"got shape \(50,\)"),
        (DRAWS, [[0.0], [1.0]], (0.5,), r"y: expected one or more numbers, \[n\], got shape \(2, 1\)"),
        (DRAWS[:, :0], [], (0.5,), r"y: expected one or more numbers"),
        (DRAWS, [0.0, np.nan], (0.5,), "y: expected finite numbers, got 1 that are not"),
        (DRAWS + np.inf, [0.0, 1.0], (0.5,), "draws: expected finite numbers, got 100"),
        (DRAWS, ["a", "b"], (0.5,), "y: expected numbers"),
        (DRAWS, [0.0, 1.0], (0.5, 1.0), "above 0 and below 1"),
        (DRAWS, [0.0, 1.0], (95,), "above 0 and below 1"),
        (DRAWS, [0.0, 1.0], (), "one or more shares"),
        (DRAWS[:38], [0.0, 1.0], (0.95,), "95 % needs at least 39, got 38"),
        (DRAWS[:1], [0.0, 1.0], (1e-6,), "needs at least 2, got 1"),
    ],
)
def test_bad_input_is_one_clear_line(draws, y, levels, said):
    with pytest.raises(InputError, match=said):
        coverage(draws, y, levels)
