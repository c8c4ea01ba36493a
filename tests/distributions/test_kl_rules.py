"""Every rule of one number, class or matrix against an integral or a sum: one table of pairs."""

import itertools
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro import distributions as nd
from numpyro.distributions import transforms

from varinf import distributions as vd
from varinf.distributions._kl._registry import RULES


def _a(*values):
    return np.array(values, np.float64)


# --- E_q[ln q − ln p], by double exponential quadrature or by a sum ------------------------------------------------


def _nodes(*edges):
    """Points and weights of the integral over what lies between the edges, which may be infinite; split at each."""
    t = np.linspace(-4.6, 4.6, 381)
    u, du = np.pi / 2 * np.sinh(t), np.pi / 2 * np.cosh(t) * (t[1] - t[0])
    points, weights = [], []
    for low, high in itertools.pairwise(edges):
        if np.isinf(low) and np.isinf(high):
            x, w = np.sinh(u), np.cosh(u) * du
        elif np.isinf(high):
            x, w = low + np.exp(u), np.exp(u) * du
        elif np.isinf(low):
            x, w = high - np.exp(u), np.exp(u) * du
        else:
            x, w = low + (high - low) / (1 + np.exp(-2 * u)), (high - low) / 2 / np.cosh(u) ** 2 * du
        inside = (x > low) & (x < high)
        points.append(x[inside])
        weights.append(w[inside])
    return np.concatenate(points), np.concatenate(weights)


REAL, POSITIVE, UNIT = _nodes(-np.inf, np.inf), _nodes(0, np.inf), _nodes(0, 1)
COUNTS = np.arange(400), np.ones(400)


def _up_to(n):
    return np.arange(n + 1), np.ones(n + 1)


def _expected(log_q, log_p, w):
    possible = log_q > -700
    terms = np.exp(log_q) * (np.where(possible, log_q, 0) - np.where(possible, log_p, 0))
    return (w[:, None] * terms).sum(0)


def _compositions(total):
    x = np.array([k for k in itertools.product(range(total + 1), repeat=3) if sum(k) == total])
    return x, np.ones(len(x))


def _share(nodes):
    """Points of a simplex of two."""
    return np.stack([nodes[0], 1 - nodes[0]], -1), nodes[1]


def _correlation(nodes):
    """Cholesky factors of correlation matrices of two, by their correlation; the weight is that of the factor."""
    r, w = nodes
    zero, one = np.zeros_like(r), np.ones_like(r)
    return np.stack([np.stack([one, zero], -1), np.stack([r, np.sqrt(1 - r**2)], -1)], -2), w


# family: constructor of q with its parameters, constructor of p with its parameters, points of the integral
def _same(make, q, p, over):
    return make, q, make, p, over


