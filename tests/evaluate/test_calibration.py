"""Scores of class probabilities, against cases worked by hand, identities and distributions that are known."""

import subprocess
import sys

import numpy as np
import pytest

from varinf.errors import InputError
from varinf.evaluate import calibration


def _predictions(rng, n=400, classes=4, levels=None):
    """Probabilities, and classes drawn from them; with `levels` of few values, so that confidences are equal."""
    p = rng.dirichlet(np.ones(classes), n if levels is None else levels)
    p = p if levels is None else p[rng.integers(0, levels, n)]
    return p, (p.cumsum(1) < rng.random((n, 1))).sum(1).clip(max=classes - 1)


def test_three_rows_by_hand():
    probs, y = [[0.5, 0.25, 0.25], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6]], [0, 1, 0]
    result = calibration(probs, y, num_bins=2)
    assert result.nll == pytest.approx((np.log(2) - np.log(0.8) - np.log(0.2)) / 3)
    # 0.25 + 2 · 0.0625, 0.01 + 0.04 + 0.01, 0.64 + 0.04 + 0.36
    assert result.brier == pytest.approx((0.375 + 0.06 + 1.04) / 3)
    assert result.accuracy == pytest.approx(2 / 3)
    # the row at 0.5, the border, is in the lower bin: |1 − 0.5| / 3 + |1 / 2 − 0.7| · 2 / 3; 0.1 / 3 were it above
    assert result.ece_equal_width == pytest.approx(0.5 / 3 + 0.2 * 2 / 3)
    np.testing.assert_array_equal(result.reliability_equal_width.count, [1, 2])
    np.testing.assert_allclose(result.reliability_equal_width.confidence, [0.5, 0.7])
    np.testing.assert_allclose(result.reliability_equal_width.accuracy, [1, 0.5])
    # most confident first: right at 0.8, wrong at 0.6, right at 0.5
    np.testing.assert_allclose(result.selective.coverage, [1 / 3, 2 / 3, 1])
    np.testing.assert_allclose(result.selective.accuracy, [1, 1 / 2, 2 / 3])


def test_equal_mass_by_hand():
    # sorted confidences 0.6, 0.7 | 0.8, 0.9; right: no, yes | yes, no
    result = calibration([0.9, 0.4, 0.7, 0.8], [0, 1, 1, 1], num_bins=2)
    curve = result.reliability_equal_mass
    np.testing.assert_array_equal(curve.count, [2, 2])
    np.testing.assert_allclose(curve.confidence, [0.65, 0.85])
    np.testing.assert_allclose(curve.accuracy, [0.5, 0.5])
    assert result.ece_equal_mass == pytest.approx((0.15 + 0.35) / 2)
    # of equal width all four are in the upper bin, where 0.5 − 0.75
    assert result.ece_equal_width == pytest.approx(0.25)


def test_the_extremes():
    y = np.array([0, 2, 1, 2])
    best = calibration(np.eye(3)[y], y)
    assert (best.nll, best.brier, best.accuracy, best.ece_equal_width, best.ece_equal_mass) == (0, 0, 1, 0, 0)
    assert str(best.nll) == "0.0"
    # confidence 1 is in the last bin
    np.testing.assert_array_equal(best.reliability_equal_width.count, [0] * 14 + [4])
    worst = calibration(np.eye(3)[(y + 1) % 3], y)
    assert (worst.nll, worst.brier, worst.accuracy, worst.ece_equal_width, worst.ece_equal_mass) == (np.inf, 2, 0, 1, 1)
    assert worst.num_impossible == 4
    flat = calibration(np.full((4, 3), 1 / 3), y)
    assert flat.nll == pytest.approx(np.log(3))
    assert flat.brier == pytest.approx(2 / 3)


def test_a_zero_is_not_clipped():
    # with the clip at 1e-12 that other libraries have, nll would be 14.2
    result = calibration([[1.0, 0.0], [0.5, 0.5]], [1, 0])
    assert result.nll == np.inf
    assert result.num_impossible == 1
    assert "inf nats per row; rows with probability 0 for their class: 1" in str(result)
    assert calibration([[1 - 1e-300, 1e-300]], [1]).nll == pytest.approx(300 * np.log(10))


