"""What is left open in the settings, chosen by the kind of data and said aloud. Loads no JAX."""

import math
from typing import Any, NamedTuple

from varinf.config import Settings
from varinf.data import Spec, Summary
from varinf.errors import InputError
from varinf.likelihoods import LIKELIHOOD_OF

_STEPS = 2_500  # a default fit has about so many, within these numbers of epochs
_EPOCHS = (20, 1000)
_BATCH_SIZE, _SMALL_BATCH_SIZE, _SMALL = 128, 64, 4096  # the small one below so many rows


class Choice(NamedTuple):
    """Settings with nothing left open.

    Attributes:
        model: keyword arguments of `VAE.build`, without data and key.
        batch_size: rows in a step.
        epochs: passes over the data.
        patience: epochs to wait for a better bound on the held-out rows.
        spoken: what was chosen and why, a line each.
    """

    model: dict[str, Any]
    batch_size: int
    epochs: int
    patience: int
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
    _refuse(likelihood, binarize=binarize, variance=given.variance)
    scale = spec.max_value or 1.0
    if summary.binary:
        scale = 1.0
    if binarize is None and likelihood == LIKELIHOOD_OF["binarize"] and spec.max_value and not summary.binary:
        binarize = "dynamic"
        spoken.append(f"binarize dynamic: a pixel is white with probability value/{scale:g}, drawn anew at each visit")
    train = settings.train
    batch_size = train.batch_size or min(_SMALL_BATCH_SIZE if summary.count < _SMALL else _BATCH_SIZE, summary.count)
    epochs = train.epochs
    if epochs is None:
        per_epoch = math.ceil(summary.count / batch_size)
        epochs = min(max(_EPOCHS[0], round(_STEPS / per_epoch)), _EPOCHS[1])
        spoken.append(f"epochs {epochs}, about {epochs * per_epoch:,} steps of {batch_size} rows")
    patience = train.patience or max(5, epochs // 4)
    model = given.model_dump() | {
        "event_shape": spec.shape,
        "likelihood": likelihood,
        "binarize": binarize,
        "scale": scale,
    }
    return Choice(model, batch_size, epochs, patience, tuple(spoken))


def _refuse(likelihood: str, **given: str | float | None) -> None:
    for name, value in given.items():
        if value is not None and likelihood != (its_own := LIKELIHOOD_OF[name]):
            raise InputError(
                f"--{name} is for a {its_own} likelihood, and this one is {likelihood}; leave it out, or add "
                f"--likelihood {its_own}"
            )


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
