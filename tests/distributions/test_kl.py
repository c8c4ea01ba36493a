import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro import distributions as nd

from varinf import distributions as vd

RNG = np.random.default_rng(0)
D = 3
LOC, SCALE = RNG.normal(size=(2, 2, D)), np.exp(0.5 * RNG.normal(size=(2, 2, D)))
TRIL = np.tril(RNG.normal(size=(2, 2, D, D)), -1) + SCALE[..., None] * np.eye(D)


def _kl_by_matrices(q_loc, q_cov, p_loc, p_cov):
    inverse, shift = np.linalg.inv(p_cov), p_loc - q_loc
    trace = np.einsum("...ij,...ji->...", inverse, q_cov)
    square = np.einsum("...i,...ij,...j->...", shift, inverse, shift)
    return 0.5 * (trace + square - D + np.linalg.slogdet(p_cov)[1] - np.linalg.slogdet(q_cov)[1])


# the same diagonal normal, said in four ways
DIAGONAL = {
    "diag": vd.MultivariateNormalDiag,
    "independent": lambda loc, scale: vd.Independent(vd.Normal(loc, scale), 1),
    "numpyro's independent": lambda loc, scale: nd.Independent(nd.Normal(loc, scale), 1),
    "tril": lambda loc, scale: vd.MultivariateNormal(loc, scale_tril=jnp.asarray(scale)[..., None] * np.eye(D)),
    "our tril": lambda loc, scale: vd.MultivariateNormalTriL(loc, jnp.asarray(scale)[..., None] * np.eye(D)),
    "covariance": lambda loc, scale: vd.MultivariateNormal(loc, jnp.asarray(scale)[..., None] ** 2 * np.eye(D)),
}


@pytest.mark.parametrize("q_name", DIAGONAL)
@pytest.mark.parametrize("p_name", DIAGONAL)
@pytest.mark.parametrize(("q_batch", "p_batch"), [(..., ...), (0, ...)])
def test_all_ways_to_say_a_diagonal_normal_agree(float64, q_name, p_name, q_batch, p_batch):
    q = DIAGONAL[q_name](LOC[0][q_batch], SCALE[0][q_batch])
    p = DIAGONAL[p_name](LOC[1][p_batch], SCALE[1][p_batch])
    one = (LOC[0], SCALE[0][..., None] ** 2 * np.eye(D))
    two = (LOC[1], SCALE[1][..., None] ** 2 * np.eye(D))
    expected = _kl_by_matrices(*(v[q_batch] for v in one), *(v[p_batch] for v in two))
    got = vd.kl_divergence(q, p)
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, rtol=1e-12)


def test_parts_of_a_factorised_pair_are_one_for_each_dimension(float64):
    for q_name in ("diag", "independent"):
        for p_name in ("diag", "independent"):
            parts = vd.kl_per_dimension(DIAGONAL[q_name](LOC[0], SCALE[0]), DIAGONAL[p_name](LOC[1][0], SCALE[1][0]))
            scalar = vd.kl_divergence(vd.Normal(LOC[0], SCALE[0]), vd.Normal(LOC[1][0], SCALE[1][0]))
            np.testing.assert_allclose(parts, scalar, rtol=1e-14)
    parts = vd.kl_per_dimension(DIAGONAL["tril"](LOC[0], SCALE[0]), DIAGONAL["diag"](LOC[1], SCALE[1]))
    assert parts.shape == (2, 1)


# each with its covariance, from a mean, scales and a triangle; of a batch of two
def _kinds(i):
    loc, scale, tril, factor = LOC[i], SCALE[i], TRIL[i], TRIL[i][..., :2]
    dense, low = tril @ np.swapaxes(tril, -1, -2), factor @ np.swapaxes(factor, -1, -2)
    diagonal = scale[..., None] ** 2 * np.eye(D)
    return {
        "diagonal": (lambda b: vd.MultivariateNormalDiag(loc[b], scale[b]), diagonal),
        "triangular": (lambda b: vd.MultivariateNormalTriL(loc[b], tril[b]), dense),
        "NumPyro's": (lambda b: vd.MultivariateNormal(loc[b], scale_tril=tril[b]), dense),
        "low rank": (lambda b: vd.LowRankMultivariateNormal(loc[b], factor[b], scale[b] ** 2), low + diagonal),
        "NumPyro's low rank": (
            lambda b: nd.LowRankMultivariateNormal(loc[b], factor[b], scale[b] ** 2),
            low + diagonal,
        ),
    }