SIMPLEX = np.array([[0.2, 0.5, 0.3], [0.7, 0.1, 0.2]])
P_SIMPLEX = _a(0.3, 0.3, 0.4)
LOG_SIMPLEX = np.log(SIMPLEX) + 0.7
CHANCES, LOGITS = _a(0.2, 0.9), _a(-1.0, 2.0)
CASES = {
    "Normal": _same(vd.Normal, [_a(0.3, -1), _a(0.5, 3)], [-1.0, 2.0], REAL),
    "LogNormal": _same(vd.LogNormal, [_a(0.3, -1), _a(0.5, 1)], [-1.0, 2.0], POSITIVE),
    "Laplace": _same(vd.Laplace, [_a(0.3, -1), _a(0.5, 2)], [-0.5, 1.5], _nodes(-np.inf, -1, -0.5, 0.3, np.inf)),
    "Laplace, one location": _same(vd.Laplace, [_a(0.3, 0.3), _a(0.5, 2)], [0.3, 1.5], _nodes(-np.inf, 0.3, np.inf)),
    "AsymmetricLaplace": _same(
        vd.AsymmetricLaplace,
        [_a(0.3, -1), _a(0.5, 2), _a(0.7, 3)],
        [-0.5, 1.5, 1.2],
        _nodes(-np.inf, -1, -0.5, 0.3, np.inf),
    ),
    "AsymmetricLaplaceQuantile and Laplace": (
        vd.AsymmetricLaplaceQuantile,
        [_a(0.3, -1), _a(0.5, 2), _a(0.7, 0.2)],
        vd.Laplace,
        [-0.5, 1.5],
        _nodes(-np.inf, -1, -0.5, 0.3, np.inf),
    ),
    "Cauchy": _same(vd.Cauchy, [_a(0.3, -1), _a(0.5, 2)], [-0.5, 1.5], REAL),
    "HalfCauchy": _same(vd.HalfCauchy, [_a(0.5, 2)], [1.5], POSITIVE),
    "HalfNormal": _same(vd.HalfNormal, [_a(0.5, 2)], [1.5], POSITIVE),
    "Gumbel": _same(vd.Gumbel, [_a(0.3, -1), _a(0.5, 2)], [-0.5, 1.5], REAL),
    "VonMises": _same(vd.VonMises, [_a(0.3, -1), _a(0.5, 200)], [2.0, 1.5], _nodes(-np.pi, -1, 0.3, np.pi)),
    "Uniform": _same(vd.Uniform, [_a(0, 0.2), _a(0.5, 1)], [-1.0, 1.0], _nodes(0, 0.2, 0.5, 1)),
    "LogUniform": _same(vd.LogUniform, [_a(1, 1.2), _a(1.5, 2)], [0.5, 2.0], _nodes(1, 1.2, 1.5, 2)),
    "ContinuousBernoulli": _same(vd.ContinuousBernoulli, [_a(-3, 0.001)], [2.0], UNIT),
    "Beta": _same(vd.Beta, [_a(2, 0.5), _a(1.5, 0.7)], [3.0, 1.0], UNIT),
    "Dirichlet": (
        vd.Dirichlet,
        [np.array([[2, 1.5], [0.5, 0.7]])],
        vd.Dirichlet,
        [_a(3, 1)],
        _share(UNIT),
    ),
    "Gamma": _same(vd.Gamma, [_a(2, 0.5), _a(1.5, 3)], [3.0, 1.0], POSITIVE),
    "Gamma and Exponential": (vd.Gamma, [_a(2, 0.5), _a(1.5, 3)], vd.Exponential, [0.7], POSITIVE),
    "Exponential and Gamma": (vd.Exponential, [_a(2, 0.5)], vd.Gamma, [3.0, 0.7], POSITIVE),
    "InverseGamma": _same(vd.InverseGamma, [_a(2, 0.5), _a(1.5, 3)], [3.0, 1.0], POSITIVE),
    "Weibull": _same(vd.Weibull, [_a(2, 0.5), _a(0.7, 3)], [1.5, 1.2], POSITIVE),
    "Weibull and Gamma": (vd.Weibull, [_a(2, 0.5), _a(0.7, 3)], vd.Gamma, [1.5, 1.2], POSITIVE),
    "Pareto and power law": (
        vd.Pareto,
        [_a(2, 1.5), _a(2, 0.7)],
        vd.LowerTruncatedPowerLaw,
        [-2.2, 1.5],
        _nodes(1.5, 2, np.inf),
    ),
    "Gompertz": _same(vd.Gompertz, [_a(2, 0.5), _a(0.7, 3)], [1.5, 1.2], POSITIVE),
    "Bernoulli": _same(lambda a: vd.Bernoulli(logits=a), [LOGITS], [0.5], _up_to(1)),
    "BernoulliProbs": (nd.BernoulliProbs, [CHANCES], vd.BernoulliLogits, [0.5], _up_to(1)),
    "Binomial of logits": (
        lambda a: vd.BinomialLogits(a, 7),
        [LOGITS],
        lambda a: vd.BinomialProbs(a, 7),
        [0.3],
        _up_to(7),
    ),
    "Geometric of logits": (vd.GeometricLogits, [LOGITS], vd.GeometricProbs, [0.3], COUNTS),
    "NegativeBinomial of logits": (
        lambda a: vd.NegativeBinomialLogits(2.5, a),
        [_a(-1, 1)],
        lambda a: vd.NegativeBinomial2(a, 2.5),
        [3.0],
        COUNTS,
    ),
    "Poisson": _same(vd.Poisson, [_a(0.5, 30)], [4.0], COUNTS),
    "DiscreteUniform": _same(vd.DiscreteUniform, [np.array([0, 2]), np.array([5, 3])], [0, 6], _up_to(6)),
    "Categorical": _same(lambda a: vd.Categorical(logits=a), [LOG_SIMPLEX], [P_SIMPLEX], _up_to(2)),
    "CategoricalLogits": (vd.CategoricalLogits, [LOG_SIMPLEX], vd.CategoricalProbs, [P_SIMPLEX], _up_to(2)),
    "Multinomial of logits": (
        lambda a: vd.MultinomialLogits(a, 3),
        [LOG_SIMPLEX],
        lambda a: vd.MultinomialProbs(a, 3),
        [P_SIMPLEX],
        _compositions(3),
    ),
    "ZeroInflatedPoisson": _same(vd.ZeroInflatedPoisson, [_a(0.2, 0.7), _a(0.5, 6)], [0.4, 2.0], COUNTS),
    "ZeroInflatedLogits": (
        lambda a, b: vd.ZeroInflatedLogits(vd.GeometricProbs(b), a),
        [LOGITS, CHANCES],
        lambda a, b: vd.ZeroInflatedProbs(vd.GeometricProbs(b), a),
        [0.4, 0.3],
        COUNTS,
    ),
    "HurdlePoisson": _same(vd.HurdlePoisson, [_a(0.2, 0.7), _a(0.5, 6)], [0.4, 2.0], COUNTS),
    # bases of which that of p has no chance of zero; checked, NumPyro's give zero none either
    "Zero-inflated uniform": (
        lambda a: vd.ZeroInflatedDistribution(vd.DiscreteUniform(0, 3), gate=a, validate_args=False),
        [_a(0.2, 0.7)],
        lambda a: vd.ZeroInflatedDistribution(vd.DiscreteUniform(1, 3), gate=a, validate_args=False),
        [0.6],
        _up_to(3),
    ),
    "Zero-inflated Bernoulli": (
        lambda a, b: vd.ZeroInflatedDistribution(vd.Bernoulli(b), gate=a),
        [_a(0.2, 0.7), CHANCES],
        lambda a: vd.ZeroInflatedDistribution(vd.BernoulliProbs(1.0), gate=a, validate_args=False),
        [0.6],
        _up_to(1),
    ),
    "Hurdle of classes": (
        lambda a, b: vd.HurdleDistribution(vd.Categorical(b), gate=a),
        [_a(0.2, 0.7), SIMPLEX],
        lambda a: vd.HurdleDistribution(vd.CategoricalProbs(_a(0, 0.4, 0.6)), gate=a, validate_args=False),
        [0.6],
        _up_to(2),
    ),
    "LKJCholesky": _same(lambda a: vd.LKJCholesky(2, a), [_a(0.7, 4)], [2.0], _correlation(_nodes(-1, 0, 1))),
}


