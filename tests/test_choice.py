"""What is chosen by the kind of data, and said."""

import numpy as np
import pytest

from varinf import data
from varinf.choice import choose, choose_network
from varinf.config import make_settings
from varinf.errors import InputError

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (20, 4, 5), dtype=np.uint8)


def chosen(x, **options):
    source = data.source(x)
    return choose(make_settings(options), source.spec, data.summarize(source))


@pytest.mark.parametrize(
    ("x", "likelihood", "binarize", "scale"),
    [
        (GREY, "bernoulli", "dynamic", 255),
        (GREY[..., None], "bernoulli", "dynamic", 255),
        (data.ArraySource(GREY // 16, max_value=16), "bernoulli", "dynamic", 16),
        (GREY // 128, "bernoulli", None, 1),
        (GREY > 99, "bernoulli", None, 1),
        (np.stack([GREY] * 3, -1), "discretized_logistic", None, 255),
        (GREY / 255, "gaussian", None, 1),
        (RNG.normal(size=(20, 3)), "gaussian", None, 1),
        (RNG.integers(0, 2, (20, 3)), "gaussian", None, 1),
    ],
)
def test_by_the_kind_of_data(x, likelihood, binarize, scale):
    choice = chosen(x)
    assert (choice.model["likelihood"], choice.model["binarize"], choice.model["scale"]) == (
        likelihood,
        binarize,
        scale,
    )
    # said aloud
    assert choice.spoken[0].startswith(f"likelihood {likelihood}, for ")
    assert any("binarize dynamic" in line for line in choice.spoken) == (binarize == "dynamic")


def test_what_is_given_is_taken_and_not_spoken_of():
    choice = chosen(GREY, likelihood="bernoulli", binarize="threshold", epochs=3, batch_size=7, patience=2)
    assert (choice.model["binarize"], choice.epochs, choice.batch_size, choice.patience) == ("threshold", 3, 7, 2)
    assert choice.spoken == ()


@pytest.mark.parametrize(("count", "epochs"), [(1, 2000), (64 * 25, 100), (128 * 50, 50), (128 * 1000, 20)])
def test_about_2500_steps_within_bounds(count, epochs):
    choice = chosen(np.zeros((count, 1)))
    assert choice.epochs == epochs
    assert choice.patience == max(5, epochs // 4)
    assert choice.batch_size == min(64 if count < 4096 else 128, count)


@pytest.mark.parametrize("options", [{"binarize": "dynamic"}, {"binarize": "none"}])
def test_a_setting_that_the_likelihood_has_no_use_for(options):
    with pytest.raises(InputError, match="--binarize is for a bernoulli likelihood, and this one is gaussian"):
        chosen(GREY / 255, **options)


# --- networks ------------------------------------------------------------------------------------------------------


def chosen_network(x, num_classes, **options):
    source = data.source(x)
    return choose_network(make_settings(options), source.spec, data.summarize(source), num_classes)


@pytest.mark.parametrize(
    ("x", "num_classes", "likelihood", "hidden"),
    [
        (RNG.normal(size=(20, 3)), None, "heteroscedastic_student_t", (50,)),
        (RNG.normal(size=(20, 3)), 4, "categorical", (50,)),
        (GREY, 4, "categorical", (400, 400)),
    ],
)
def test_of_a_network_by_the_kind_of_data(x, num_classes, likelihood, hidden):
    options = {"model": "regressor" if num_classes is None else "classifier"}
    choice = chosen_network(x, num_classes, **options)
    assert (choice.model["likelihood"], choice.model["hidden"]) == (likelihood, hidden)
    assert choice.model["num_values"] == num_classes
    assert any(line.startswith(f"hidden {','.join(map(str, hidden))}, for ") for line in choice.spoken)
    # what the classes are is no choice
    assert any(line.startswith("likelihood") for line in choice.spoken) == (num_classes is None)
    # a convolution has sizes of its own
    assert chosen_network(x, num_classes, network="conv", **options).model["hidden"] is None


def test_a_variance_that_is_given_is_that_of_a_gaussian():
    choice = chosen_network(RNG.normal(size=(20, 3)), None, model="regressor", variance=4.0)
    assert (choice.model["likelihood"], choice.model["variance"]) == ("gaussian", 4)


def test_the_learning_rate_is_that_of_the_kind_of_model():
    table = RNG.normal(size=(20, 3))
    assert chosen_network(table, 3, model="classifier").learning_rate == 1e-2
    assert chosen_network(table, None, model="regressor").learning_rate == 1e-2
    assert chosen_network(table, None, model="regressor", learning_rate=0.5).learning_rate == 0.5
    assert chosen(GREY).learning_rate == 3e-3


@pytest.mark.parametrize(("num_classes", "epochs"), [(2, 100), (None, 200)])
def test_of_a_network_about_5000_steps_or_10000(num_classes, epochs):
    model = "regressor" if num_classes is None else "classifier"
    choice = chosen_network(np.zeros((64 * 50, 1)), num_classes, model=model)
    assert (choice.batch_size, choice.epochs, choice.patience) == (64, epochs, epochs // 4)
