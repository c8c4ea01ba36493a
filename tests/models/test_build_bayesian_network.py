"""A Bayesian network built for data: saved and loaded whole, in the user's units, with each setting in its place."""

import equinox as eqx
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
    "heteroscedastic_student_t": 50 + 7 * RNG.normal(size=40),
    "poisson": RNG.poisson(20, size=40),
    "negative_binomial": RNG.poisson(20, size=40),
    "categorical": np.arange(40) % 3,
}
KEY = jax.random.key(0)
# each setting once, over the likelihoods
OTHERS = {
    "gaussian": {"posterior": "low_rank"},
    "student_t": {"posterior": "last_layer", "prior_scale": "fan_in"},
    "poisson": {"prior_scale": "learned"},
}


def built(likelihood, **options):
    summary = data.summarize(data.source((X, Y[likelihood])))
    settings = {"event_shape": (3,), "likelihood": likelihood, "hidden": (4,), "summary": summary, "key": KEY}
    return vi.BayesianNetwork.build(**settings | options)


@pytest.mark.parametrize("likelihood", Y)
def test_saved_and_loaded_without_a_model_like_it(tmp_path, likelihood):
    check_saved(built(likelihood, **OTHERS.get(likelihood, {"prior_scale": 0.5})), tmp_path)


def check_saved(model, tmp_path):
    vi.save(model, tmp_path / "model")
    for again in (vi.load(tmp_path / "model"), vi.models.from_arrays(model.recipe, named_arrays(model))):
        assert jax.tree.structure(again) == jax.tree.structure(model)
        for name, array in named_arrays(model).items():
            # the standardisation in double precision, in which 1e6 ± 100 keeps its digits
            np.testing.assert_array_equal(named_arrays(again)[name], array, strict=True)


@pytest.mark.parametrize("likelihood", ["gaussian", "heteroscedastic_student_t", "student_t", "poisson"])
def test_what_it_says_before_any_fit_is_in_the_units_of_y(likelihood):
    # weights at the start are small beside the units: a network that knew of no units would say about 0
    prediction = built(likelihood).predict(X, num_samples=5, key=KEY)
    assert abs(np.median(prediction.mean) - Y[likelihood].mean()) < 2 * Y[likelihood].std() + 10


def test_an_ensemble_of_several_numbers_is_saved_and_loaded_too(tmp_path):
    y = np.stack([Y["gaussian"], 1e3 * Y["gaussian"]], 1)
    model = vi.Ensemble.build(
        num_members=2,
        event_shape=(3,),
        target_shape=(2,),
        likelihood="heteroscedastic_gaussian",
        hidden=(4,),
        summary=data.summarize(data.source((X, y))),
        key=KEY,
    )
    check_saved(model, tmp_path)
    prediction = model.predict(X, num_samples=5, key=KEY)
    assert prediction.mean.shape == (40, 2)
    # each number in its units
    assert (np.abs(np.median(prediction.mean, 0) - y.mean(0)) < 2 * y.std(0)).all()
    starts = np.asarray(model.members.posterior.loc.network.layers[0].weight)
    assert (starts[0] != starts[1]).all()


@pytest.mark.parametrize(("network", "hidden", "size"), [("mlp", (4,), 2 * 5), ("conv", (2,), 2 * 3 * 3 + 1)])
def test_of_the_last_layer_alone_there_is_a_full_covariance(network, hidden, size):
    def mean_and_parameters():
        model = vi.BayesianNetwork.build(
            event_shape=(6, 5),
            likelihood="heteroscedastic_gaussian" if network == "mlp" else "gaussian",
            hidden=hidden,
            network=network,
            posterior="last_layer",
            key=KEY,
        )
        return model.posterior.mean(), model.posterior.parameters

    mean, parameters = eqx.filter_eval_shape(mean_and_parameters)
    assert sum(leaf.size for leaf in jax.tree.leaves(mean)) == size
    # a mean, and a triangle
    assert parameters.size == size + size * (size + 1) // 2


def test_the_mean_of_counts_is_no_weight_under_the_prior():
    model = built("poisson")
    assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(model.posterior.mean())) < 2
    shift = model.network(model.posterior.mean()).shift.value
    np.testing.assert_allclose(shift, np.log(Y["poisson"].mean()), rtol=1e-6)  # 3.0


def test_another_scale_of_the_prior_is_the_same_structure():
    one, other = built("gaussian", prior_scale=0.5), built("gaussian", prior_scale=2.0)
    assert jax.tree.structure(one) == jax.tree.structure(other)
    assert [float(m.prior(m.posterior.mean())[0].scale) for m in (one, other)] == [0.5, 2.0]


@pytest.mark.parametrize(("likelihood", "scale"), [("gaussian", 2), ("poisson", 2), ("categorical", 4)])
def test_the_prior_that_is_taken_when_none_is_given(likelihood, scale):
    model = built(likelihood)
    weights = jax.tree.leaves(model.posterior.mean())
    expected = [scale if w.ndim == 1 else scale / len(w) ** 0.5 for w in weights]
    assert [float(p.scale) for p in model.prior(model.posterior.mean())] == pytest.approx(expected)


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


def test_rows_of_another_shape_are_refused_and_never_spread_out():
    model, ensemble = built("gaussian"), vi.Ensemble.build(num_members=2, event_shape=X.shape[1:], key=KEY)
    for call in (
        lambda: vi.fit(model, (X[:, :1], Y["gaussian"]), key=KEY),
        lambda: model.predict(X[:, :1], key=KEY),
        lambda: ensemble.predict(X[:, :1], key=KEY),
    ):
        with pytest.raises(InputError, match=rf"expected rows of shape \({X.shape[1]},\), got \(1,\);"):
            call()


@pytest.mark.parametrize(
    ("options", "phrase"),
    [
        (
            {"posterior": "full_rank"},
            "unknown posterior of weights 'full_rank'; known: mean_field, low_rank, last",
        ),
        ({"estimator": "flipot"}, "Did you mean 'flipout'?"),
        ({"posterior": "low_rank", "estimator": "local"}, "use estimator='weights'"),
        ({"network": "conv"}, "use network='mlp'"),
        ({"prior_scale": 0.0}, "prior_scale must be positive and finite, or one of fan_in, learned, got 0"),
        ({"prior_scale": None}, "prior_scale must be positive and finite, or one of fan_in, learned, got None"),
        ({"prior_scale": "learnt"}, "unknown prior_scale 'learnt'; known: fan_in, learned. Did you mean 'learned'?"),
        ({"posterior": "last_layer", "hidden": (2000,)}, "of at most 2,000 weights, got 2,001; make the layer before"),
        ({"likelihood": "poisson", "variance": 2.0}, "variance is for a gaussian likelihood, and this one is poisson"),
        ({"num_values": 3}, "num_values is for a categorical or discretized_logistic likelihood"),
        ({"target_shape": 3}, "target_shape must be a tuple of whole numbers, got 3"),
        ({"target_shape": (1,)}, "expected target_shape=() for one number, got (1,)"),
    ],
)
def test_settings_that_will_not_do(options, phrase):
    with pytest.raises(InputError) as error:
        built(**{"likelihood": "gaussian"} | options)
    assert phrase in str(error.value)