# p is an edge of what q may be, or q is not of p's family: the other way round is infinite or unknown
ONE_WAY = {"Uniform", "LogUniform", "Pareto and power law", "DiscreteUniform"}


@pytest.mark.parametrize("name", CASES)
def test_it_is_the_integral(float64, name):
    make_q, q_parameters, make_p, p_parameters, (x, w) = CASES[name]
    kl = lambda q, p, make_p=make_p: vd.kl_divergence(make_q(*q), make_p(*p))  # noqa: E731
    both_ways = make_q is make_p and name not in ONE_WAY

    @jax.jit
    def everything(q, p, x):
        own = lambda a, b: kl(a, b, make_q).sum()  # noqa: E731
        gradients = () if name == "DiscreteUniform" else jax.grad(own, (0, 1))(q, q)
        log_probs = make_q(*q).log_prob(x), make_p(*p).log_prob(x)
        return log_probs, kl(q, p), kl(q, q, make_q), kl([a[0] for a in q], p), gradients, both_ways and kl(p, q)

    results = jax.device_get(everything(q_parameters, p_parameters, x[:, None]))
    log_probs, got, itself, row, gradients, turned = results
    expected = _expected(*log_probs, w)
    assert got.shape == expected.shape == (2,)
    # JAX's ln B(a, b), in NumPyro's negative binomials, is off by 1e-6 where a or b is above 8
    np.testing.assert_allclose(got, expected, rtol=1e-6 if "Negative" in name else 1e-8, atol=1e-10)
    assert (got > 1e-3).all()
    np.testing.assert_allclose(itself, 0, atol=1e-12)
    np.testing.assert_allclose(row, got[0], rtol=1e-12)
    for gradient in jax.tree.leaves(gradients):
        assert np.isfinite(gradient).all()
        if name not in ONE_WAY:
            np.testing.assert_allclose(gradient, 0, atol=1e-9)
    if both_ways:
        assert turned.shape == (2,)
        assert (turned > 1e-3).all()


