"""What every distribution of ours must do: one table of constructors × batch shapes."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.special
import scipy.stats
from numpyro.distributions import constraints

from varinf import distributions as vd

BATCHES = [(), (3,), (2, 3)]


def _first(z, *shape):
    """As many of the numbers as an array of this shape has."""
    return z[..., : math.prod(shape)].reshape(*z.shape[:-1], *shape)


def _diagonal(z):
    return vd.MultivariateNormalDiag(z[..., :4], jnp.exp(z[..., 4:8]))


def _shared_diagonal(z):
    return vd.MultivariateNormalDiag(z[..., :4], jnp.arange(1.0, 5.0))


def _logistic(z):
    return vd.DiscretizedLogistic(4 + 4 * z[..., 0], jnp.exp(z[..., 1]), 9)


def _mixture_of_logistics(z):
    return vd.DiscretizedLogisticMixture(z[..., :3], 4 + 4 * z[..., 3:6], jnp.exp(z[..., 6:9]), 9)


def _triangular(z):
    return vd.MultivariateNormalTriL(z[..., :3], jnp.tril(_first(z[..., 3:], 3, 3), -1) + jnp.eye(3))


def _shared_triangle(z):
    return vd.MultivariateNormalTriL(z[..., :3], jnp.array([[1.0, 0, 0], [0.5, 0.7, 0], [0.3, -1, 2]]))


def _low_rank(z):
    return vd.LowRankMultivariateNormal(z[..., :3], _first(z[..., 3:], 3, 2), jnp.exp(z[..., 9:12]))


def _shared_factor(z):
    return vd.LowRankMultivariateNormal(z[..., :3], jnp.array([[1.0], [0.5], [-1]]), jnp.arange(1.0, 4))


def _mixture(z):
    return vd.Mixture(vd.Categorical(logits=z[..., :2]), _low_rank(_first(z[..., 2:], 2, 12)))


def _mixture_of_two(z):
    shared = z[(slice(1),) * (z.ndim - 1)]  # one for the whole batch
    components = [_triangular(z[..., 2:]), _low_rank(shared[..., 14:])]
    return vd.Mixture(vd.Categorical(logits=z[..., :2]), components)


def _pixels(z):
    return vd.Independent(vd.Bernoulli(logits=2 * _first(z, 2, 3)), 2)


def _classes(z):
    return vd.Independent(vd.Categorical(logits=_first(z, 3, 5)), 1)


def _student_t(z):
    # with a fourth moment, by which the test of moments sets its slack
    return vd.StudentT(9.0, z[..., 0], 2.0)


def _negative_binomial(z):
    return vd.NegativeBinomialLogMean(z[..., 0], 3.0)


# each made of random numbers, [*batch, 26], with the shape of its event
CASES = {
    "MultivariateNormalDiag": (_diagonal, (4,)),
    "MultivariateNormalDiag, one scale for all": (_shared_diagonal, (4,)),
    "Bernoulli": (lambda z: vd.Bernoulli(logits=2 * z[..., 0]), ()),
    "Bernoulli of probs": (lambda z: vd.Bernoulli(jax.nn.sigmoid(z[..., 0])), ()),
    "ContinuousBernoulli": (lambda z: vd.ContinuousBernoulli(5 * z[..., 0]), ()),
    "ContinuousBernoulli near zero": (lambda z: vd.ContinuousBernoulli(0.02 * z[..., 0]), ()),
    "DiscretizedLogistic": (_logistic, ()),
    "DiscretizedLogisticMixture": (_mixture_of_logistics, ()),
    "StudentT": (_student_t, ()),
    "NegativeBinomialLogMean": (_negative_binomial, ()),
    "PoissonLogRate": (lambda z: vd.PoissonLogRate(z[..., 0]), ()),
    "MultivariateNormalTriL": (_triangular, (3,)),
    "MultivariateNormalTriL, one triangle for all": (_shared_triangle, (3,)),
    "LowRankMultivariateNormal": (_low_rank, (3,)),
    "LowRankMultivariateNormal, one factor for all": (_shared_factor, (3,)),
    "MixtureSameFamily": (_mixture, (3,)),
    "MixtureGeneral": (_mixture_of_two, (3,)),
    "Categorical": (lambda z: vd.Categorical(logits=z[..., :5]), ()),
    "Categorical of probs": (lambda z: vd.Categorical(jax.nn.softmax(z[..., :4])), ()),
    "Independent Bernoulli": (_pixels, (2, 3)),
    "Independent Categorical": (_classes, (3,)),
}


@pytest.fixture(params=CASES)
def case(request):
    return CASES[request.param]


NUMBERS = np.random.default_rng(0).normal(size=(2, 3, 26)).astype(np.float32)


@pytest.mark.parametrize("batch", BATCHES)
def test_shapes(case, batch):
    make, event = case

    def everything(z, key):
        d = make(z)
        assert (d.batch_shape, d.event_shape) == (batch, event)
        draws = [d.sample(key, sample_shape) for sample_shape in [(), (7,), (2, 7)]]
        return d.mean, d.variance, draws, [d.log_prob(x) for x in draws]

    mean, variance, draws, log_probs = jax.eval_shape(everything, np.zeros((*batch, 26)), jax.random.key(0))
    assert mean.shape == variance.shape == batch + event
    for sample_shape, x, log_prob in zip([(), (7,), (2, 7)], draws, log_probs, strict=True):
        assert x.shape == sample_shape + batch + event
        assert log_prob.shape == sample_shape + batch


@functools.cache
def _built(make):
    """A distribution of batch shape (3,), draws [5, 2] from it, its mean and its variance, in one compiled program."""

    def build(z, key):
        d = make(z)
        return d, d.sample(key, (5, 2)), d.mean, d.variance

    return jax.device_get(jax.jit(build)(NUMBERS[0], jax.random.key(1)))


@jax.jit
def score(d, x):
    return d.log_prob(x)


def test_leading_axes_are_the_same_as_one_by_one(case):
    d, x, *_ = _built(case[0])
    together = np.asarray(score(d, x))
    assert np.isfinite(together).all()
    by_hand = np.array([[score(d, x[i, j]) for j in range(2)] for i in range(5)])
    np.testing.assert_allclose(together, by_hand, rtol=1e-6, atol=1e-6)
    # one value against the whole batch
    one = jax.jit(lambda d, x: (d.log_prob(x)[1], make_row(d, 1).log_prob(x)))(d, x[0, 0, 0])
    np.testing.assert_allclose(one[0], one[1], rtol=1e-6)


def make_row(d, i):
    """The i-th of a batch of distributions, by its arrays; those that the batch shares have a first axis of one."""
    return jax.tree.map(lambda array: array[min(i, len(array) - 1)], d)


def test_pytree_round_trip_and_jit(case):
    d, x, mean, variance = _built(case[0])
    log_prob = score(d, x)
    leaves, structure = jax.tree.flatten(d)
    back = jax.tree.unflatten(structure, leaves)
    assert (type(back), back.batch_shape, back.event_shape) == (type(d), d.batch_shape, d.event_shape)
    np.testing.assert_array_equal(score(back, x), log_prob)
    passed = jax.jit(lambda d: (d, d.sample(jax.random.key(1), (5, 2)), d.log_prob(x), d.mean, d.variance))(d)
    np.testing.assert_array_equal(score(passed[0], x), log_prob)
    for got, expected in zip(passed[1:], (x, log_prob, mean, variance), strict=True):
        np.testing.assert_allclose(got, expected, rtol=2e-5, atol=1e-5)


def test_made_inside_vmap(case):
    make, _ = case
    x = _built(make)[1][0, 0, 0]
    alone = jax.jit(lambda z: make(z).log_prob(x))
    together = jax.jit(jax.vmap(alone))(NUMBERS[1])
    one_by_one = np.array([alone(z) for z in NUMBERS[1]])
    np.testing.assert_allclose(together, one_by_one, rtol=1e-5, atol=1e-6)


def test_moments_are_those_of_the_samples(case):
    """A variance that lacks its square, or is off by 5 %, is twenty standard errors away."""
    make, _ = case
    n = 40_000

    @jax.jit
    def draw(z, key):
        d = make(z)
        return d.sample(key, (n,)), d.mean, d.variance

    x, mean, variance = (np.asarray(v, np.float64) for v in draw(NUMBERS[1], jax.random.key(3)))
    apart = x - mean
    slack = 1e-6 * (1 + np.abs(mean))
    assert (np.abs(apart.mean(0)) <= 5 * x.std(0) / math.sqrt(n) + slack).all()
    error = np.sqrt(((apart**2 - variance) ** 2).mean(0) / n)
    assert (np.abs((apart**2).mean(0) - variance) <= 5 * error + slack).all()


def test_returned_from_vmap(case):
    """NumPyro's keep the shapes of one, and cannot be drawn from."""
    make, event = case

    @jax.jit
    def drawn(z, key):
        d = jax.vmap(jax.vmap(make))(z)
        draws = d.sample(key, (4,))
        return d, jax.vmap(make)(z), draws, d.log_prob(draws), d.mean, d.variance

    d, other, draws, log_prob, mean, variance = jax.device_get(drawn(NUMBERS, jax.random.key(0)))
    for returned in (d, other):
        assert (returned.batch_shape, returned.event_shape) == ((2, 3), event)
    assert draws.shape == (4, 2, 3, *event)
    assert mean.shape == variance.shape == (2, 3, *event)
    row = jax.tree.map(lambda array: array[1, 2], d)
    assert row.batch_shape == ()
    np.testing.assert_allclose(log_prob[:, 1, 2], score(row, draws[:, 1, 2]), rtol=1e-5, atol=1e-5)


