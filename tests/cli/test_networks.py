"""Classifiers and regressors on the command line: from data to predictions, and what is refused."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image
from pyarrow import csv, parquet

import varinf as vi
from varinf.cli import main
from varinf.config import load_settings
from varinf.data import write_table
from varinf.run import Run

SMALL = ("--hidden", "8", "--epochs", "6", "--learning-rate", "0.02")
RNG = np.random.default_rng(0)
A, B = RNG.normal(size=(2, 80))
TABLE = {"a": A, "b": 1e6 * B, "kind": np.where(A > 0, "red", "blue"), "count": RNG.poisson(4, size=80)}
TABLE["price"] = 1e4 + 100 * A + 10 * RNG.normal(size=80)


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write(*names, out="t.csv", **changed):
    write_table(Path(out), [(name, changed.get(name, TABLE[name])) for name in names])


def results(run):
    return json.loads(Path(run, "results.json").read_text())


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """A classifier of the built-in digits."""
    run = tmp_path_factory.mktemp("digits") / "run"
    # for long enough that draws of the weights differ in what is printed
    assert main(["fit", "digits", "--model", "classifier", *SMALL, "--epochs", "20", "--out", str(run)]) == 0
    return run


@pytest.fixture(scope="module")
def regressor(tmp_path_factory):
    """A regressor of a table; its data are in t.csv beside it."""
    folder = tmp_path_factory.mktemp("table")
    write("a", "b", "price", out=folder / "t.csv")
    arguments = ["fit", str(folder / "t.csv"), "--model", "regressor", "--target", "price"]
    # held-out rows of their own units would cost nothing to confuse: all eighty are in both
    assert (
        main([*arguments, "--test", str(folder / "t.csv"), *SMALL, "--epochs", "80", "--out", str(folder / "run")]) == 0
    )
    return folder / "run"


def test_a_classifier_of_digits(classifier):
    found = results(classifier)
    # ten classes: a network that mixed up rows and labels would be right in a tenth of the rows, with 2.3 nats
    assert found["accuracy"] > 0.8
    assert found["nll"] < 1
    assert found["elbo"] == pytest.approx(found["reconstruction"] - found["kl"])
    assert found["target"] == {"name": "label", "classes": list(range(10)), "num_rows": 1438}
    names = {path.name for path in (classifier / "pictures").iterdir()}
    assert names == {
        "loss_curves.png",
        "reliability.png",
        "selective.png",
        "uncertainties.png",
        "uncertain_inputs.png",
    }
    assert not (classifier / "snapshots").exists()
    settings = load_settings(classifier / "settings.toml")
    assert settings.model.model == "classifier"
    # what is for a vae is not among its settings
    assert "latent_dim" not in (classifier / "settings.toml").read_text()


def test_the_bound_is_that_of_the_fit(classifier):
    lines = [json.loads(line) for line in (classifier / "metrics.jsonl").read_text().splitlines()]
    # of other draws, and over the training rows' number: over the held-out rows' the KL would be four times as large
    assert results(classifier)["kl"] == pytest.approx(lines[-1]["validation_kl"], rel=1e-4)
    assert results(classifier)["elbo"] == pytest.approx(lines[-1]["validation_elbo"], abs=0.1)


def test_evaluate_gives_the_figures_of_the_fit_again(varinf, classifier, regressor):
    for run in (classifier, regressor):
        code, out, err = varinf("evaluate", run)
        assert (code, err) == (0, [])
        _, said, _ = varinf("info", run)
        assert [line for line in out if line not in said] == []
        assert varinf("evaluate", run, "--seed", 5)[1] != out


def test_predictions_of_classes(varinf, classifier):
    for name in ("p.csv", "p.npy"):
        assert varinf("predict", classifier, "digits", "--num-samples", 20, "--seed", 3, "--out", name)[0] == 0
    table = csv.read_csv("p.csv").to_pydict()
    classes = [f"probability_{i}" for i in range(10)]
    assert list(table) == ["class", *classes, "total", "aleatoric", "epistemic"]
    probs = np.stack([table[name] for name in classes], axis=1)
    np.testing.assert_array_equal(table["class"], probs.argmax(1))
    np.testing.assert_allclose(np.load("p.npy"), np.stack(list(table.values()), axis=1), atol=1e-6)
    source = vi.data.open("digits")
    assert (table["class"] == source.labels).mean() > 0.8
    expected = vi.load(classifier / "model").predict(
        source.take(np.arange(len(source))), num_samples=20, key=jax.random.key(3)
    )
    np.testing.assert_allclose(probs, expected.mean, atol=1e-6)
    np.testing.assert_allclose(table["epistemic"], expected.epistemic, atol=1e-6)


def test_a_regressor_in_the_units_of_its_target(varinf, regressor):
    found = results(regressor)
    # the price is 1e4 ± 100, of which ± 10 is noise
    assert found["rmse"] < 60
    # ln(100 √(2πe)) is 6.0: what a normal with the right mean and spread, that knows nothing of a, would have
    assert found["nll"] < 6
    assert 0.7 < found["coverage"] <= 1
    names = {path.name for path in (regressor / "pictures").iterdir()}
    assert names == {"loss_curves.png", "coverage.png", "uncertainties.png"}
    # rows to predict need no target
    write("a", "b", out="new.csv")
    assert varinf("predict", regressor, "new.csv", "--out", "p.parquet")[0] == 0
    assert varinf("predict", regressor, regressor.parent / "t.csv", "--out", "q.csv")[0] == 0
    table, same = parquet.read_table("p.parquet").to_pydict(), csv.read_csv("q.csv").to_pydict()
    assert list(table) == ["mean", "std", "lower_90", "upper_90", "aleatoric_std", "epistemic_std"]
    for name in table:
        np.testing.assert_allclose(table[name], same[name], rtol=1e-9)
    rmse = np.sqrt(np.mean((np.array(table["mean"]) - TABLE["price"]) ** 2))
    assert rmse == pytest.approx(found["rmse"], rel=0.05)
    inside = (table["lower_90"] <= TABLE["price"]) & (table["upper_90"] >= TABLE["price"])
    assert inside.mean() == pytest.approx(found["coverage"], abs=0.1)


def test_resumed_after_a_fault_it_ends_in_the_same_bits(varinf, monkeypatch):
    write("a", "b", "kind")
    monkeypatch.setattr("varinf.job._fit._CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr("varinf.report.write_classifier_pictures", lambda *_, **__: [])
    options = ["--model", "classifier", "--target", "kind", "--hidden", "4", "--epochs", "4"]
    assert varinf("fit", "t.csv", *options, "--out", "whole")[0] == 0
    log = Run.log
    with monkeypatch.context() as patch:

        def full(run, epoch, *rest):
            if epoch == 2:
                raise OSError(28, "No space left on device")
            log(run, epoch, *rest)

        patch.setattr(Run, "log", full)
        code, _, err = varinf("fit", "t.csv", *options, "--out", "run")
    assert (code, len(err)) == (2, 1)
    assert err[0].endswith("go on with: varinf fit --resume run")
    assert varinf("fit", "--resume", "run")[0] == 0
    for name in ("model.safetensors", "model.json", "metrics.jsonl", "settings.toml"):
        assert Path("run", name).read_bytes() == Path("whole", name).read_bytes(), name
    assert results("run") | {"seconds": 0} == results("whole") | {"seconds": 0}


def test_words_for_classes_and_every_option(varinf, monkeypatch):
    drawn = {}
    monkeypatch.setattr("varinf.job._figures._EVALUATION_SAMPLES", 100)  # as a run has of a network
    monkeypatch.setattr("varinf.report.write_classifier_pictures", lambda **given: drawn.update(given))
    write("a", "b", "kind")
    options = ["--posterior", "low_rank", "--prior-scale", "0.5", "--activation", "tanh", "--weight-draws", "weights"]
    fit = ["fit", "t.csv", "--model", "classifier", "--target", "kind", *SMALL, *options]
    code, out, err = varinf(*fit, "--out", "run")
    assert (code, err) == (0, [])
    assert any(line.startswith("chosen: weights shared") for line in out)
    assert results("run")["target"]["classes"] == ["blue", "red"]
    # pictures are of the same draws as the figures
    assert results("run")["epistemic"] == pytest.approx(float(drawn["prediction"].epistemic.mean()), rel=1e-6)
    # the settings of a run make it again
    assert varinf("fit", "--settings", "run/settings.toml", "--out", "again")[0] == 0
    assert Path("again/model.safetensors").read_bytes() == Path("run/model.safetensors").read_bytes()
    assert varinf("predict", "run", "t.csv", "--out", "p.csv")[0] == 0
    assert csv.read_csv("p.csv").column_names[:3] == ["class", "probability_blue", "probability_red"]
    assert varinf("evaluate", "run", "t.csv")[0] == 0
    write("a", "b", "kind", kind=np.where(A > 0, "red", "green"))
    code, _, err = varinf("evaluate", "run", "t.csv")
    assert code == 2
    assert "expected the classes blue, red of the rows that were trained on, got green in" in err[0]


def test_another_likelihood(varinf, monkeypatch):
    monkeypatch.setattr("varinf.report.write_regressor_pictures", lambda *_, **__: [])
    write("a", "b", "count")
    fit = ["fit", "t.csv", "--model", "regressor", "--target", "count", "--likelihood", "heteroscedastic_gaussian"]
    code, out, _ = varinf(*fit, *SMALL, "--beta", "0.5", "--out", "run")
    assert code == 0
    assert out[-4:-3] == ["KL                 weighted by 0.5 in the loss (tempered), by 1 in the elbo"]
    # ln(2 √(2πe)), the entropy of a normal with a Poisson's spread at 4, is 2.1 nats
    assert 1.5 < results("run")["nll"] < 3


def test_a_folder_for_each_class(varinf, monkeypatch):
    monkeypatch.setattr("varinf.report.write_classifier_pictures", lambda *_, **__: [])
    for i in range(16):
        folder = Path("photos", "dark" if i % 2 else "light")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((6, 6), 20 if i % 2 else 220, np.uint8)).save(folder / f"{i}.png")
    fit = ["fit", "photos", "--model", "classifier", "--hidden", "2", "--epochs", "2"]
    assert varinf(*fit, "--out", "run")[0] == 0
    assert results("run")["target"]["classes"] == ["dark", "light"]


# --- faults --------------------------------------------------------------------------------------------------------

WITH_NAN = np.where(np.arange(80) == 7, np.nan, TABLE["price"])
EMPTY = np.where(np.arange(80) == 7, "", TABLE["kind"])
RARE = np.where(np.arange(80) == 7, "green", TABLE["kind"])
CLASSIFY, REGRESS = ["--model", "classifier"], ["--model", "regressor"]
OF_KIND, OF_PRICE = [*CLASSIFY, "--target", "kind"], [*REGRESS, "--target", "price"]

# the columns of the table, what is changed in it, what is asked, and what the line must say
FAULTS = {
    "no such model": ("a", {}, ["--model", "clasifier"], "Did you mean 'classifier'?"),
    "no target": ("a b", {}, CLASSIFY, "t.csv: --target is missing, the column to predict; known: a, b"),
    "no target of a number": ("a b", {}, REGRESS, "--target is missing, the column to predict; known: a, b"),
    "an unknown column": ("a price", {}, [*REGRESS, "--target", "prise"], "Did you mean 'price'?"),
    "nothing but the target": ("price", {}, OF_PRICE, "expected rows of numbers, got 80 rows and 0 columns"),
    "one class": (
        "a kind",
        {"kind": np.full(80, "red")},
        OF_KIND,
        "the target 'kind': expected two classes or more, got red alone",
    ),
    "a class that is held out": (
        "a kind",
        {"kind": RARE},
        [*OF_KIND, "--test", "rare.csv"],
        "the target 'kind' of the held-out rows: expected the classes blue, red of the rows that were trained on, got "
        "green in 1 of 80 rows",
    ),
    "fractions as classes": ("a price", {}, [*CLASSIFY, "--target", "price"], "predict numbers with --model regressor"),
    "a class for each row": (
        "a count",
        {"count": np.arange(80)},
        [*CLASSIFY, "--target", "count"],
        "expected a few classes, got 64 different values in 64 rows",
    ),
    "NaN": ("a price", {"price": WITH_NAN}, OF_PRICE, "'price': expected a value in each row, got one that is empty"),
    "an empty word": ("a kind", {"kind": EMPTY}, OF_KIND, "the first in row 7 (counted from 0); fill in or remove it"),
    "words as numbers": ("a kind", {}, [*REGRESS, "--target", "kind"], "predict classes with --model classifier"),
    "words as inputs": ("a price kind", {}, OF_PRICE, "expected numbers in every column, got string in column 'kind'"),
    "words and no target": ("a kind", {}, CLASSIFY, "or as a classifier's target, with --target 'kind'"),
    "NaN in an input": ("a price", {"a": WITH_NAN}, OF_PRICE, "(nan) in row 7 (counted from 0), column 'a'"),
    "latent_dim": (
        "a kind",
        {},
        [*OF_KIND, "--latent-dim", "16"],
        "--latent-dim is for a vae, and the model is a class",
    ),
    "free bits": ("a price", {}, [*OF_PRICE, "--free-bits", "0.1"], "--free-bits is for a vae"),
    "binarize": ("a kind", {}, [*OF_KIND, "--binarize", "none"], "--binarize is for a vae"),
    "label": ("a price", {}, [*OF_PRICE, "--label", "a"], "--label is for a vae, and the model is a regressor"),
    "likelihood of classes": (
        "a kind",
        {},
        [*OF_KIND, "--likelihood", "categorical"],
        "--likelihood is for a vae or regressor, and the model is a classifier",
    ),
    "target of a vae": (
        "a b",
        {},
        ["--target", "b"],
        "--target is for a classifier or regressor, and the model is a vae",
    ),
    "prior of a vae": ("a b", {}, ["--prior-scale", "1"], "leave it out, or add --model classifier"),
    "likelihood": (
        "a price",
        {},
        [*OF_PRICE, "--likelihood", "bernoulli"],
        "unknown likelihood of a number 'bernoulli'",
    ),
    "counts below zero": (
        "a count",
        {"count": -TABLE["count"] - 1},
        [*REGRESS, "--target", "count", "--likelihood", "poisson"],
        "expected whole numbers from 0 for a poisson likelihood",
    ),
    "variance of counts": (
        "a count",
        {},
        [*REGRESS, "--target", "count", "--likelihood", "poisson", "--variance", "1"],
        "--variance is for a gaussian likelihood",
    ),
    "posterior": ("a price", {}, [*OF_PRICE, "--posterior", "full_rank"], "known: mean_field, low_rank"),
    "importance weights": (
        "a price",
        {},
        [*OF_PRICE, "--objective", "iwae"],
        "importance weights are for local latents",
    ),
    "a prior of no width": (
        "a price",
        {},
        [*OF_PRICE, "--prior-scale", "0"],
        "--prior-scale: expected a positive number, got 0",
    ),
    "a prior unknown": ("a price", {}, [*OF_PRICE, "--prior-scale", "fanin"], "Did you mean 'fan_in'?"),
    "weight draws": ("a price", {}, [*OF_PRICE, "--weight-draws", "flipot"], "Did you mean 'flipout'?"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults(varinf, tmp_path, name):
    columns, changed, arguments, phrase = FAULTS[name]
    write(*columns.split(), out="rare.csv", **changed)
    write(*columns.split(), **({} if "rare.csv" in arguments else changed))
    before = sorted(tmp_path.rglob("*"))
    code, _, err = varinf("fit", "t.csv", *arguments)
    assert (code, len(err)) == (2, 1), err
    assert phrase in err[0], err[0]
    assert sorted(tmp_path.rglob("*")) == before


def test_rows_without_a_target(varinf, tmp_path):
    np.save("x.npy", RNG.normal(size=(20, 3)))
    code, _, err = varinf("fit", "x.npy", "--model", "classifier")
    assert (code, len(err)) == (2, 1)
    assert "expected rows with a target to predict, got none" in err[0]
    code, _, err = varinf("fit", "digits", "--model", "classifier", "--target", "digit")
    assert (code, len(err)) == (2, 1)
    assert "for CSV and Parquet files" in err[0]
    assert [path.name for path in tmp_path.iterdir()] == ["x.npy"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["encode", "RUN", "digits", "--out", "c.npy"],
        ["sample", "RUN"],
        ["reconstruct", "RUN", "digits"],
        ["interpolate", "RUN", "digits", "0", "1"],
    ],
)
def test_what_is_for_a_vae(varinf, classifier, arguments):
    before = sorted(classifier.rglob("*"))
    code, _, err = varinf(*(classifier if word == "RUN" else word for word in arguments))
    assert (code, len(err)) == (2, 1)
    assert "this command is for a vae, and" in err[0]
    assert err[0].endswith("is the run of a classifier; for its predictions: varinf predict")
    assert sorted(classifier.rglob("*")) == before


def test_what_is_for_a_network(varinf, finished):
    code, _, err = varinf("predict", "run", "images.npy", "--out", "p.csv")
    assert (code, len(err)) == (2, 1)
    assert "this command is for a classifier or regressor, and run is the run of a vae" in err[0]


@pytest.mark.parametrize(
    ("arguments", "phrase"),
    [
        (["predict", "RUN", "t.csv", "--out", "p.png"], "expected a name that ends in .csv or .parquet or .npy"),
        (["predict", "RUN", "t.csv", "--out", "p.csv"], "expected rows of shape (2,), as the model was fitted to"),
        (["evaluate", "RUN", "new.csv"], "new.csv: expected the target column 'price', got columns a, b"),
        (["evaluate", "RUN", "class.csv"], "class.csv: expected the target column 'price', got columns a, b"),
        (["evaluate", "RUN", "x.npy"], "x.npy: expected rows with a target to predict, got none"),
    ],
)
def test_uses_that_cannot_be(varinf, regressor, arguments, phrase):
    write("a", "b", "count")
    write("a", "b", out="new.csv")
    write_table(Path("class.csv"), [("a", A), ("b", B), ("class", TABLE["kind"])])
    np.save("x.npy", np.stack([A, B], axis=1))
    code, _, err = varinf(*(word.replace("RUN", str(regressor)) for word in arguments))
    assert (code, len(err)) == (2, 1)
    assert phrase in err[0], err[0]