# --- in single precision, by values worked out with mpmath to 80 digits --------------------------------------------

# of large parameters, or of all but equal ones
CLOSE = [
    (lambda a: vd.Gamma(a, a), 1e4, 1.01e4, 2.48353985e-5),
    (lambda a: vd.Beta(a, 1e6), 1e6, 1e6 + 1, 2.50000062e-7),
    (lambda a: vd.Dirichlet(jnp.stack([a, jnp.float32(1e6), jnp.float32(1e6)])), 1e6, 1.001e6, 0.333185487),
    (lambda a: vd.WishartCholesky(a, scale_tril=jnp.eye(2)), 1e6, 1e6 + 1, 5.00000583e-7),
    (lambda a: vd.LKJCholesky(3, a), 1e6, 1e6 + 1, 7.49999375e-13),
    (vd.Poisson, 1e6, 1e6 + 1, 4.99999667e-7),
    (lambda a: vd.BinomialProbs(a, 1_000_000), 0.25, 0.2501, 0.0266548855),
    (lambda a: vd.Normal(0.0, a), 1.001, 1.0, 9.99760332e-7),
    (lambda a: vd.Normal(0.0, a), 1e-20, 1.0, 45.5517019),
    (vd.Exponential, 1.001, 1.0, 4.9938072e-7),
]


def test_it_keeps_its_digits_in_single_precision():
    """By differences of ln Γ or of ln x an error of a tenth of it would be a small one."""

    @jax.jit
    def kls(q, p):
        return [vd.kl_divergence(make(a), make(b)) for (make, *_), a, b in zip(CLOSE, q, p, strict=True)]

    _, q, p, expected = zip(*CLOSE, strict=True)
    np.testing.assert_allclose(kls(list(q), list(p)), expected, rtol=1e-3)


# what is infinite, 0 or without digits on the way
LIFETIMES = [
    (
        vd.Gompertz,
        vd.Gompertz,
        [(1e-3, 1, 0.5, 0.7), (100, 1, 100, 1), (100, 1, 120, 0.5), (1e6, 1, 1, 1e6)],
        [51.7957718, 0, 0.112820508, 1250.98091],
    ),
    (vd.Weibull, vd.Weibull, [(0.1, 1, 1, 40)], [81591686.9]),
    (vd.Weibull, vd.Gamma, [(1e-10, 1 / 36, 2, 1e-10)], [3.71992978e21]),
]


def test_lifetimes_in_single_precision():
    """By products of e^η, powers and Γ all but the first were NaN or infinite."""

    @jax.jit
    def kls(numbers):
        return [
            jax.vmap(jax.value_and_grad(lambda n, q=q, p=p: vd.kl_divergence(q(n[0], n[1]), p(n[2], n[3]))))(rows)
            for (q, p, *_), rows in zip(LIFETIMES, numbers, strict=True)
        ]

    got = kls([np.array(rows, np.float32) for *_, rows, _ in LIFETIMES])
    for (values, slopes), (*_, expected) in zip(got, LIFETIMES, strict=True):
        np.testing.assert_allclose(values, expected, rtol=2e-5, atol=5e-7)
        assert np.isfinite(slopes).all()