# --- they are normalised ---------------------------------------------------------------------------------------

LOCATIONS = np.array([-1e3, -1, 0, 0.5, 99.2, 254, 255.5, 300])
EXTREME_LOGITS = np.array([-40.0, -3.0, -1e-3, 0.0, 0.5, 40.0])


@jax.jit
def score_and_moments(d, x):
    return d.log_prob(x), d.mean, d.variance


def _assert_normalised(d, num_values):
    """Σ_x p(x) over the support is one, and the moments are E[x] and Var[x] by the same sum."""
    values = np.arange(float(num_values)).reshape(-1, *([1] * len(d.batch_shape)))
    log_p, mean, variance = jax.device_get(score_and_moments(d, values))
    p = np.exp(log_p)
    expected = (p * values).sum(0)
    np.testing.assert_allclose(p.sum(0), 1, atol=1e-12)
    np.testing.assert_allclose(mean, expected, rtol=1e-12, atol=1e-12)
    # mean of squares minus square of the mean would be off by 2e-11 here
    np.testing.assert_allclose(variance, (p * (values - expected) ** 2).sum(0), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(
    ("make", "num_values"),
    [
        (lambda: vd.Bernoulli(logits=EXTREME_LOGITS), 2),
        (lambda: vd.Bernoulli(np.array([0.0, 1e-300, 0.3, 1.0])), 2),
        (lambda: vd.Categorical(logits=np.array([[40.0, -40, 0], [1, 2, 3], [-40, -40, -40]])), 3),
        (lambda: vd.Categorical(np.array([[0.0, 1.0, 0.0], [0.2, 0.3, 0.5]])), 3),
        *[
            (lambda s=s, n=n: vd.DiscretizedLogistic(LOCATIONS, s, n), n)
            for s in (1e-3, 0.1, 3.0, 1e4)
            for n in (2, 256)
        ],
    ],
)
def test_discrete_ones_sum_to_one_and_have_the_moments_of_the_sum(float64, make, num_values):
    _assert_normalised(make(), num_values)


@pytest.mark.parametrize("num_values", [2, 256])
def test_a_mixture_of_discretized_logistics_sums_to_one(float64, num_values):
    loc = np.stack([LOCATIONS, LOCATIONS[::-1], np.full(8, 3.0)], -1)
    logits = np.array([0.3, -1.0, -np.inf])
    d = vd.DiscretizedLogisticMixture(logits, loc, np.array([0.1, 30.0, 1.0]), num_values)
    _assert_normalised(d, num_values)
    np.testing.assert_array_equal(score(d, np.array([[-1.0], [0.5], [num_values]])), -np.inf)


def test_gradients_of_mixtures_hold_with_a_component_of_no_weight(float64):
    weights, loc = np.array([0.3, 0.7, 0.0]), np.array([3.0, 5.0, 4.0])
    pixels = lambda w, l, x: vd.DiscretizedLogisticMixture(vd.Categorical(w).logits, l, np.ones(3), 9).log_prob(x)  # noqa: E731, E741
    numbers = lambda w, l, x: vd.Mixture(vd.Categorical(w), vd.Normal(l, 1.0)).log_prob(x)  # noqa: E731, E741
    for log_prob in (pixels, numbers):
        gradients_of = jax.jit(jax.grad(log_prob, (0, 1)))
        for x in (0.0, 3.0, 8.0):
            gradients = jax.device_get(gradients_of(weights, loc, x))
            assert all(np.isfinite(g).all() for g in gradients)
            assert gradients[1][2] == 0


def test_gradients_of_mixtures_hold_off_the_support_of_a_component(float64):
    """A density's formula gives NaN there, or its gradient does, which a `where` after it lets through."""

    @jax.jit
    def everything(parameters, x):
        def log_prob(loc, a, low):
            components = [vd.Normal(loc, 1.0), vd.LogNormal(loc, 1.0), vd.Gamma(a, 1.0), vd.Uniform(low, 9.0)]
            mixing = vd.Categorical(np.full(4, 0.25))
            return vd.MixtureGeneral(mixing, components, support=constraints.real).log_prob(x)

        return log_prob(*parameters), jax.grad(lambda *p: log_prob(*p).sum(), (0, 1, 2))(*parameters)

    x = np.array([-1.0, 0.0])
    log_prob, gradients = everything((0.5, 2.0, np.array([1.0, 2.0])), x)
    np.testing.assert_allclose(log_prob, scipy.stats.norm(0.5).logpdf(x) - np.log(4), rtol=1e-12)
    for got, expected in zip(gradients, ((x - 0.5).sum(), 0, 0), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-12)


def test_discretized_logistic_variance_in_single_precision():
    scale = np.array([0.05, 0.3, 2.0], np.float32)
    variance = jax.jit(lambda loc, scale: vd.DiscretizedLogistic(loc, scale).variance)
    got = variance(np.full(3, 200.3), scale)
    with jax.enable_x64(True):
        exact = variance(np.full(3, 200.3), np.float64(scale))
        np.testing.assert_allclose(got, exact, rtol=3e-4)  # as a difference of squares: 0.1


@pytest.mark.parametrize(
    "logit", [-200.0, -40.0, -1.0, -0.031, -0.029, -1e-9, 0.0, 0.02, 0.0301, 0.7, 5.0, 40.0, 200.0]
)
def test_continuous_bernoulli_integrates_to_one(float64, logit):
    d = vd.ContinuousBernoulli(np.float64(logit))

    def integral(power):
        points = [1 / abs(logit)] if abs(logit) > 2 else None
        if logit > 2:
            points = [1 - 1 / logit]
        f = lambda x: np.exp(score(d, x)) * x**power  # noqa: E731
        return scipy.integrate.quad(f, 0, 1, points=points, epsabs=1e-13, epsrel=1e-12)[0]

    total, first, second = (integral(power) for power in range(3))
    assert total == pytest.approx(1, abs=1e-11)
    assert float(d.mean) == pytest.approx(first, rel=1e-10)
    assert float(d.variance) == pytest.approx(second - first**2, rel=1e-7, abs=1e-11)
    # the quantiles invert the integral
    (x,) = np.asarray(d.icdf(np.array([0.25])))
    below = scipy.integrate.quad(lambda t: np.exp(score(d, t)), 0, x, epsabs=1e-13)[0]
    assert below == pytest.approx(0.25, abs=3e-7)


def test_continuous_bernoulli_keeps_its_digits_in_single_precision():
    logits = np.concatenate([s * np.geomspace(1e-4, 80, 200) for s in (-1, 1)])
    logits, x = np.float32(logits), np.float32(0.3)
    got = jax.device_get(score_and_moments(vd.ContinuousBernoulli(logits), x))
    with jax.enable_x64(True):
        double = vd.ContinuousBernoulli(np.float64(logits))
        exact = jax.device_get(score_and_moments(double, np.float64(x)))
    np.testing.assert_allclose(got[0], exact[0], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(got[1], exact[1], rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(got[2], exact[2], rtol=1e-5)  # the closed form down to 0.03, as it was: 3e-3
    # beyond e^88 there is no number
    slopes = jax.vmap(jax.grad(lambda logit: vd.ContinuousBernoulli(logit).mean))(jnp.array([-95.0, 95.0]))
    np.testing.assert_allclose(slopes, 1 / 95**2, rtol=1e-5)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_diagonal_normal_is_scipys(float64, scale):
    loc, x = np.array([1.0, -2.0]), np.array([0.3, 0.7])
    d = vd.MultivariateNormalDiag(loc, np.full(2, scale))
    np.testing.assert_allclose(d.log_prob(x), scipy.stats.norm(loc, scale).logpdf(x).sum(), rtol=1e-14)
    np.testing.assert_allclose(d.entropy(), scipy.stats.norm(loc, scale).entropy().sum(), rtol=1e-14)


@pytest.mark.parametrize("shared", [False, True])
def test_dense_normals_are_scipys(float64, shared, rng):
    loc, factor, diag = rng.normal(size=(2, 3)), 30 * rng.normal(size=(2, 3, 2)), np.array([1e-3, 1.0, 2.0])
    covariance = factor @ np.swapaxes(factor, -1, -2) + np.diag(diag)
    tril = np.linalg.cholesky(covariance)
    if shared:
        factor, covariance, tril = factor[:1], covariance[:1], tril[:1]
    x = loc[0] + rng.normal(size=(5, 1, 3))
    everything = jax.jit(lambda d: (d.log_prob(x), d.entropy(), d.covariance_matrix, d.variance))
    for d in (vd.LowRankMultivariateNormal(loc, factor, diag), vd.MultivariateNormalTriL(loc, tril)):
        assert d.batch_shape == (2,)
        log_prob, entropy, cov, variance = jax.device_get(everything(d))
        for i in range(2):
            one = scipy.stats.multivariate_normal(loc[i], covariance[0 if shared else i])
            np.testing.assert_allclose(log_prob[:, i], one.logpdf(x[:, 0]), rtol=1e-9)
            np.testing.assert_allclose(entropy[i], one.entropy(), rtol=1e-10)
            np.testing.assert_allclose(cov[i], one.cov, rtol=1e-10)
        np.testing.assert_allclose(variance, np.diagonal(cov, axis1=-2, axis2=-1), rtol=1e-12)


def test_a_low_rank_normal_keeps_its_digits_in_single_precision():
    """Woodbury's difference was off by 3e-4 of it here."""
    factor, diag, x = np.array([[1e2], [1e2]]), np.array([1e-2, 1e-2]), np.array([10.01, 9.99])
    d = vd.LowRankMultivariateNormal(*(np.float32(a) for a in (np.zeros(2), factor, diag)))
    exact = scipy.stats.multivariate_normal(np.zeros(2), factor @ factor.T + np.diag(diag)).logpdf(np.float32(x))
    np.testing.assert_allclose(score(d, np.float32(x)), exact, rtol=1e-4)


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"expected loc .* got \(3,\) and \(2, 2\)"):
        vd.MultivariateNormalTriL(jnp.zeros(3), jnp.eye(2))
    with pytest.raises(ValueError, match=r"expected loc .* got \(3,\), \(2, 2\) and \(3,\)"):
        vd.LowRankMultivariateNormal(jnp.zeros(3), jnp.eye(2), jnp.ones(3))


def test_diagonal_normal_takes_lists_of_whole_numbers():
    d = vd.MultivariateNormalDiag([0, 1], [1, 2])
    assert d.sample(jax.random.key(0)).dtype == jnp.float32
    with pytest.raises(ValueError, match="expected vectors"):
        vd.MultivariateNormalDiag(0.0, 1.0)


# --- gradients ---------------------------------------------------------------------------------------------------


def _finite_difference(f, x):
    steps = 1e-5 * np.maximum(1, np.abs(x))
    return np.array([(f(x + h * e) - f(x - h * e)) / (2 * h) for h, e in zip(steps, np.eye(len(x)), strict=True)])


GRADIENTS = {
    "bernoulli": (lambda p, x: vd.Bernoulli(logits=p[0]).log_prob(x), [[-40.0], [0.0], [3.0], [40.0]], [0.0, 1.0]),
    "soft bernoulli": (
        lambda p, x: vd.Bernoulli(logits=p[0], soft_targets=True).log_prob(x),
        [[-40.0], [0.0], [3.0], [40.0]],
        [0.0, 0.3, 1.0],
    ),
    "continuous bernoulli": (
        lambda p, x: vd.ContinuousBernoulli(p[0]).log_prob(x),
        [[-200.0], [-40.0], [-0.03], [0.0], [0.01], [0.03], [2.0], [40.0]],
        [0.0, 0.3, 1.0],
    ),
    "discretized logistic": (
        lambda p, x: vd.DiscretizedLogistic(p[0], jnp.exp(p[1])).log_prob(x),
        [[-300.0, 1.0], [3.2, -3.0], [128.0, 0.0], [500.0, 5.0], [40.0, -1.0]],
        [0.0, 3.0, 128.0, 255.0],
    ),
    "student t": (
        lambda p, x: vd.StudentT(jnp.exp(p[0]), p[1], jnp.exp(p[2])).log_prob(x),
        [[0.5, 0.3, 0.0], [3.0, -9.0, -2.0], [6.0, 2.0, 1.0]],
        [0.3, -4.0],
    ),
    # by its formula NaN at the location
    "distribution function of student t": (
        lambda p, x: vd.StudentT(3.0, p[0], jnp.exp(p[1])).cdf(x),
        [[0.3, 0.0], [-9.0, -2.0], [2.0, 1.0]],
        [0.3, -4.0],
    ),
    "negative binomial": (
        lambda p, x: vd.NegativeBinomialLogMean(p[0], jnp.exp(p[1])).log_prob(x),
        [[0.5, 0.0], [-3.0, -2.0], [35.0, 1.0], [3.0, 6.0]],
        [0.0, 2.0, 21.0],
    ),
    "categorical": (
        lambda p, x: vd.Categorical(logits=p).log_prob(x),
        [[-40.0, 40.0, 0.0], [0.1, 0.2, 0.3]],
        [0.0, 1.0, 2.0],
    ),
    "diagonal normal": (
        lambda p, x: vd.MultivariateNormalDiag(p[:1], jnp.exp(p[1:])).log_prob(jnp.reshape(x, 1)),
        [[0.0, 0.0], [3.0, -2.0]],
        [0.5, 4.0],
    ),
    "mean of the discretized logistic": (
        lambda p, x: vd.DiscretizedLogistic(p[0], jnp.exp(p[1]), 9).mean * x,
        [[4.2, 0.0], [-3.0, 1.0]],
        [1.0],
    ),
    "draw of the continuous bernoulli": (
        lambda p, x: vd.ContinuousBernoulli(p[0]).icdf(x),
        [[-3.0], [0.5], [40.0]],
        [0.1, 0.9],
    ),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients_are_finite_differences(float64, name):
    f, points, values = GRADIENTS[name]
    gradient, value_of = jax.jit(jax.grad(f)), jax.jit(f)
    for p in points:
        for x in values:
            p = np.asarray(p)
            expected = _finite_difference(lambda q, x=x: float(value_of(q, x)), p)
            np.testing.assert_allclose(gradient(p, x), expected, rtol=1e-6, atol=2e-7, err_msg=f"{p} {x}")


@pytest.mark.parametrize(
    ("make", "parameters", "values"),
    [
        (lambda p: vd.Bernoulli(logits=p[0]), [[-1e4], [1e4]], [0.0, 1.0, 0.5]),
        (lambda p: vd.ContinuousBernoulli(p[0]), [[-1e4], [1e4], [0.0]], [0.0, 0.5, 1.0]),
        (lambda p: vd.DiscretizedLogistic(p[0], p[1]), [[-1e3, 1e-3], [1e3, 1e-3], [0.0, 1e5]], [0.0, 77.0, 255.0]),
        (lambda p: vd.Categorical(logits=p), [[1e4, -1e4], [0.0, 0.0]], [0.0, 1.0]),
        (lambda p: vd.StudentT(*p), [[5.0, 1e25, 1e-3], [5.0, 0.0, 1e-3], [1e6, 0.0, 1.0]], [0.0, 3.0]),
        (lambda p: vd.NegativeBinomialLogMean(*p), [[-1e4, 1.0], [1e4, 1.0], [0.0, 1e-4], [0.0, 1e4]], [0.0, 3.0]),
        # by the rate itself, NaN at the first; e^89 is no number
        (lambda p: vd.PoissonLogRate(p[0]), [[-1e4], [-90.0], [88.0]], [0.0, 3.0]),
    ],
)
def test_gradients_at_the_extremes_are_finite(make, parameters, values):
    f = jax.jit(jax.value_and_grad(lambda p, x: make(p).log_prob(x)))
    for p in parameters:
        for x in values:
            value, gradient = f(jnp.asarray(p), x)
            assert np.isfinite(gradient).all(), (p, x, gradient)
            assert not np.isnan(value)
            assert value > -np.inf or x == 0.5


# --- Bernoulli ---------------------------------------------------------------------------------------------------


def test_bernoulli_off_its_support():
    d = vd.Bernoulli(logits=np.array([0.5]))
    np.testing.assert_array_equal(score(d, np.array([[0.5], [-1.0], [2.0], [1 + 1e-6]])), -np.inf)


def test_soft_targets_are_the_cross_entropy(float64):
    logit = np.array([-3.0, 0.2, 30.0])
    for target in (0.0, 0.25, 1.0):
        p = 1 / (1 + np.exp(-logit))
        # ln(1 − p) = ln p − l
        expected = np.log(p) - (1 - target) * logit
        got = vd.Bernoulli(logits=logit, soft_targets=True).log_prob(target)
        np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-14)


def test_bernoulli_keeps_its_digits_in_single_precision():
    """As x l − ln(1 + e^l), ln p(1) at a logit of 15 would be 0, not −3.06e-7."""
    d = vd.Bernoulli(logits=np.array([15.0, -15.0]))
    np.testing.assert_allclose(score(d, np.array([1.0, 0.0])), -np.log1p(np.exp(-15)), rtol=1e-6)
    rare = scipy.stats.bernoulli(1 / (1 + np.exp(15)))
    np.testing.assert_allclose(d.variance, rare.var(), rtol=1e-6)
    np.testing.assert_allclose(d.entropy(), rare.entropy(), rtol=1e-6)
    bend = jax.grad(jax.grad(lambda logit: vd.Bernoulli(logits=logit).entropy()))
    np.testing.assert_allclose(bend(0.0), -0.25, rtol=1e-6)


def test_bernoulli_at_certainty():
    d = vd.Bernoulli(jnp.array([0.0, 1.0]))
    np.testing.assert_array_equal(d.log_prob(0.0), [0, -np.inf])
    np.testing.assert_array_equal(d.log_prob(1.0), [-np.inf, 0])
    entropy = jax.value_and_grad(lambda logits: vd.Bernoulli(logits=logits).entropy().sum())
    np.testing.assert_array_equal(entropy(d.logits)[0], 0)
    np.testing.assert_array_equal(entropy(d.logits)[1], 0)


def test_categorical_entropy_at_certainty(float64):
    d = vd.Categorical(np.array([[0.0, 1.0, 0.0], [0.25, 0.0, 0.75]]))
    value, slope = jax.jit(jax.value_and_grad(lambda logits: vd.Categorical(logits=logits).entropy().sum()))(d.logits)
    surprise = -np.log([0.25, 0.75])
    entropy = surprise @ [0.25, 0.75]
    np.testing.assert_allclose(value, entropy)
    off = np.array([0.25, 0.75]) * (surprise - entropy)
    np.testing.assert_allclose(slope, [[0, 0, 0], [off[0], 0, off[1]]], atol=1e-15)


def test_bernoulli_enumerates_its_support_and_knows_its_entropy(float64):
    d = vd.Bernoulli(logits=np.array([[-40.0, 0.3, 2.0]]))

    @jax.jit
    def everything(d):
        values = d.enumerate_support()
        return values, d.enumerate_support(expand=False), d.log_prob(values), d.entropy()

    values, one, log_prob, entropy = jax.device_get(everything(d))
    assert values.shape == (2, 1, 3)
    assert one.shape == (2, 1, 1)
    np.testing.assert_allclose(entropy, -(np.exp(log_prob) * log_prob).sum(0), rtol=1e-12, atol=1e-12)


def test_continuous_bernoulli_entropy(float64):
    for logit in (-7.0, 0.001, 3.0):
        d = vd.ContinuousBernoulli(np.float64(logit))
        entropy = scipy.integrate.quad(lambda x, d=d: -np.exp(score(d, x)) * score(d, x), 0, 1)[0]
        assert float(d.entropy()) == pytest.approx(entropy, rel=1e-9)


@pytest.mark.parametrize(
    ("make", "parameters"),
    [
        (lambda a: vd.Bernoulli(logits=a), (0, 2)),
        (lambda a: vd.Categorical(logits=a), (0, 2)),
        (lambda a: vd.DiscretizedLogistic(a, 10), (0, 128)),
    ],
)
def test_whole_numbers_are_numbers(make, parameters):
    """Those of the type of the parameters, cut off to whole ones, were values: ln p(½) was ln p(0)."""
    everything = lambda d, x: (d.sample(jax.random.key(0), (5,)), d.mean, d.variance, d.log_prob(x))  # noqa: E731
    got, expected = (jax.jit(everything)(make(np.array(parameters, kind)), 0.5) for kind in (np.int32, np.float32))
    jax.tree.map(np.testing.assert_array_equal, got, expected)
    assert (got[-1] == -np.inf).all()


@pytest.mark.parametrize("make", [vd.Bernoulli, vd.Categorical])
def test_one_of_probs_and_logits(make):
    with pytest.raises(ValueError, match="one of probs and logits"):
        make()
    with pytest.raises(ValueError, match="one of probs and logits"):
        make(probs=jnp.ones(2) / 2, logits=jnp.ones(2))


# --- Student's t and the negative binomial -----------------------------------------------------------------------


def test_student_t_keeps_its_digits_in_single_precision():
    """NumPyro's log density is off by a tenth at df = 10⁶, and its distribution function by 1e-4 about the location."""
    x = np.array([0, 1e-4, 3e-4, -1e-3, 0.3, 2.0, -5.0, 1e4], np.float32)
    both = jax.jit(lambda d: (d.log_prob(x), d.cdf(x)))
    for df in (2.01, 5.0, 100.0, 1e4, 1e6):
        d, expected = vd.StudentT(df), scipy.stats.t(float(np.float32(df)))
        log_prob, cdf = both(d)
        np.testing.assert_allclose(log_prob, expected.logpdf(x.astype(float)), rtol=3e-6, err_msg=f"{df}")
        if df <= 100:
            np.testing.assert_allclose(cdf, expected.cdf(x.astype(float)), atol=2e-6, err_msg=f"{df}")


def test_negative_binomial_keeps_its_digits_in_single_precision():
    """NumPyro's loses 1e-3 at a concentration of 10⁵, and one of three ln Γ as they stand as much at 10⁴ counts."""
    k = np.array([0, 1, 5, 20, 100, 1e4, 1e6])
    for log_mean in np.array([-7.0, 0.0, 4.6, 9.2], np.float32):
        mean = np.exp(float(log_mean))
        for c in (2.0**-10, 0.5, 1024.0, 1e5):
            d, expected = vd.NegativeBinomialLogMean(log_mean, c), scipy.stats.nbinom(c, c / (c + mean))
            np.testing.assert_allclose(score(d, k.astype(np.float32)), expected.logpmf(k), rtol=5e-6, atol=2e-6)
    off = score(vd.NegativeBinomialLogMean(1.0, 2.0), np.array([-1.0, 0.5]))
    np.testing.assert_array_equal(off, -np.inf)


def test_poisson_keeps_its_digits_in_single_precision():
    """By the rate and ln Γ, ln p(10⁶) at a rate of 10⁶ is -7.19, not -7.83."""
    k = np.array([0, 1, 5, 20, 100, 1e4, 1e6])
    score_and_slope = jax.jit(jax.vmap(jax.value_and_grad(lambda rate, k: vd.PoissonLogRate(rate).log_prob(k))))
    for log_rate in np.log(np.array([1e-30, 1e-3, 1.0, 20.0, 1e4, 1e6])).astype(np.float32):
        score, slope = score_and_slope(np.full(7, log_rate), k.astype(np.float32))
        # exact in log_rate, as the rate is not
        rate = np.exp(float(log_rate))
        expected = k * float(log_rate) - rate - scipy.special.gammaln(k + 1)
        np.testing.assert_allclose(score, expected, rtol=2e-6, atol=2e-6)
        np.testing.assert_allclose(slope / (k + rate), (k - rate) / (k + rate), atol=1e-6)
    assert isinstance(vd.PoissonLogRate(0.0), vd.Poisson)
    off = vd.PoissonLogRate(1.0).log_prob(np.array([-1.0, 0.5]))
    np.testing.assert_array_equal(off, -np.inf)


def test_gradients_of_counts_hold_where_two_formulas_meet(float64):
    """Half of a derivative was lost where count and concentration were equal: 0.11 at 1 for 0.03."""
    k, c = np.array([1.0, 3.0, 15.0, 4.0]), np.array([1.0, 3.0, 1.0, 16.0])

    @jax.jit
    def slopes(c):
        score = lambda c: vd.NegativeBinomialLogMean(1.3, c).log_prob(k)  # noqa: E731
        return jax.grad(lambda c: score(c).sum())(c), (score(c + 1e-5) - score(c - 1e-5)) / 2e-5

    np.testing.assert_allclose(*slopes(c), rtol=1e-7, atol=1e-9)


def test_moments_that_do_not_exist():
    d = vd.StudentT(np.array([0.5, 1.5, 3.0]), 7.0, 2.0)
    np.testing.assert_allclose(d.mean, [np.nan, 7, 7])
    np.testing.assert_allclose(d.variance, [np.nan, np.inf, 12], rtol=1e-6)


def test_draws_of_few_degrees_of_freedom():
    """One in 7,000 is beyond a float32; by a gamma number that is 0 there, one in 80 was infinite or no number."""
    draws = np.asarray(vd.StudentT(0.1).sample(jax.random.key(0), (50_000,)))
    assert (~np.isfinite(draws)).mean() < 5e-4
    assert scipy.stats.kstest(draws[np.abs(draws) < 1e30], scipy.stats.t(0.1).cdf).pvalue > 1e-3
