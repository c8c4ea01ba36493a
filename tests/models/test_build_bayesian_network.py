"""A Bayesian network built for data: saved and loaded whole, in the user's units, with each setting in its place."""

import jax
import numpy as np
import pytest

import varinf as vi
from varinf import data
from varinf._tree import named_arrays
from varinf.errors import InputError

RNG = np.random.default_rng(0)
X = 1e6 + 100 * RNG.normal(size=(40, 3))
Y = {
    "gaussian": 50 + 7 * RNG.normal(size=40),
    "heteroscedastic_gaussian": 50 + 7 * RNG.normal(size=40),
    "student_t": 50 + 7 * RNG.normal(size=40),
    "poisson": RNG.poisson(20, size=40),
    "negative_binomial": RNG.poisson(20, size=40),
    "categorical": np.arange(40) % 3,
}
KEY = jax.random.key(0)


def built(likelihood, **options):
    summary = data.summarize(data.source((X, Y[likelihood])))
    return vi.BayesianNetwork.build(
        event_shape=(3,), likelihood=likelihood, hidden=(4,), summary=summary, key=KEY, **options
    )


@pytest.mark.parametrize("likelihood", Y)
def test_saved_and_loaded_without_a_model_like_it(tmp_path, likelihood):
    posterior = "low_rank" if likelihood == "gaussian" else "mean_field"
    model = built(likelihood, posterior=posterior, prior_scale=0.5)
    vi.save(model, tmp_path / "model")
    for again in (vi.load(tmp_path / "model"), vi.models.from_arrays(model.recipe, named_arrays(model))):
        assert jax.tree.structure(again) == jax.tree.structure(model)
        for name, array in named_arrays(model).items():
            # the standardisation in double precision, in which 1e6 ± 100 keeps its digits
            np.testing.assert_array_equal(named_arrays(again)[name], array, strict=True)


@pytest.mark.parametrize("likelihood", ["gaussian", "heteroscedastic_gaussian", "student_t", "poisson"])
def test_what_it_says_before_any_fit_is_in_the_units_of_y(likelihood):
    # weights at the start are small beside the units: a network that knew of no units would say about 0
    prediction = built(likelihood).predict(X, num_samples=5, key=KEY)
    assert abs(np.median(prediction.mean) - Y[likelihood].mean()) < 2 * Y[likelihood].std() + 10


def test_an_image_is_standardised_as_a_whole_and_convolutions_do():
    images = RNG.integers(0, 256, (20, 6, 5), dtype=np.uint8)
    summary = data.summarize(data.source((images, Y["categorical"][:20])))
    model = vi.BayesianNetwork.build(
        event_shape=(6, 5), likelihood="categorical", hidden=(2,), network="conv", summary=summary, key=KEY
    )
    seen = model.observation.x.prepare(images)
    assert abs(seen.mean()) < 1e-5
    assert abs(seen.std() - 1) < 1e-5
    assert model.predict(images, num_samples=2, key=KEY).mean.shape == (20, 3)


@pytest.mark.parametrize(
    ("options", "phrase"),
    [
        ({"posterior": "full_rank"}, "unknown posterior of weights 'full_rank'; known: mean_field, low_rank"),
        ({"estimator": "flipot"}, "Did you mean 'flipout'?"),
        ({"posterior": "low_rank", "estimator": "local"}, "use estimator='weights'"),
        ({"network": "conv"}, "use network='mlp'"),
        ({"prior_scale": 0.0}, "prior_scale must be positive and finite, got 0"),
    ],
)
def test_settings_that_will_not_do(options, phrase):
    with pytest.raises(InputError) as error:
        built("gaussian", **options)
    assert phrase in str(error.value)
