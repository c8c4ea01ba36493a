import copy
import inspect
import io
import pickle
import re
import warnings

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from varinf.errors import InputError
from varinf.estimators import BayesianNetClassifier, BayesianNetRegressor

SMALL = {"max_iter": 20, "learning_rate_init": 0.03, "hidden_layer_sizes": (16,), "n_prediction_samples": 20}
BOTH = [BayesianNetClassifier, BayesianNetRegressor]


def rows(rng, count=60, columns=4):
    X = rng.normal(size=(count, columns))
    return X, X[:, 0] - 0.5 * X[:, 1] + 0.1 * rng.normal(size=count)


def numbers(model, X):
    """All that a fitted model says of each row."""
    if isinstance(model, BayesianNetClassifier):
        parts = [model.predict_proba(X)]
    else:
        parts = [*model.predict(X, return_std=True), *model.predict_interval(X)]
    return np.column_stack([*parts, *model.predict_uncertainty(X)])


@pytest.fixture(scope="module")
def classifier():
    X, y = rows(np.random.default_rng(0))
    return BayesianNetClassifier(**SMALL, random_state=0).fit(X, y > 0)


@pytest.fixture(scope="module")
def regressor():
    return BayesianNetRegressor(**SMALL, random_state=0).fit(*rows(np.random.default_rng(0)))


@pytest.fixture(params=["classifier", "regressor"])
def fitted(request):
    return request.getfixturevalue(request.param)


@parametrize_with_checks([cls(**SMALL) for cls in BOTH])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("cls", BOTH)
def test_the_defaults_are_those_of_the_docstring(cls):
    documented = dict(re.findall(r"^    (\w+) : .*, default=(.+)$", cls.__doc__, re.MULTILINE))
    actual = {name: repr(p.default) for name, p in inspect.signature(cls).parameters.items()}
    assert documented == actual


# Regression


def exact(X, y, at):
    """Bayesian linear regression in standard units, with N(0, 1) on weights and intercept and the noise of the highest
    evidence: the mean and the standard deviation of y at new rows."""
    shift, unit = X.mean(0), X.std(0)
    design, new = (np.column_stack([(Z - shift) / unit, np.ones(len(Z))]) for Z in (X, at))
    target = (y - y.mean()) / y.std()

    def minus_log_evidence(log_noise):
        covariance = design @ design.T + np.exp(2 * log_noise) * np.eye(len(X))
        return np.linalg.slogdet(covariance)[1] / 2 + target @ np.linalg.solve(covariance, target) / 2

    noise = np.exp(minimize_scalar(minus_log_evidence, bounds=(-5, 2), method="bounded").x)
    covariance = np.linalg.inv(design.T @ design / noise**2 + np.eye(design.shape[1]))
    mean = new @ covariance @ design.T @ target / noise**2
    std = np.sqrt(noise**2 + np.einsum("ni,ij,nj->n", new, covariance, new))
    return y.mean() + y.std() * mean, y.std() * std


def test_without_hidden_layers_it_is_bayesian_linear_regression(rng):
    # Units forgotten are wrong by orders of magnitude; a KL not divided by N shrinks the weights to near zero; without
    # the epistemic variance the std at the rows far out is at most 0.7 of what it is, and mean-field is off by 0.4.
    X = rng.normal(size=(40, 3)) @ np.array([[1, 0.8, 0], [0, 0.6, 0], [0, 0, 1]]) * [1e-3, 1.0, 1e3] + [0, 0, 1e5]
    y = 1e6 + 1e4 * ((X / [1e-3, 1, 1e3]) @ [1.0, -0.5, 0.1] + rng.normal(size=40))
    at = np.concatenate([X[:5], X.mean(0) + 15 * (X[:5] - X.mean(0))])
    mean, std = exact(X, y, at)
    settings = {"likelihood": "gaussian", "prior_scale": 1.0, "posterior": "last_layer", "max_iter": 3000}
    model = BayesianNetRegressor((), **settings, n_prediction_samples=4000, random_state=0).fit(X, y)
    ours, our_std = model.predict(at, return_std=True)
    # 4000 draws are good to 1 % of the std in the std, and to 2 % of it in the mean
    np.testing.assert_allclose(our_std, std, rtol=0.05)
    np.testing.assert_array_less(np.abs(ours - mean), 0.07 * std)


