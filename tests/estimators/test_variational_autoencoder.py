import copy
import io
import pickle
import subprocess
import sys
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris, load_wine
from sklearn.decomposition import FactorAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from varinf.errors import InputError
from varinf.estimators import VariationalAutoencoder

SMALL = {"max_iter": 5, "hidden_layer_sizes": (16,), "random_state": 0}


def table(rng, rows=60, columns=4):
    return rng.normal(size=(rows, 2)) @ rng.normal(size=(2, columns)) + 0.3 * rng.normal(size=(rows, columns))


@pytest.fixture(scope="module")
def fitted():
    return VariationalAutoencoder(**SMALL).fit(table(np.random.default_rng(0)))


@parametrize_with_checks([VariationalAutoencoder(max_iter=5, hidden_layer_sizes=(16,))])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


# What comes out


def test_without_hidden_layers_it_is_factor_analysis():
    # A model without a code is worse by 0.94 nats a row; one that forgets the units of a column, by its ln.
    data = load_wine().data[:, :6] * [1, 1e-6, 1, 1e6, 1, 1]
    scaler = StandardScaler().fit(data)
    exact = FactorAnalysis(2, tol=1e-8, max_iter=10_000).fit(scaler.transform(data))
    expected = exact.score(scaler.transform(data)) - np.log(scaler.scale_).sum()
    linear = VariationalAutoencoder(
        2, (), posterior="full_rank", max_iter=300, learning_rate_init=2e-2, n_likelihood_samples=500, random_state=0
    )
    assert linear.fit(data).score(data) == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize("load", [load_iris, load_wine])