# --- of hurdles, whose values are a point and a density, and of matrices: by the average over draws ---------------

TRILS = np.array([[[1.0, 0], [0.5, 0.7]], [[2.0, 0], [-0.5, 1.2]]])
DRAWN = {
    "HurdleLogits": lambda: (
        # checked, NumPyro's give zero no probability
        vd.HurdleLogits(vd.Gamma(2.0, 1.5), 0.5, validate_args=False),
        vd.HurdleProbs(vd.Gamma(3.0, 1.0), 0.3, validate_args=False),
    ),
    "Dirichlet": lambda: (vd.Dirichlet(_a(1, 2, 3)), vd.Dirichlet(_a(3, 1, 2))),
    "WishartCholesky": lambda: (
        vd.WishartCholesky(_a(9, 6), scale_tril=TRILS),
        vd.WishartCholesky(5.0, scale_tril=TRILS[0]),
    ),
    "InverseWishartCholesky": lambda: (
        vd.InverseWishartCholesky(_a(9, 6), scale_tril=TRILS),
        vd.InverseWishartCholesky(5.0, scale_tril=TRILS[0]),
    ),
    "LKJCholesky": lambda: (vd.LKJCholesky(3, 0.8), vd.LKJCholesky(3, 3.0)),
}


@pytest.mark.parametrize("name", DRAWN)
def test_it_is_the_average_over_draws(float64, name):
    """Five standard errors are less than a tenth of it."""

    @jax.jit
    def everything(key):
        q, p = DRAWN[name]()
        x = q.sample(key, (10_000,))
        return q.log_prob(x) - p.log_prob(x), vd.kl_divergence(q, p), vd.kl_divergence(q, q)

    ratio, got, itself = jax.device_get(everything(jax.random.key(0)))
    error = ratio.std(0) / len(ratio) ** 0.5
    assert got.shape == ratio.shape[1:]
    assert (np.abs(ratio.mean(0) - got) < 5 * error).all(), (got, ratio.mean(0), error)
    assert (5 * error < 0.1 * got).all()
    np.testing.assert_allclose(itself, 0, atol=1e-12)


# --- supports -------------------------------------------------------------------------------------------------------

INFINITE = {
    "Uniform": lambda: (vd.Uniform(_a(-0.1, 0), _a(0.5, 1.1)), vd.Uniform(0.0, 1.0)),
    "LogUniform": lambda: (vd.LogUniform(_a(0.9, 1), _a(2, 4.1)), vd.LogUniform(1.0, 4.0)),
    "DiscreteUniform": lambda: (vd.DiscreteUniform(np.array([-1, 0]), np.array([4, 6])), vd.DiscreteUniform(0, 5)),
    "Pareto": lambda: (vd.Pareto(_a(0.9, 0.5), 2.0), vd.Pareto(1.0, 2.0)),
    "Bernoulli": lambda: (vd.Bernoulli(CHANCES), vd.Bernoulli(_a(0, 1))),
    "BernoulliProbs": lambda: (vd.BernoulliProbs(CHANCES), vd.BernoulliProbs(_a(0, 1))),
    "Categorical": lambda: (vd.Categorical(SIMPLEX), vd.Categorical(_a(0.5, 0, 0.5))),
    "CategoricalProbs": lambda: (vd.CategoricalProbs(SIMPLEX), vd.CategoricalProbs(_a(0.5, 0, 0.5))),
    "Poisson": lambda: (vd.Poisson(_a(1, 2)), vd.Poisson(0.0)),
    "Multinomial of different counts": lambda: (
        vd.MultinomialProbs(SIMPLEX, np.array([3, 5])),
        vd.MultinomialProbs(P_SIMPLEX, 4),
    ),
    "Delta": lambda: (vd.Delta(_a(0.0, 1.0)), vd.Delta(2.0)),
    "Delta off a support": lambda: (vd.Delta(_a(0.0, 1.0)), vd.Bernoulli(_a(1.0, 0.0))),
}