def test_a_change_of_units_changes_the_answers_by_as_much(regressor, rng):
    X, y = rows(rng)
    factors = np.array([1e-6, 1.0, 1e6, 20.0])
    plain = numbers(clone(regressor).fit(X, y), X)
    scaled = numbers(clone(regressor).fit(X * factors + 3, 1e4 * y + 1e6), X * factors + 3)
    back = np.column_stack([scaled[:, 0] - 1e6, scaled[:, 1], scaled[:, 2:4] - 1e6, scaled[:, 4:] / 1e4]) / 1e4
    np.testing.assert_allclose(back, plain, rtol=1e-3, atol=1e-4)


def test_ends_of_intervals_are_the_quantiles_of_coverage(regressor, rng, monkeypatch):
    def drawn(model, X, *_, **__):
        draws = np.tile(np.arange(1.0, 100.0)[:, None], len(X))
        yield from ((rows, draws[:, rows]) for rows in (slice(0, 40), slice(40, 60)))

    monkeypatch.setattr("varinf.estimators._bayesian_net_regressor.predictive_draws", drawn)
    # between the 5th and the 95th of 99 draws the 100th lies with probability 0.9; "linear" gives 5.9 and 94.1
    np.testing.assert_allclose(regressor.predict_interval(rows(rng)[0], 0.9), [[5.0] * 60, [95.0] * 60])


@pytest.mark.parametrize(
    "likelihood", ["gaussian", "heteroscedastic_gaussian", "student_t", "heteroscedastic_student_t"]
)
def test_intervals_hold_the_share_of_targets_that_they_promise(likelihood, rng):
    def draw(count):
        X = rng.uniform(-2, 2, size=(count, 1))
        scale = 0.1 + 0.2 * np.abs(X[:, 0]) if "heteroscedastic" in likelihood else np.full(count, 0.2)
        noise = rng.standard_t(4, count) / 2**0.5 if "student_t" in likelihood else rng.normal(size=count)
        return X, 50 * (np.sin(2 * X[:, 0]) + scale * noise), 50 * scale

    X, y, _ = draw(400)
    settings = {"max_iter": 300, "n_prediction_samples": 200, "random_state": 0}
    model = BayesianNetRegressor((16,), likelihood=likelihood, **settings).fit(X, y)
    X, y, scale = draw(2000)
    # by chance ± 0.007 (0.9) and ± 0.011 (0.5), and as much by the draws, whose noise all rows share; these targets
    # have 0.52 to 0.57 of them in the half over twelve starts; with the noise alone twice as wide, 0.999 and 0.82
    for level in (0.5, 0.9):
        lower, upper = model.predict_interval(X, level)
        assert np.mean((lower <= y) & (y <= upper)) == pytest.approx(level, abs=0.08)
    if "heteroscedastic" in likelihood:
        # one noise for all would be of another size by a factor of up to two
        assert np.median(np.abs(np.log(model.predict(X, return_std=True)[1] / scale))) < 0.25
    total, aleatoric, epistemic = model.predict_uncertainty(X)
    np.testing.assert_allclose(total, aleatoric + epistemic, rtol=1e-6)
    np.testing.assert_allclose(total, model.predict(X, return_std=True)[1] ** 2, rtol=1e-6)
    far = model.predict_uncertainty([[20.0]])
    assert far.epistemic[0] > 10 * np.median(epistemic)


@pytest.mark.parametrize("likelihood", ["poisson", "negative_binomial"])
def test_counts(likelihood, rng):
    X = rng.normal(size=(300, 2))
    rate = 20 * np.exp(0.5 * X[:, 0])
    y = rng.poisson(rate if likelihood == "poisson" else rate * rng.gamma(5, 1 / 5, 300))
    settings = {"max_iter": 400, "n_prediction_samples": 40, "random_state": 0}
    model = BayesianNetRegressor((), likelihood=likelihood, **settings).fit(X, y)
    # the mean of all is wrong by 40 % in the median
    assert np.median(np.abs(model.predict(X) / rate - 1)) < 0.06
    lower, upper = model.predict_interval(X)
    assert (lower % 1 == 0).all()
    assert np.mean((lower <= y) & (y <= upper)) == pytest.approx(0.9, abs=0.06)
    assert pickle.loads(pickle.dumps(model)).predict(X[:3]).tolist() == model.predict(X[:3]).tolist()
    with pytest.raises(InputError, match=f"whole numbers from 0 for a {likelihood} likelihood, got fractions"):
        clone(model).fit(X, y + 0.5)


