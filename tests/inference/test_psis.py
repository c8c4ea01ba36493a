import numpy as np
import pytest
from scipy import stats

from varinf.inference._psis import smooth


@pytest.mark.parametrize("k", [0.2, 0.5, 0.7, 0.9])
def test_khat_of_ratios_whose_tail_is_known(k):
    # Ratios U^−k of a uniform U are a generalised Pareto distribution of shape k above 1.
    uniform = np.random.default_rng(0).random((30, 50_000))
    # the standard error of one is (1 + k) / √671
    assert np.mean([smooth(-k * np.log(row)).khat for row in uniform]) == pytest.approx(k, abs=0.03)


@pytest.mark.parametrize("k", [0.2, 0.7])
def test_the_standard_error_of_khat(k):
    uniform = np.random.default_rng(0).random((100, 10_000))
    found = [smooth(-k * np.log(row)) for row in uniform]
    # about 0.08, of which the ten observations at 0.5 that are added take a thirtieth
    expected = np.mean([each.khat_stderr for each in found])
    assert np.std([each.khat for each in found]) == pytest.approx(expected, rel=0.2)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("count", [8192, 32768])
def test_many_ratios_near_one_value_are_no_tail(count, seed):
    # a Gamma(16, 6) by a normal in its logarithm: ln p − ln q has a maximum at +1.1 σ, exceeded below −1.9 σ, by 3 % of
    # the draws. A tail of 3 % is thus half about the maximum; at −3 to −5 σ it falls as one of shape 0.3 to 0.4 does.
    u = np.random.default_rng(seed).standard_normal(count)
    z = 0.9495793 + 0.25 * u
    found = smooth(16 * z - 6 * np.exp(z) + u**2 / 2)
    assert abs(found.khat - 0.38) < 3 * found.khat_stderr


def test_ratios_that_no_tail_fits():
    # a normal density that is waved and a little wider: at a few crests, further out, the ratios are a little larger
    for seed in range(5):
        u = np.random.default_rng(seed).standard_normal(100_000)
        assert smooth(0.5 * np.cos(3 * u) + 0.02 * u**2).khat < 0.5


def test_a_tail_of_no_distribution_is_of_no_account_where_the_weights_are_nearly_equal():
    # near the edges of a uniform p the ratios are all the same, and a few far out differ: the fit had k = 3 to 4
    for seed in range(3):
        u = np.random.default_rng(seed).standard_normal(8192)
        log_ratios = np.minimum(0.01 * u**2, 0.03) + 0.1 * np.maximum(np.abs(u) - 3.0, 0)
        found = smooth(log_ratios)
        assert found.khat == 0
        assert not found.conclusive
        weights = np.exp(found.log_weights - log_ratios)
        np.testing.assert_allclose(weights, weights[0])  # not smoothed


def test_a_narrow_peak_that_q_all_but_misses_is_no_tail_of_its_own():
    for seed in range(5):
        z = 10 * np.random.default_rng(seed).standard_normal(65_536)
        log_q = stats.norm(0, 10).logpdf(z)
        log_peak = np.log(0.1) + stats.norm(3, 0.01).logpdf(z)
        assert smooth(np.logaddexp(np.log(0.9) + log_q, log_peak) - log_q).khat > 0.7


def test_khat_of_two_normals():
    # ln p/q of N(0, 1) by q = N(0, s²) grows as x² (1/s² − 1) / 2: a tail of shape 1 − s²
    s = np.sqrt(0.4)
    x = s * np.random.default_rng(1).standard_normal(400_000)
    assert smooth(0.5 * x**2 / s**2 - 0.5 * x**2).khat == pytest.approx(0.6, abs=0.08)


def test_smoothed_weights_are_normalised_keep_their_order_and_come_nearer_to_the_truth():
    rng, s = np.random.default_rng(2), np.sqrt(0.5)
    plain, smoothed = [], []
    for _ in range(300):
        x = s * rng.standard_normal(500)
        ratios = 0.5 * x**2 / s**2 - 0.5 * x**2
        weights = np.exp(smooth(ratios).log_weights)
        assert weights.sum() == pytest.approx(1)
        assert (np.diff(weights[np.argsort(ratios)]) >= 0).all()
        raw = np.exp(ratios - ratios.max())
        smoothed.append(weights @ x**2)
        plain.append(raw @ x**2 / raw.sum())
    assert np.var(smoothed) < np.var(plain)
    assert np.mean(smoothed) == pytest.approx(1, abs=0.1)  # without weights it would be 0.5


def test_constant_ratios_to_rounding():
    noise = np.random.default_rng(3).standard_t(1, 1000)
    noise /= np.ptp(noise)
    assert smooth(5 + 0.1 * noise).khat > 0.5
    assert smooth(5 + 0.1 * noise, rounding=0.11).khat == 0
    assert smooth(np.zeros(1000)).khat == 0
    # and where they differ by less than a thousandth
    assert smooth(5 + 1.1e-3 * noise).khat > 0.5
    assert smooth(5 + 0.9e-3 * noise).khat == 0


def test_ratios_of_any_size():
    huge = 1e6 * np.random.default_rng(4).standard_normal(1000)
    assert np.isfinite(smooth(huge).log_weights).all()