@pytest.mark.parametrize("name", INFINITE)
def test_where_p_has_no_probability_it_is_infinite(float64, name):
    q, p = INFINITE[name]()
    np.testing.assert_array_equal(vd.kl_divergence(q, p), [np.inf, np.inf])


NO_OR_3 = np.array([0, 3])


@pytest.mark.parametrize(
    ("kl", "q", "expected"),
    [
        (lambda a: vd.kl_divergence(nd.BernoulliProbs(a), nd.BernoulliProbs(0.25)), 0.0, -np.log(0.75)),
        (lambda a: vd.kl_divergence(nd.BernoulliProbs(a), nd.BernoulliProbs(0.25)), 1.0, -np.log(0.25)),
        (lambda a: vd.kl_divergence(vd.BinomialProbs(a, 3), vd.BinomialProbs(0.25, 3)), 0.0, -3 * np.log(0.75)),
        (
            lambda a: vd.kl_divergence(vd.CategoricalProbs(a), vd.CategoricalProbs(_a(0.2, 0.3, 0.5))),
            _a(0, 0.5, 0.5),
            0.5 * np.log(0.25 / 0.15),
        ),
        (
            lambda a: vd.kl_divergence(vd.Categorical(a), vd.Categorical(_a(0, 0.3, 0.7))),
            _a(0, 0.5, 0.5),
            0.5 * np.log(0.25 / 0.21),
        ),
        (lambda a: vd.kl_divergence(vd.Poisson(a), vd.Poisson(2.0)), 0.0, 2.0),
        # no trials of what p gives no probability
        (
            lambda a: vd.kl_divergence(vd.BinomialProbs(a, NO_OR_3), vd.BinomialProbs(_a(0, 0.2), NO_OR_3)).sum(),
            0.5,
            1.5 * np.log(0.25 / 0.16),
        ),
        (lambda a: vd.kl_divergence(vd.MultinomialProbs(a, 0), vd.MultinomialProbs(_a(1, 0), 0)), _a(0.5, 0.5), 0.0),
        # always zero, of a base with values that p's has not
        (
            lambda a: vd.kl_divergence(
                vd.HurdleDistribution(vd.Categorical(_a(0.5, 0, 0.5)), gate=a),
                vd.HurdleDistribution(vd.Categorical(_a(0.5, 0.5, 0)), gate=0.25),
            ),
            1.0,
            np.log(4),
        ),
    ],
)
def test_what_has_no_probability_counts_nothing(float64, kl, q, expected):
    """Without the guards the gradient is not a number, and of no trials nor is the value."""
    got, gradient = jax.jit(lambda q: (kl(q), jax.grad(kl)(q)))(q)
    np.testing.assert_allclose(got, expected, rtol=1e-12)
    assert np.isfinite(gradient).all()


def test_zero_is_no_value_of_a_uniform_that_is_not_checked(float64):
    """NumPyro's gives any value its probability."""
    uniform = lambda low: vd.DiscreteUniform(low, 3, validate_args=False)  # noqa: E731
    inflated = lambda low, gate: vd.ZeroInflatedDistribution(uniform(low), gate=gate)  # noqa: E731
    kl = jax.jit(lambda *gates: vd.kl_divergence(*map(inflated, (0, 1), gates)))(0.3, 0.6)
    np.testing.assert_allclose(kl, 0.475 * np.log(0.475 / 0.6) + 0.525 * np.log(0.525 / 0.4), rtol=1e-12)


# --- distributions made of others -----------------------------------------------------------------------------------

AFFINE = lambda: transforms.AffineTransform(1.0, _a(2, 3))  # noqa: E731


def _pushed(base, *steps):
    return vd.TransformedDistribution(base, list(steps))