def test_the_default_is_no_worse_than_factor_analysis_on_rows_held_out(load):
    data = load().data
    train, test = np.split(data[np.random.default_rng(0).permutation(len(data))], [len(data) * 3 // 4])
    ours = VariationalAutoencoder(random_state=0).fit(train).score(test)
    assert ours > FactorAnalysis(2).fit(train).score(test)


def test_a_change_of_units_changes_the_score_by_its_logarithm(rng):
    data, factors = table(rng), np.array([1e-6, 1.0, 1e6, 20.0])
    plain = VariationalAutoencoder(**SMALL).fit(data)
    scaled = VariationalAutoencoder(**SMALL).fit(data * factors + 3)
    np.testing.assert_allclose(scaled.transform(data * factors + 3), plain.transform(data), atol=1e-4)
    difference = scaled.score(data * factors + 3) - plain.score(data)
    # the draws differ as the rows do; 100 of them are good to about 0.02 nats in the mean
    assert difference == pytest.approx(-np.log(factors).sum(), abs=0.1)
    back = scaled.inverse_transform(scaled.transform(data * factors + 3))
    # in single precision the first column would keep no digit after 3
    np.testing.assert_allclose((back - 3) / factors, plain.inverse_transform(plain.transform(data)), atol=1e-3)
    np.testing.assert_allclose((scaled.sample(5) - 3) / factors, plain.sample(5), atol=1e-3)


def test_samples_have_the_moments_of_the_data(rng):
    data = rng.normal([5, -3], [0.1, 20], size=(500, 2))
    drawn = VariationalAutoencoder(max_iter=100, hidden_layer_sizes=(), random_state=0).fit(data).sample(2000)
    assert drawn.shape == (2000, 2)
    np.testing.assert_allclose(drawn.mean(0), data.mean(0), atol=0.1 * data.std(0).max())
    np.testing.assert_allclose(drawn.std(0), data.std(0), rtol=0.1)


def test_more_draws_raise_the_score(fitted, rng):
    data = table(rng, 600)  # of 60, one draw's score is by chance the higher now and then
    few, many = (clone(fitted).set_params(n_likelihood_samples=n).fit(data).score(data) for n in (1, 300))
    assert few < many


def test_one_number_gives_the_same_fit_draws_and_scores(fitted, rng):
    data = table(rng)
    first, second = clone(fitted).fit(data), clone(fitted).fit(data)
    np.testing.assert_array_equal(first.transform(data), second.transform(data))
    np.testing.assert_array_equal(first.score_samples(data), second.score_samples(data))
    np.testing.assert_array_equal(first.sample(7), second.sample(7))
    other = clone(fitted).set_params(random_state=1).fit(data)
    assert not np.allclose(first.transform(data), other.transform(data))


@pytest.mark.parametrize("method", ["transform", "score_samples"])
def test_a_row_alone_has_the_answer_that_it_has_among_others(fitted, method, rng):
    # 300 rows: more than one block
    data = table(rng, 300)
    together = getattr(fitted, method)(data)
    for i in (0, 255, 256, 299):
        np.testing.assert_array_equal(getattr(fitted, method)(data[i : i + 1])[0], together[i])


def test_types_of_numbers(fitted, rng):
    data = table(rng)
    assert fitted.transform(data).dtype == np.float64
    assert fitted.transform(data.astype(np.float32)).dtype == np.float32
    assert fitted.transform(np.ones((3, 4), np.uint8)).dtype == np.float64
    assert fitted.score_samples(data).dtype == fitted.sample().dtype == np.float64
    # by the same draws, whatever the rows come in: by others it was off by some tenths
    np.testing.assert_allclose(fitted.score_samples(data.astype(np.float32)), fitted.score_samples(data), atol=1e-3)


def test_names_of_columns_go_in_and_out(rng):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(table(rng), columns=["a", "b", "c", "d"])
    model = VariationalAutoencoder(**SMALL).set_output(transform="pandas").fit(frame)
    assert list(model.feature_names_in_) == ["a", "b", "c", "d"]
    assert list(model.transform(frame).columns) == ["variationalautoencoder0", "variationalautoencoder1"]


# Data at the edge


@pytest.mark.parametrize(
    ("shape", "settings"),
    [
        ((60, 1), {}),
        ((60, 4), {"n_components": np.int64(7), "hidden_layer_sizes": np.int64(16)}),
        ((60, 4), {"n_components": None, "hidden_layer_sizes": [np.int64(16)], "batch_size": 1000}),
        ((2, 4), {"early_stopping": True}),
    ],
)
def test_odd_sizes(shape, settings, rng):
    data = rng.normal(size=shape)
    model = VariationalAutoencoder(**SMALL | settings).fit(data)
    codes = model.transform(data)
    assert codes.shape == (shape[0], model.n_components_)
    assert model.inverse_transform(codes).shape == shape
    assert np.isfinite(model.score_samples(data)).all()


def test_a_constant_column(rng):
    data = np.column_stack([table(rng), np.full(60, 7.0)])
    model = VariationalAutoencoder(max_iter=100, random_state=0).fit(data)
    assert np.isfinite(model.score(data))
    np.testing.assert_allclose(model.inverse_transform(model.transform(data))[:, -1], 7, atol=0.1)


LIKELIHOODS = {
    "bernoulli": lambda rng: rng.integers(0, 2, (50, 4)),
    "continuous_bernoulli": lambda rng: rng.uniform(size=(50, 4)),
    "discretized_logistic": lambda rng: rng.integers(0, 256, (50, 4)).astype(np.uint8),
    "categorical": lambda rng: rng.integers(0, 3, (50, 4)),
    "poisson": lambda rng: rng.poisson(3.0, (50, 4)),
}


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_other_likelihoods_fit_and_refuse_what_they_cannot_observe(likelihood, rng):
    data = LIKELIHOODS[likelihood](rng)
    model = VariationalAutoencoder(likelihood=likelihood, **SMALL).fit(data)
    assert np.isfinite(model.score(data))
    assert model.sample(3).shape == (3, 4)
    assert pickle.loads(pickle.dumps(model)).score(data) == model.score(data)
    bad = data.astype(float)
    bad[0, 0] = -0.5
    for call in (model.fit, model.transform, model.score):
        with pytest.raises(InputError, match="likelihood, got"):
            call(bad)


def test_grey_pixels_binarised_as_they_are_visited():
    data = load_digits().data[:200]
    model = VariationalAutoencoder(likelihood="bernoulli", binarize="dynamic", scale=16, **SMALL).fit(data)
    # 64 ln 2 is what a model that knows nothing gets
    assert -64 * np.log(2) < model.score(data) < 0
    assert model.score(data) == model.score(data)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"likelihood": "gausian"}, "Did you mean 'gaussian'"),
        ({"activation": "rely"}, "Did you mean 'relu'"),
        ({"solver": "adm"}, "Did you mean 'adam'"),
        ({"posterior": "mean"}, "unknown posterior"),
        ({"posterior": "per_datum"}, "unknown posterior 'per_datum'; known: mean_field"),
        ({"learning_rate": "cosin"}, "Did you mean 'cosine'"),
        ({"learning_rate": "step"}, "unknown learning_rate 'step'"),
        ({"learning_rate": None}, "unknown learning_rate None; known: .*linear.$"),
        ({"solver": "step"}, "unknown solver 'step'"),
        ({"learning_rate_init": -0.1}, "learning_rate_init must be positive, got -0.1"),
        ({"learning_rate_init": np.inf}, "learning_rate_init must be positive, got inf"),
        ({"binarize": "foo"}, "binarize is for a bernoulli likelihood, and this one is gaussian"),
        ({"scale": -1}, "scale must be positive and finite, got -1"),
        ({"num_values": 0}, "num_values is for a categorical or discretized_logistic likelihood"),
        ({"beta": -1}, "beta must be finite and not negative, got -1"),
        ({"n_components": 2.9}, "n_components must be a whole number, got 2.9"),
        ({"n_components": "2"}, "n_components must be a whole number, got '2'"),
        ({"hidden_layer_sizes": 2.5}, "hidden_layer_sizes must be a tuple of whole numbers"),
        ({"hidden_layer_sizes": None}, "hidden_layer_sizes must be a tuple of whole numbers"),
        ({"max_iter": None}, "max_iter must be a whole number, got None"),
        ({"batch_size": 1.5}, "batch_size must be a whole number, got 1.5"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"num_samples": 1.5}, "num_samples must be a whole number, got 1.5"),
        ({"n_likelihood_samples": 2.5}, "n_likelihood_samples must be a whole number, got 2.5"),
        ({"early_stopping": True, "n_iter_no_change": 0}, "n_iter_no_change must be at least 1"),
        ({"early_stopping": True, "n_iter_no_change": 1.5}, "n_iter_no_change must be a whole number"),
        ({"early_stopping": True, "validation_fraction": "a"}, "validation_fraction must be a number, got 'a'"),
        ({"n_components": 0}, "n_components must be at least 1"),
        ({"max_iter": 0}, "max_iter must be at least 1"),
        ({"batch_size": "all"}, "batch_size must be 'auto'"),
        ({"early_stopping": True, "validation_fraction": 1.0}, "validation_fraction must be between 0 and 1"),
    ],
)
def test_settings_that_cannot_be(settings, message, rng):
    with pytest.raises(InputError, match=message):
        VariationalAutoencoder(**SMALL | settings).fit(table(rng))