def test_a_vector_is_the_positive_class_of_two(rng):
    p = rng.random(50)
    y = (rng.random(50) < p).astype(int)
    one, two = calibration(p, y), calibration(np.stack([1 - p, p], 1), y)
    assert str(one) == str(two)
    # this convention is twice that of scores on the positive class alone
    assert one.brier == pytest.approx(2 * ((p - y) ** 2).mean())


def test_calibrated_predictions_have_an_ece_that_falls_as_one_over_root_n(rng):
    """In a bin of c rows of confidence p, E|accuracy − p| is √(2 p (1 − p) / (π c)): so the ECE is known."""
    bins, repeats = 5, 200
    for n in (200, 3200):
        levels = np.array([0.55, 0.65, 0.75, 0.85, 0.95])
        p = np.repeat(levels, n // bins)
        found = [calibration(p, rng.random(n) < p, num_bins=bins) for _ in range(repeats)]
        expected = np.sqrt(2 * levels * (1 - levels) / (np.pi * (n // bins))).mean()
        # standard deviation of one ECE about 0.35 of it: the mean of 200 is within 10 % at 4 standard errors
        assert np.mean([result.ece_equal_mass for result in found]) == pytest.approx(expected, rel=0.1)
    # off by a known amount
    over = calibration(np.full(100_000, 0.9), rng.random(100_000) < 0.7)
    assert over.ece_equal_width == pytest.approx(0.2, abs=0.006)
    assert over.ece_equal_mass == pytest.approx(over.ece_equal_width, abs=1e-12)


def test_brier_is_reliability_less_resolution_plus_uncertainty(rng):
    """Murphy 1973, for forecasts of few values: groups of equal probabilities."""
    p, y = _predictions(rng, levels=7)
    p = 0.5 * p + 0.125  # no longer calibrated
    onehot = np.eye(4)[y]
    _, group = np.unique(p, axis=0, return_inverse=True)
    shares = np.stack([onehot[group == g].mean(0) for g in group])
    reliability = ((p - shares) ** 2).sum(1).mean()
    resolution = ((shares - onehot.mean(0)) ** 2).sum(1).mean()
    uncertainty = 1 - (onehot.mean(0) ** 2).sum()
    assert min(reliability, resolution) > 0.01
    assert calibration(p, y).brier == pytest.approx(reliability - resolution + uncertainty, abs=1e-12)


@pytest.mark.parametrize("num_bins", [1, 7, 15, 500])
def test_what_bins_share(rng, num_bins):
    p, y = _predictions(rng)
    result = calibration(p, y, num_bins)
    for curve in (result.reliability_equal_width, result.reliability_equal_mass):
        held = curve.count > 0
        assert curve.count.sum() == len(p)
        assert curve.count[held] @ curve.confidence[held] == pytest.approx(p.max(1).sum())
        assert curve.count[held] @ curve.accuracy[held] == pytest.approx(result.accuracy * len(p))
        np.testing.assert_array_equal(np.isnan(curve.confidence), ~held)
    assert np.ptp(result.reliability_equal_mass.count) <= 1
    # one bin's error is the least that any number of bins can have
    least = abs(p.max(1).mean() - result.accuracy)
    assert result.ece_equal_width >= least - 1e-12
    assert result.ece_equal_mass >= least - 1e-12
    # (left, right] of each bin of equal width
    confidence = result.reliability_equal_width.confidence
    edges = np.arange(num_bins + 1) / num_bins
    held = ~np.isnan(confidence)
    assert ((edges[:-1][held] < confidence[held]) & (confidence[held] <= edges[1:][held])).all()


def test_the_order_of_rows_does_not_matter_though_confidences_are_equal(rng):
    p, y = _predictions(rng, levels=5)
    order = np.lexsort((y != p.argmax(1), p.max(1)))  # the right ones first among equals
    there, back = calibration(p[order], y[order]), calibration(p[order[::-1]], y[order[::-1]])
    # split as they come, equals would be 15 bins of all right or all wrong
    assert there.ece_equal_mass == pytest.approx(back.ece_equal_mass, abs=1e-12)
    np.testing.assert_allclose(there.selective.accuracy, back.selective.accuracy, atol=1e-12)
    assert np.ptp(there.reliability_equal_mass.count) <= 1
    constant = calibration(np.full(400, 0.6), np.arange(400) < 200)
    assert constant.ece_equal_mass == pytest.approx(0.1)
    np.testing.assert_allclose(constant.selective.accuracy, 0.5)


def test_the_given_arrays_are_left_as_they_are(rng):
    p, y = _predictions(rng, n=5)
    kept = p.copy()
    calibration(p, y)
    np.testing.assert_array_equal(p, kept)


def test_takes_what_other_libraries_give(rng):
    p, y = _predictions(rng)
    exact = calibration(p, y)
    for given in (p.astype(np.float32), p.tolist()):
        for classes in (y.astype(np.uint8), y.astype(np.float64), y.tolist()):
            assert calibration(given, classes).nll == pytest.approx(exact.nll, rel=1e-6)
    # rounding over 1
    assert calibration([1.0 + 1e-7, 0.0], [1, 0]).nll == pytest.approx(0, abs=1e-6)


def test_prints_as_a_short_table():
    text = str(calibration([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]], [0, 1, 1]))
    assert text.splitlines() == [
        "rows      3",
        "nll       0.6905 nats per row",
        "brier     0.4933 of at most 2",
        "accuracy  66.67%; 50.00% in the more confident half",
        "ece       0.4000 in 15 bins of equal width, 0.4000 in 15 of equal mass",
    ]


GOOD = [[0.5, 0.5], [0.1, 0.9]]


@pytest.mark.parametrize(
    ("probs", "y", "said"),
    [
        ([[0.5, 0.6], [0.1, 0.9]], [0, 1], "rows with sum 1, got 1.1 in row 0"),
        ([[0.5, 0.5], [1.1, -0.1]], [0, 1], "from 0 to 1, got 1.1 in row 1; not logits"),
        ([[0.5, 0.5], [0.2, np.nan]], [0, 1], "got nan in row 1"),
        ([0.5, -3.0], [0, 1], "got -3 in row 1; not logits"),
        ([[1.0], [1.0]], [0, 0], r"two or more classes, got shape \(2, 1\)"),
        (np.zeros((0, 3)), [], r"one or more rows.* got shape \(0, 3\)"),
        (np.full((2, 3, 4), 0.25), [0, 1], r"got shape \(2, 3, 4\)"),
        ([["a", "b"]], [0], "probs: expected numbers"),
        ([[0.5, 0.5], [1.0]], [0, 1], "probs: expected numbers"),
        (GOOD, [0], r"each of the 2 rows of probs, got shape \(1,\)"),
        (GOOD, np.eye(2), r"each of the 2 rows of probs, got shape \(2, 2\)"),
        (GOOD, [1, 2], "from 0 to 1, as probs has 2 classes, got 2 in row 1"),
        (GOOD, [-1, 0], "got -1 in row 0"),
        (GOOD, [0.5, 1], "got 0.5 in row 0"),
        (GOOD, [0, np.nan], "got nan in row 1"),
        (GOOD, ["cat", "dog"], "number them"),
    ],
)
def test_bad_input_is_one_clear_line(probs, y, said):
    with pytest.raises(InputError, match=said) as caught:
        calibration(probs, y)
    assert "\n" not in str(caught.value)


def test_no_bins():
    with pytest.raises(InputError, match="num_bins must be at least 1, got 0"):
        calibration(GOOD, [0, 1], num_bins=0)


def test_needs_no_jax():
    code = (
        "import sys, varinf as vi; vi.evaluate.calibration([[0.5, 0.5]], [0]);"
        "vi.evaluate.coverage([[0.0], [1.0], [2.0]], [1.0], [0.5]);"
        "print([m for m in ('jax', 'matplotlib', 'sklearn', 'numpyro') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