SHARED = {
    "one object": lambda: (AFFINE(),) * 2,
    "equal values": lambda: (AFFINE(), AFFINE()),
}


@pytest.mark.parametrize("name", SHARED)
def test_a_shared_bijector_changes_nothing(float64, name):
    one, two = SHARED[name]()
    bases = vd.Gamma(_a(2, 0.5), 1.0), vd.Gamma(3.0, _a(1, 2))
    got = vd.kl_divergence(_pushed(bases[0], one), _pushed(bases[1], two))
    np.testing.assert_allclose(got, vd.kl_divergence(*bases), rtol=1e-14)


def test_matrices_are_their_cholesky_factors(float64):
    @jax.jit
    def everything(dfs, trils, concentrations):
        wisharts = [vd.Wishart, vd.WishartCholesky, vd.InverseWishart, vd.InverseWishartCholesky]
        pairs = [[make(df, scale_tril=tril) for df, tril in zip(dfs, trils, strict=True)] for make in wisharts]
        pairs += [[make(3, c) for c in concentrations] for make in (vd.LKJ, vd.LKJCholesky)]
        return [vd.kl_per_dimension(*pair) for pair in pairs]

    kls = everything([4.0, 5.0], list(TRILS), [0.8, 3.0])
    for matrix, factor in zip(kls[::2], kls[1::2], strict=True):
        np.testing.assert_allclose(matrix, factor)


def test_groups_are_kept_by_elementwise_bijectors_alone(float64):
    bases = [vd.Independent(vd.Normal(loc, 1.0), 1) for loc in (_a(0, 1, 2), _a(3, 5, 2))]
    exp = vd.kl_per_dimension(*(_pushed(base, transforms.ExpTransform()) for base in bases))
    np.testing.assert_allclose(exp, [4.5, 8, 0], rtol=1e-14)
    mixed = vd.kl_per_dimension(*(_pushed(base, transforms.StickBreakingTransform()) for base in bases))
    np.testing.assert_allclose(mixed, [12.5], rtol=1e-14)
    zero_sum = [vd.ZeroSumNormal(scale, (4,)) for scale in (1.0, 2.0)]
    np.testing.assert_allclose(vd.kl_per_dimension(*zero_sum), [3 * (np.log(2) + 0.125 - 0.5)], rtol=1e-14)


def test_expanded_ones_are_broadcast(float64):
    q, p = vd.Normal(_a(0, 1)[:, None], 1.0), vd.Normal(2.0, 1.0)
    expected = np.array([[2.0] * 3, [0.5] * 3])
    for pair in [(q.expand((2, 3)), p), (q, p.expand((2, 3))), (q.expand((2, 3)), p.expand((3,)))]:
        np.testing.assert_allclose(vd.kl_divergence(*pair), expected)
    prior = vd.Normal(2.0, 1.0).expand((3,)).to_event(1)
    posterior = vd.MultivariateNormalDiag(np.zeros((2, 3)), np.ones(3))
    np.testing.assert_allclose(vd.kl_per_dimension(posterior, prior), np.full((2, 3), 2.0))
    np.testing.assert_allclose(vd.kl_per_dimension(prior, posterior), np.full((2, 3), 2.0))
    other = vd.Independent(vd.Normal(np.zeros((2, 3)), 1.0), 1)
    np.testing.assert_allclose(vd.kl_per_dimension(other, prior), np.full((2, 3), 2.0))


def test_masked_ones_count_nothing(float64):
    q, p = vd.Normal(_a(0, 1, 5), 1.0), vd.Normal(2.0, 1.0)
    mask = np.array([True, False, True])
    np.testing.assert_allclose(vd.kl_divergence(q.mask(mask), p.expand((3,)).mask(mask)), [2, 0, 4.5])
    np.testing.assert_allclose(vd.kl_divergence(q.mask(False), p.mask(False)), [0, 0, 0])