def test_a_fit_that_is_interrupted_changes_nothing(fitted, rng, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    model, data = copy.deepcopy(fitted).set_params(n_components=3), table(rng)
    monkeypatch.setattr("varinf.estimators._training.fit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.fit(data[:, :3])
    np.testing.assert_array_equal(model.transform(data), fitted.transform(data))
    assert model.n_features_in_ == 4


def test_calls_that_cannot_be(fitted, rng):
    with pytest.raises(ValueError, match="minimum of 2"):
        clone(fitted).fit(table(rng, 1))
    with pytest.raises(InputError, match="codes of 2 numbers, got 3"):
        fitted.inverse_transform(np.zeros((1, 3)))
    with pytest.raises(InputError, match="n_samples must be at least 1"):
        fitted.sample(0)
    with pytest.raises(InputError, match="n_samples must be a whole number"):
        fitted.sample(1.5)


def test_early_stopping_keeps_the_best_model(rng):
    data = table(rng)
    settings = SMALL | {"early_stopping": True, "n_iter_no_change": 3, "max_iter": 2000, "learning_rate_init": 0.05}
    model = VariationalAutoencoder(**settings, learning_rate="constant").fit(data)
    assert model.n_iter_ == len(model.validation_scores_) == len(model.loss_curve_) < 2000
    assert int(np.argmax(model.validation_scores_)) == model.n_iter_ - 4


def test_verbose_prints_each_epoch(fitted, capsys, rng):
    clone(fitted).set_params(verbose=True).fit(table(rng))
    assert capsys.readouterr().out.count("Iteration") == 5


# In scikit-learn's company


def test_a_pickle_holds_arrays_and_settings_and_no_code(fitted, rng):
    data = table(rng)
    stored = pickle.dumps(fitted)
    named = set()

    class Reader(pickle.Unpickler):
        def find_class(self, module, name):
            named.add(f"{module}.{name}")
            return super().find_class(module, name)

    read = Reader(io.BytesIO(stored)).load()
    assert {name for name in named if not name.startswith(("numpy.", "copyreg."))} == {
        "varinf.estimators._variational_autoencoder.VariationalAutoencoder"
    }
    np.testing.assert_array_equal(read.transform(data), fitted.transform(data))
    np.testing.assert_array_equal(read.sample(3), fitted.sample(3))


def test_a_pickle_is_read_in_another_process(fitted, tmp_path, rng):
    data = table(rng, 5)
    (tmp_path / "model.pkl").write_bytes(pickle.dumps((fitted, data)))
    program = (
        "import pickle, sys, numpy as np; m, x = pickle.load(open(sys.argv[1], 'rb')); "
        "np.save(sys.argv[2], np.column_stack([m.transform(x), m.score_samples(x)]))"
    )
    subprocess.run([sys.executable, "-c", program, tmp_path / "model.pkl", tmp_path / "out.npy"], check=True)
    expected = np.column_stack([fitted.transform(data), fitted.score_samples(data)])
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), expected, rtol=1e-5, atol=1e-5)