@pytest.mark.parametrize(("q_batch", "p_batch"), [(..., ...), (..., 0), (0, ...), (0, 1)])
@pytest.mark.parametrize("p_kind", _kinds(1))
@pytest.mark.parametrize("q_kind", _kinds(0))
def test_normals_of_all_kinds(float64, q_batch, p_batch, q_kind, p_kind):
    (make_q, q_covariance), (make_p, p_covariance) = _kinds(0)[q_kind], _kinds(1)[p_kind]
    expected = _kl_by_matrices(LOC[0][q_batch], q_covariance[q_batch], LOC[1][p_batch], p_covariance[p_batch])
    got = vd.kl_divergence(make_q(q_batch), make_p(p_batch))
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, rtol=1e-11)


@pytest.mark.parametrize("dim", [4, 5])
def test_normals_with_structure(float64, dim, rng):
    row, other = (np.exp(-np.minimum(np.arange(dim), dim - np.arange(dim)) / length) for length in (1.0, 0.4))
    steps = np.tril(np.ones((dim, dim)))
    dense = lambda d: vd.MultivariateNormalTriL(d.loc, jnp.linalg.cholesky(d.covariance_matrix))  # noqa: E731

    @jax.jit
    def kls(row, other, locs, scales, trils):
        q, p = vd.CirculantNormal(locs[0], covariance_row=row), vd.CirculantNormal(locs[1], covariance_row=other)
        flat = vd.MultivariateNormalDiag(locs[1], np.arange(1.0, dim + 1))
        walks = [vd.GaussianRandomWalk(scale, dim) for scale in scales]
        walked = [vd.MultivariateNormalTriL(np.zeros(dim), scale * steps) for scale in scales]
        sides = [(LOC[i], trils[i][0][:2, :2], trils[i][1]) for i in (0, 1)]
        matrices = [vd.MatrixNormal(*side) for side in sides]
        stacked = [vd.MultivariateNormalTriL(loc.ravel(), jnp.kron(rows, columns)) for loc, rows, columns in sides]
        pairs = [(q, p), (flat, q), walks, matrices], [(dense(q), dense(p)), (flat, dense(q)), walked, stacked]
        return [[vd.kl_divergence(*pair) for pair in each] for each in pairs]

    got, expected = kls(row, other, rng.normal(size=(2, dim)), [1.0, 1.7], TRIL)
    np.testing.assert_allclose(got, expected, rtol=1e-10)