def test_several_outputs_come_as_they_were_given(regressor, rng):
    X, y = rows(rng)
    two = np.column_stack([y, 1e3 * X[:, 2] + 5e3])
    for likelihood in ("gaussian", "heteroscedastic_gaussian"):
        model = clone(regressor).set_params(likelihood=likelihood, max_iter=100).fit(X, two)
        mean, std = model.predict(X, return_std=True)
        lower, upper = model.predict_interval(X)
        assert mean.shape == std.shape == lower.shape == upper.shape == model.predict_uncertainty(X).total.shape
        assert mean.shape == (60, 2)
        assert model.score(X, two) > 0.9
    column = clone(regressor).fit(X, y[:, None])
    np.testing.assert_array_equal(column.predict(X), clone(regressor).fit(X, y).predict(X)[:, None])


# Classification


def test_accuracy_beside_logistic_regression():
    data, labels = load_breast_cancer(return_X_y=True)
    train, test, train_y, test_y = train_test_split(data, labels, test_size=0.3, random_state=0)
    linear = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(train, train_y)
    model = BayesianNetClassifier(random_state=0).fit(train, train_y)
    # one of 171 is 0.006; the more frequent class alone has 0.63
    assert model.score(test, test_y) > linear.score(test, test_y) - 0.02


def test_labels_may_be_anything_that_can_be_told_apart(classifier):
    data, labels = load_iris(return_X_y=True)
    names = np.array(["setosa", "versicolor", "virginica"])
    by_number, by_name = clone(classifier).fit(data, labels), clone(classifier).fit(data, names[labels])
    assert list(by_name.classes_) == list(names)
    np.testing.assert_array_equal(by_name.predict(data), names[by_number.predict(data)])
    assert by_name.score(data, names[labels]) > 0.9
    np.testing.assert_allclose(by_name.predict_proba(data).sum(1), 1, rtol=1e-12)
    # one that was not there in training is a miss
    assert by_name.score(data[:1], ["other"]) == 0
    by_object = clone(classifier).fit(data, names[labels].astype(object))
    np.testing.assert_array_equal(by_object.predict(data), by_name.predict(data))


def test_uncertainty_of_classes_is_an_entropy_in_two_parts(classifier, rng):
    X, _ = rows(rng)
    p, (total, aleatoric, epistemic) = classifier.predict_proba(X), classifier.predict_uncertainty(X)
    np.testing.assert_allclose(total, -(p * np.log(p)).sum(1), rtol=1e-4)
    np.testing.assert_allclose(total, aleatoric + epistemic, atol=1e-5)
    assert (epistemic >= 0).all()
    assert (total <= np.log(2) + 1e-6).all()


# What both have in common


def test_a_row_alone_has_the_answer_that_it_has_among_others(fitted, rng):
    # 1100 rows: more than one block
    X, _ = rows(rng, 1100)
    together = numbers(fitted, X)
    for i in (0, 1023, 1024, 1099):
        np.testing.assert_array_equal(numbers(fitted, X[i : i + 1])[0], together[i])