def test_in_a_pipeline_and_a_grid_search():
    data, labels = load_digits(return_X_y=True)
    pipeline = make_pipeline(VariationalAutoencoder(**SMALL | {"max_iter": 20}), LogisticRegression(max_iter=1000))
    search = GridSearchCV(pipeline, {"variationalautoencoder__n_components": [1, 8]}, cv=2, error_score="raise")
    search.fit(data[:600], labels[:600])
    assert search.best_params_ == {"variationalautoencoder__n_components": 8}
    # one in ten by chance, three by one number; from eight starts .48 to .62
    assert search.best_score_ > 0.4
    own = GridSearchCV(VariationalAutoencoder(**SMALL), {"beta": [0.5, 1.0]}, cv=2, error_score="raise")
    assert np.isfinite(own.fit(data[:100] / 16).cv_results_["mean_test_score"]).all()


def test_a_second_fit_of_the_same_shapes_compiles_nothing(compilations, rng):
    data = table(rng, 200, 5)

    def use(model, rows):
        model.fit(rows).score(rows)
        model.inverse_transform(model.transform(rows))
        model.sample(rows.shape[0])

    use(VariationalAutoencoder(**SMALL), data)
    first = len(compilations)
    assert first > 0
    use(VariationalAutoencoder(**SMALL), data)
    use(VariationalAutoencoder(**SMALL | {"learning_rate_init": 0.1, "beta": 0.5, "random_state": 3}), data[:199])
    use(VariationalAutoencoder(**SMALL | {"max_iter": 7, "n_likelihood_samples": 30}), 5 * data[1:])
    assert len(compilations) == first


def test_the_folds_of_a_grid_search_share_what_is_compiled(compilations, rng):
    grid = {"learning_rate_init": [1e-3, 1e-2], "beta": [0.5, 1.0]}
    search = GridSearchCV(VariationalAutoencoder(**SMALL), grid, cv=3, refit=False)
    data = table(rng, 200, 6)
    VariationalAutoencoder(**SMALL).fit(data[:133]).score(data)
    first = len(compilations)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        search.fit(data)
    assert len(compilations) == first
