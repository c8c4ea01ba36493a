"""What distributions made of arrays share."""

import jax
import numpy as np
import pytest

from varinf import distributions as vd

DISTRIBUTIONS = {
    "bernoulli": (lambda a: vd.Bernoulli(logits=a), lambda u: (u > 0.5).astype(np.float32)),
    "continuous bernoulli": (vd.ContinuousBernoulli, lambda u: u),
    "discretized logistic": (lambda a: vd.DiscretizedLogistic(a + 4, 1.5, 9), lambda u: np.floor(9 * u)),
    "discretized logistic, each its scale": (
        lambda a: vd.DiscretizedLogistic(a + 4, a**2 + 0.1, 9),
        lambda u: np.floor(9 * u),
    ),
}


# rows of 8 × 9 count as 72 in one; in the last four there is nothing to merge, or not in all arrays
@pytest.mark.parametrize(
    ("batch", "value"),
    [
        ((3, 8, 9), (3, 8, 9)),
        ((2, 3, 8, 9, 1), (3, 8, 9, 1)),
        ((8, 9), (3, 8, 9)),
        ((3, 8, 9), ()),
        ((), (3, 8, 9)),
        ((3, 8, 1), (8, 9)),
        ((3, 1, 9), (3, 8, 9)),
        ((8, 9), (8, 9)),
        ((3, 2), (3, 2)),
    ],
)
@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_the_density_of_an_image_is_that_of_its_pixels(name, batch, value):
    make, values = DISTRIBUTIONS[name]
    rng = np.random.default_rng(0)
    parameter, x = rng.normal(size=batch).astype(np.float32), values(rng.random(value, np.float32))
    pairs = np.broadcast_arrays(parameter, x)
    score = lambda parameter, x: make(parameter).log_prob(x)  # noqa: E731
    both = jax.jit(lambda one, pairs: (score(*one), jax.vmap(score)(*pairs)))
    together, alone = jax.device_get(both((parameter, x), [array.ravel() for array in pairs]))
    assert together.shape == pairs[0].shape
    np.testing.assert_allclose(together.ravel(), alone, rtol=1e-5, atol=1e-6)


def test_arguments_are_checked_without_a_program(compilations):
    loc, scale = jax.device_put((np.zeros(5, np.float32), np.arange(5, dtype=np.float32) - 1))
    with pytest.raises(ValueError, match="MultivariateNormalDiag distribution got invalid scale_diag"):
        vd.MultivariateNormalDiag(loc, scale, validate_args=True)
    assert not compilations
    with pytest.raises(ValueError, match="MultivariateNormalTriL distribution got invalid scale_tril"):
        vd.MultivariateNormalTriL(loc[:2], np.ones((2, 2), np.float32), validate_args=True)


@pytest.mark.parametrize(("make", "probs"), [(vd.Bernoulli, 1.5), (vd.Categorical, [-1.0, 2.0])])
def test_probabilities_are_checked_though_logits_are_kept(make, probs):
    probs = np.array(probs, np.float32)
    with pytest.raises(ValueError, match=f"{make.__name__} distribution got invalid probs parameter"):
        make(probs)
    make(probs, validate_args=False)
    jax.eval_shape(lambda probs: make(probs, validate_args=True).logits, probs)


def test_the_check_leaves_nothing_in_a_program():
    def made(scale):
        d = vd.MultivariateNormalDiag(np.zeros(2, np.float32), scale, validate_args=True)
        with pytest.raises(RuntimeError, match="Cannot validate arguments inside jitted code"):
            d.validate_args()
        return d.scale_diag

    assert not jax.make_jaxpr(made)(np.full(2, -1, np.float32)).eqns
