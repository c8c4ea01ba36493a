"""What is left open in the settings, chosen by the kind of data and said aloud. Loads no JAX."""

import math
from typing import Any, NamedTuple

from varinf.config import Settings
from varinf.data import Spec, Summary
from varinf.likelihoods import LIKELIHOODS_OF, NUMBER_LIKELIHOOD, NUMBER_LIKELIHOODS, refuse_options

_STEPS = 2_500  # a default fit has about so many, within these numbers of epochs
_EPOCHS = (20, 2000)
_BATCH_SIZE, _SMALL_BATCH_SIZE, _SMALL = 128, 64, 4096  # the small one below so many rows
_LEARNING_RATE = 3e-3
_AS_OPTIONS = "--{}", "add --likelihood {}"  # of the command line, for messages

# of networks that predict; chosen by the figures in `varinf.estimators._defaults`
_NETWORK_BATCH_SIZE = 64
_CLASSIFIER_STEPS, _REGRESSOR_STEPS = 5_000, 10_000
_NETWORK_LEARNING_RATE = 1e-2
_HIDDEN = {"table": (50,), "images": (400, 400)}


class Choice(NamedTuple):
    """Settings with nothing left open.

    Attributes:
        model: keyword arguments of the model's `build`, without data and key.
        batch_size: rows in a step.
        epochs: passes over the data.
        patience: epochs to wait for a better bound on the held-out rows.
        learning_rate: at its highest.
        spoken: what was chosen and why, a line each.
    """

    model: dict[str, Any]
    batch_size: int
    epochs: int
    patience: int
    learning_rate: float
    spoken: tuple[str, ...]


def choose(settings: Settings, spec: Spec, summary: Summary) -> Choice:
    """Choose what the settings leave open.

    Args:
        settings: of the run.
        spec: of a row.
        summary: of the training rows.

    Raises:
        InputError: a setting that the likelihood has no use for.
    """
    given, spoken = settings.model, []
    likelihood, binarize = given.likelihood, given.binarize
    if likelihood is None:
        likelihood, kind = _likelihood(spec, summary)
        spoken.append(f"likelihood {likelihood}, for {kind}")
    refuse_options(likelihood, *_AS_OPTIONS, binarize=binarize, variance=given.variance)
    scale = spec.max_value or 1.0
    if summary.binary:
        scale = 1.0
    if binarize is None and likelihood in LIKELIHOODS_OF["binarize"] and spec.max_value and not summary.binary:
        binarize = "dynamic"
        spoken.append(f"binarize dynamic: a pixel is white with probability value/{scale:g}, drawn anew at each visit")
    batch_size = settings.train.batch_size
    if batch_size is None:
        batch_size = min(_SMALL_BATCH_SIZE if summary.count < _SMALL else _BATCH_SIZE, summary.count)
    epochs, patience = _epochs(settings, summary.count, batch_size, _STEPS, spoken)
    model = given.model_dump(exclude={"model", "weight_draws", "prior_scale"}) | {
        "event_shape": spec.shape,
        "likelihood": likelihood,
        "binarize": binarize,
        "scale": scale,
    }
    learning_rate = settings.train.learning_rate or _LEARNING_RATE
    return Choice(model, batch_size, epochs, patience, learning_rate, tuple(spoken))


def choose_network(settings: Settings, spec: Spec, summary: Summary, num_classes: int | None) -> Choice:
    """Choose what the settings leave open of a network that predicts a class or a number.

    Args:
        settings: of the run.
        spec: of a row of inputs.
        summary: of the training rows' inputs.
        num_classes: how many classes there are; None for a number.

    Raises:
        InputError: a likelihood of no number, or a setting that it has no use for.
    """
    given, spoken = settings.model, []
    likelihood = "categorical" if num_classes is not None else given.likelihood
    if likelihood is None:
        if given.variance is None:
            likelihood = NUMBER_LIKELIHOOD
            spoken.append(
                f"likelihood {likelihood}: noise of a size that depends on the row, and tails, which are learned"
            )
        else:
            likelihood = LIKELIHOODS_OF["variance"][0]
            spoken.append(f"likelihood {likelihood}, of which the variance is given")
    if num_classes is None:
        NUMBER_LIKELIHOODS.check(likelihood)
    refuse_options(likelihood, *_AS_OPTIONS, variance=given.variance)
    hidden = given.hidden
    if hidden is None and given.network == "mlp":
        hidden = _HIDDEN[spec.kind]
        spoken.append(f"hidden {','.join(map(str, hidden))}, for {'a table' if spec.kind == 'table' else 'images'}")
    batch_size = settings.train.batch_size or min(_NETWORK_BATCH_SIZE, summary.count)
    steps = _REGRESSOR_STEPS if num_classes is None else _CLASSIFIER_STEPS
    epochs, patience = _epochs(settings, summary.count, batch_size, steps, spoken)
    model = {
        "event_shape": spec.shape,
        "likelihood": likelihood,
        "num_values": num_classes,
        "variance": given.variance,
        "hidden": hidden,
        "network": given.network,
        "activation": given.activation,
        "posterior": given.posterior,
        "estimator": given.weight_draws,
        "prior_scale": "fan_in" if given.prior_scale is None else given.prior_scale,
    }
    learning_rate = settings.train.learning_rate or _NETWORK_LEARNING_RATE
    return Choice(model, batch_size, epochs, patience, learning_rate, tuple(spoken))


def _epochs(settings: Settings, count: int, batch_size: int, steps: int, spoken: list[str]) -> tuple[int, int]:
    """Epochs, and how many to wait for a better bound, of a fit of about so many steps."""
    train, epochs = settings.train, settings.train.epochs
    if epochs is None:
        per_epoch = math.ceil(count / batch_size)
        epochs = min(max(_EPOCHS[0], round(steps / per_epoch)), _EPOCHS[1])
        spoken.append(f"epochs {epochs}, about {epochs * per_epoch:,} steps of {batch_size} rows")
    return epochs, train.patience or max(5, epochs // 4)


def _likelihood(spec: Spec, summary: Summary) -> tuple[str, str]:
    """The likelihood for a kind of data, and the kind in words."""
    if spec.kind == "table":
        return "gaussian", "a table: a variance for each column"
    colours = len(spec.shape) == 3 and spec.shape[-1] > 1
    if summary.binary and not colours:
        return "bernoulli", "black and white images"
    if spec.max_value is None:
        return "gaussian", "images of real numbers: one variance for all pixels"
    if colours:
        return "discretized_logistic", f"colour images of whole numbers up to {spec.max_value:g}"
    return "bernoulli", f"grey images of whole numbers up to {spec.max_value:g}"