def test_one_number_gives_the_same_fit_and_predictions(fitted, rng):
    X, y = rows(rng)
    y = y > 0 if isinstance(fitted, BayesianNetClassifier) else y
    first, second = (numbers(clone(fitted).fit(X, y), X) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert not np.allclose(numbers(clone(fitted).set_params(random_state=1).fit(X, y), X), first)


@pytest.mark.parametrize(
    "settings",
    [
        {"n_members": 3},
        {"posterior": "low_rank"},
        {"posterior": "last_layer", "prior_scale": "fan_in"},
        {"prior_scale": "learned", "estimator": "flipout"},
        {"n_members": 2, "posterior": "last_layer", "hidden_layer_sizes": [np.int64(8), 4], "early_stopping": True},
    ],
    ids=str,
)
def test_other_networks_fit_and_come_back_from_a_pickle(settings, rng):
    X, y = rows(rng)
    y = 7 + 100 * y
    model = BayesianNetRegressor(**SMALL | {"max_iter": 120, "random_state": 0} | settings, likelihood="gaussian").fit(
        X, y
    )
    # zero before the fit; few steps, of which the low rank needs the most
    assert model.score(X, y) > 0.4
    # parameters that are set later are not those that were fitted
    model.set_params(hidden_layer_sizes=(3,), n_members=7, posterior="mean_field")
    np.testing.assert_array_equal(numbers(pickle.loads(pickle.dumps(model)), X), numbers(model, X))


def test_members_of_an_ensemble_differ_and_are_averaged(rng):
    X, y = rows(rng)
    model = BayesianNetRegressor(**SMALL | {"n_prediction_samples": 500}, n_members=3, random_state=0).fit(X, y)
    means = [model.model_[i].predict(X, 500, key=model._predict_key()).mean for i in range(3)]
    spread = np.std(means, axis=0)
    assert (spread > 0).all()
    np.testing.assert_array_less(np.abs(model.predict(X) - np.mean(means, axis=0)), 0.2 * y.std())
    # about 1 if one member alone were heard
    assert np.mean((model.predict(X) - np.mean(means, axis=0)) ** 2) < 0.1 * np.mean(spread**2)


def test_a_pickle_holds_arrays_and_settings_and_no_code(fitted, rng):
    named = set()

    class Reader(pickle.Unpickler):
        def find_class(self, module, name):
            named.add(f"{module}.{name}")
            return super().find_class(module, name)

    X, _ = rows(rng)
    read = Reader(io.BytesIO(pickle.dumps(fitted))).load()
    ours = {name for name in named if not name.startswith(("numpy.", "copyreg."))}
    assert ours == {f"{type(fitted).__module__}.{type(fitted).__name__}"}
    np.testing.assert_array_equal(numbers(read, X), numbers(fitted, X))


def test_a_fit_that_fails_changes_nothing(fitted, rng):
    # or the old network would answer with the new labels
    X, y = rows(rng)
    model = copy.deepcopy(fitted).set_params(learning_rate_init=-1.0)
    with pytest.raises(InputError, match="learning_rate_init"):
        model.fit(X[:, :3], np.where(y > 0, 7, 8))
    np.testing.assert_array_equal(model.predict(X), fitted.predict(X))
    new = clone(model)
    with pytest.raises(InputError, match="learning_rate_init"):
        new.fit(X, y > 0)
    with pytest.raises(NotFittedError):
        new.predict(X)


def test_constant_columns_and_a_constant_target(fitted, rng):
    X, y = rows(rng)
    X[:, 3] = 1e9
    if isinstance(fitted, BayesianNetRegressor):
        y[:] = 1e9
    model = clone(fitted).set_params(max_iter=200).fit(X, y if isinstance(fitted, BayesianNetRegressor) else y > 0)
    assert np.isfinite(numbers(model, X)).all()
    if isinstance(fitted, BayesianNetRegressor):
        np.testing.assert_allclose(model.predict(X) - 1e9, 0, atol=0.2)
    else:
        assert model.score(X, y > 0) > 0.9


def test_early_stopping_keeps_the_best_model(regressor, rng):
    settings = {"early_stopping": True, "n_iter_no_change": 3, "max_iter": 2000, "learning_rate": "constant"}
    model = clone(regressor).set_params(**settings).fit(*rows(rng))
    assert model.n_iter_ == len(model.validation_scores_) == len(model.loss_curve_) < 2000
    assert int(np.argmax(model.validation_scores_)) == model.n_iter_ - 4


def test_verbose_prints_each_epoch(regressor, capsys, rng):
    clone(regressor).set_params(verbose=True).fit(*rows(rng))
    assert capsys.readouterr().out.count("Iteration") == 20


@pytest.mark.parametrize(("cls", "usual"), [(BayesianNetClassifier, 5000), (BayesianNetRegressor, 10_000)])
@pytest.mark.parametrize("count", [60, 640, 128_000])
def test_without_max_iter_there_are_about_so_many_steps(cls, usual, count):
    model = cls()
    steps = model._epochs(count) * -(-count // model._batch_size(count))
    assert steps == {60: 2000, 640: usual, 128_000: 40_000}[count]


@pytest.mark.parametrize("cls", BOTH)
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"activation": "rely"}, "Did you mean 'relu'"),
        ({"solver": "adm"}, "Did you mean 'adam'"),
        ({"posterior": "last_layers"}, "Did you mean 'last_layer'"),
        ({"estimator": "locl"}, "Did you mean 'local'"),
        ({"posterior": "low_rank", "estimator": "local"}, "use estimator='weights'"),
        ({"learning_rate": "cosin"}, "Did you mean 'cosine'"),
        ({"learning_rate_init": 0.0}, "learning_rate_init must be positive, got 0.0"),
        ({"learning_rate_init": "0.1"}, "learning_rate_init must be a number, got '0.1'"),
        ({"prior_scale": "learnt"}, "Did you mean 'learned'"),
        ({"prior_scale": 0}, "prior_scale must be positive and finite, or one of fan_in, learned, got 0"),
        ({"hidden_layer_sizes": (16, 0)}, r"hidden_layer_sizes must be at least 1 each, got \(16, 0\)"),
        ({"hidden_layer_sizes": (16, 2.5)}, r"hidden_layer_sizes must be a tuple of whole numbers, got \(16, 2.5\)"),
        ({"n_members": 1.5}, "n_members must be a whole number, got 1.5"),
        ({"n_prediction_samples": 1.5}, "n_prediction_samples must be a whole number, got 1.5"),
        ({"max_iter": 2.5}, "max_iter must be a whole number, got 2.5"),
        ({"n_members": 0}, "n_members must be at least 1"),
        ({"n_prediction_samples": 0}, "n_prediction_samples must be at least 1"),
        ({"max_iter": 0}, "max_iter must be at least 1"),
        ({"batch_size": "all"}, "batch_size must be 'auto'"),
        ({"early_stopping": True, "validation_fraction": 1.0}, "validation_fraction must be between 0 and 1"),
    ],
)
def test_settings_that_cannot_be(cls, settings, message, rng):
    X, y = rows(rng)
    with pytest.raises(InputError, match=message):
        cls(**SMALL | settings).fit(X, y > 0)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, "requires y to be passed"),
        (["a"] * 60, "at least two classes, got one class, 'a'"),
        ([0.0] * 59 + [np.nan], "contains NaN"),
        (np.array(["a", "b", None] * 20, object), r"a label for each row, got None in 20, the first in row 2"),
        (np.array(["a", 1] * 30, object), "labels of one kind, got int, str"),
        (np.linspace(0, 1, 60), "Unknown label type"),
        ([0, 1] * 20, "inconsistent numbers of samples"),
    ],
    ids=str,
)
def test_labels_that_cannot_be(y, message, rng):
    with pytest.raises(ValueError, match=message):
        BayesianNetClassifier(**SMALL).fit(rows(rng)[0], y)