def test_independents_within_independents(float64):
    @jax.jit
    def everything(a, b, loc):
        q = vd.Independent(vd.Independent(vd.Bernoulli(jnp.full((4, 2, 3), a)), 1), 1)
        p = vd.Independent(vd.Bernoulli(jnp.full((2, 3), b)), 2)
        rows = vd.Independent(vd.MultivariateNormalTriL(np.zeros((2, 3)), np.eye(3)), 1)
        flat = vd.Independent(vd.Normal(loc, 1.0), 2)
        one = vd.kl_divergence(vd.Bernoulli(a), vd.Bernoulli(b))
        return vd.kl_per_dimension(q, p), one, vd.kl_per_dimension(flat, rows)

    pixels, one, rows = everything(0.3, 0.6, np.ones((2, 3)))
    np.testing.assert_allclose(pixels, np.full((4, 6), one), rtol=1e-14)
    np.testing.assert_allclose(rows, [1.5, 1.5], rtol=1e-14)


def test_a_point_against_what_has_probabilities(float64):
    np.testing.assert_allclose(vd.kl_divergence(vd.Delta(1.0), vd.Bernoulli(0.25)), np.log(4), rtol=1e-14)
    np.testing.assert_allclose(vd.kl_divergence(vd.Delta(_a(1, 2), event_dim=1), vd.Delta(_a(1, 2), event_dim=1)), 0)


# --- what is not known ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("q", "p"),
    [
        (lambda: vd.BinomialProbs(0.3, 7), lambda: vd.BinomialProbs(0.3, 8)),
        (lambda: vd.GammaPoisson(2.0, 1.0), lambda: vd.GammaPoisson(3.0, 1.0)),
        (lambda: vd.Delta(0.0), lambda: vd.Normal(0.0, 1.0)),
        (lambda: vd.Logistic(0.0, 1.0), lambda: vd.Logistic(0.0, 2.0)),
        # NumPyro's is a series cut off after ten terms
        (lambda: vd.Kumaraswamy(2.0, 3.0), lambda: vd.Beta(2.0, 3.0)),
        (
            lambda: _pushed(vd.Normal(0.0, 1.0), AFFINE()),
            lambda: _pushed(vd.Normal(0.0, 1.0), transforms.ExpTransform()),
        ),
        (
            lambda: _pushed(vd.Normal(0.0, 1.0), AFFINE()),
            lambda: _pushed(vd.Normal(0.0, 1.0), transforms.AffineTransform(0.0, _a(2, 3))),
        ),
        # |x| is no bijector: the KL of the bases is more than that of the folded ones
        (lambda: vd.FoldedDistribution(vd.Normal(1.0, 1.0)), lambda: vd.FoldedDistribution(vd.Normal(-1.0, 1.0))),
        (lambda: vd.HurdlePoisson(0.3, 1.0), lambda: vd.HurdleGamma(0.3, 1.0, 1.0)),
        (lambda: vd.MixtureSameFamily(vd.Categorical(_a(0.5, 0.5)), vd.Normal(_a(0, 1), 1.0)),) * 2,
    ],
)
def test_an_unknown_pair_says_so(float64, q, p):
    with pytest.raises(vd.NoClosedForm, match="no closed form is known"):
        vd.kl_divergence(q(), p())


def test_different_numbers_of_classes_are_refused():
    with pytest.raises(ValueError, match="as many classes in both, got 3 and 1"):
        vd.kl_divergence(vd.Categorical(logits=jnp.zeros(3)), vd.Categorical(logits=jnp.zeros(1)))


# --- the table of the docs ------------------------------------------------------------------------------------------


def test_the_docs_list_the_rules():
    page = (Path(__file__).parents[2] / "docs" / "kl.md").read_text()
    listed = []
    for row in re.findall(r"^\|([^|]*`[^|]*)\|([^|]*)\|", page, re.M):
        q, p = (re.findall(r"`(\w+)`", cell) for cell in row)
        listed += itertools.product(q, p or q)
    registered = {(q.__name__, p.__name__) for q, p in RULES}
    assert set(listed) - registered == set(), "listed, and not known"
    assert registered - set(listed) == set(), "known, and not listed"
    assert all(hasattr(vd, name) for pair in registered for name in pair)