PAIRS = {
    "diagonal": lambda: (
        vd.MultivariateNormalDiag(LOC[0], SCALE[0]),
        vd.MultivariateNormalDiag(LOC[1][0], SCALE[1][0]),
    ),
    "full": lambda: (
        vd.MultivariateNormal(LOC[0], scale_tril=TRIL[0]),
        vd.MultivariateNormal(LOC[1], scale_tril=TRIL[1]),
    ),
    "bernoulli": lambda: (vd.Bernoulli(logits=np.array([-3.0, 0.5])), vd.Bernoulli(logits=np.array([1.0, 3.0]))),
    "categorical": lambda: (
        vd.Categorical(logits=np.array([[0.1, 2.0, -1.0]])),
        vd.Categorical(np.array([0.9, 0.02, 0.08])),
    ),
    "pixels": lambda: (
        vd.Independent(vd.Bernoulli(logits=LOC[0]), 1),
        vd.Independent(vd.Bernoulli(logits=LOC[1][0] + 2), 1),
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_it_is_the_average_of_the_log_ratio(float64, name):
    """The KL the other way round is at least 10 standard errors away."""
    q, p = PAIRS[name]()

    @jax.jit
    def everything(key):
        x = q.sample(key, (40_000,))
        kls = vd.kl_divergence(q, p), vd.kl_divergence(p, q), vd.kl_per_dimension(q, p)
        return q.log_prob(x) - p.log_prob(x), *kls

    ratio, got, turned, parts = jax.device_get(everything(jax.random.key(0)))
    error = ratio.std(0) / len(ratio) ** 0.5
    assert got.shape == ratio.shape[1:]
    assert (np.abs(ratio.mean(0) - got) < 5 * error).all(), (got, ratio.mean(0), error)
    assert (np.abs(got - turned) > 10 * error).all()
    np.testing.assert_allclose(parts.sum(-1), got, rtol=1e-14)


@jax.jit
def _kl_and_gradients_by_logits(a, b):
    kl = lambda a, b: vd.kl_divergence(vd.Bernoulli(logits=a), vd.Bernoulli(logits=b))  # noqa: E731
    return kl(a, b), jax.grad(kl, (0, 1))(a, b)


@pytest.mark.parametrize(("a", "b"), [(-40.0, 40.0), (40.0, -40.0), (40.0, 40.0), (-800.0, 3.0), (3.0, 800.0)])
def test_bernoulli_at_the_extremes(float64, a, b):
    p = 1 / (1 + np.exp(-a)) if a > -700 else 0.0
    expected = p * (np.logaddexp(0, -b) - np.logaddexp(0, -a)) + (1 - p) * (np.logaddexp(0, b) - np.logaddexp(0, a))
    got, gradients = _kl_and_gradients_by_logits(a, b)
    np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-15)
    assert np.isfinite(gradients).all()


def test_certainty():
    @jax.jit
    def everything(chances, classes):
        certain, one_hot = vd.Bernoulli(chances), vd.Categorical(classes)
        two, three = vd.Bernoulli(jnp.full(2, 0.5)), vd.Categorical(jnp.ones(3) / 3)
        return [vd.kl_divergence(*pair) for pair in [(certain, two), (one_hot, three), (one_hot, one_hot)]]

    of_two, of_three, itself = everything(np.array([0.0, 1.0]), np.array([0.0, 1.0, 0.0]))
    np.testing.assert_allclose(of_two, [np.log(2)] * 2, rtol=1e-6)
    np.testing.assert_allclose(of_three, np.log(3), rtol=1e-6)
    np.testing.assert_array_equal(itself, 0)


@pytest.mark.parametrize(
    ("q", "p"),
    [
        (lambda: vd.Normal(0.0, 1.0), lambda: vd.Cauchy(0.0, 1.0)),
        (lambda: vd.Independent(vd.Cauchy(LOC[0], 1.0), 1), lambda: vd.MultivariateNormalDiag(LOC[0], SCALE[0])),
        (lambda: vd.MultivariateNormalDiag(LOC[0], SCALE[0]), lambda: vd.Independent(vd.Cauchy(LOC[0], 1.0), 1)),
        (lambda: vd.Independent(vd.Normal(LOC[0], 1.0), 1), lambda: vd.Independent(vd.Cauchy(LOC[0], 1.0), 1)),
        (lambda: vd.LogNormal(0.0, 1.0), lambda: vd.Gamma(1.0, 1.0)),
    ],
)
def test_an_unknown_pair_says_so(q, p):
    with pytest.raises(vd.NoClosedForm, match="no closed form is known"):
        vd.kl_divergence(q(), p())


def test_events_of_different_shapes_are_refused():
    with pytest.raises(ValueError, match=r"events of one shape, got \(3,\) and \(2,\)"):
        vd.kl_divergence(
            vd.MultivariateNormalDiag(jnp.zeros(3), jnp.ones(3)), vd.MultivariateNormalDiag(jnp.zeros(2), jnp.ones(2))
        )