def test_targets_that_cannot_be(regressor, rng):
    X, y = rows(rng)
    with pytest.raises(ValueError, match="y contains NaN"):
        clone(regressor).fit(X, np.where(y > 1, np.nan, y))
    with pytest.raises(ValueError, match="y contains NaN"):
        clone(regressor).fit(X, np.column_stack([y, np.where(y > 1, np.nan, y)]))
    with pytest.raises(InputError, match="Did you mean 'gaussian'"):
        clone(regressor).set_params(likelihood="gausian").fit(X, y)
    with pytest.raises(InputError, match="unknown likelihood of a number 'categorical'"):
        clone(regressor).set_params(likelihood="categorical").fit(X, y)
    with pytest.raises(InputError, match="level must be a number, got '90%'"):
        regressor.predict_interval(X, "90%")
    with pytest.raises(InputError, match="level must be between 0 and 1, got 90"):
        regressor.predict_interval(X, level=90)


def test_folds_of_a_grid_search_and_other_numbers_of_rows_share_what_is_compiled(compilations, rng):
    X, y = rows(rng, 200, 6)
    model = BayesianNetRegressor(**SMALL, prior_scale=2.0, random_state=0).fit(X[:133], y[:133])
    numbers(model, X[:133])
    first = len(compilations)
    assert first > 0
    grid = {"learning_rate_init": [1e-3, 1e-2], "prior_scale": [0.5, 1.0], "max_iter": [3, 4]}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        GridSearchCV(model, grid, cv=3, refit=False, error_score="raise").fit(X, y)
    numbers(model, X)
    assert len(compilations) == first


def test_a_wider_network_keeps_what_a_few_hundred_rows_say():
    """Under N(0, 1) of every weight it loses it: R² is then -35 (the effect is Coker et al.'s, 2022)."""
    X, y = load_diabetes(return_X_y=True)
    model = BayesianNetRegressor((100,), random_state=0).fit(X[:350], y[:350])
    assert model.score(X[350:], y[350:]) > 0.4
