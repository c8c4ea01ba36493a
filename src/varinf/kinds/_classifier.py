from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from jaxtyping import PRNGKeyArray

from varinf import data, evaluate, models
from varinf.choice import Choice, choose_network
from varinf.config import Settings
from varinf.errors import InputError
from varinf.kinds._kind import RunData, Target
from varinf.kinds._network import AbstractNetwork, pairs
from varinf.train import Fit

_SHOWN = 8  # classes in a message


class Classifier(AbstractNetwork):
    """A Bayesian network that predicts a class."""

    num_samples: ClassVar[int] = 100

    def classes(self, labels: np.ndarray, what: str) -> tuple[str, ...] | tuple[int, ...]:
        values = np.unique(labels)
        if values.dtype.kind == "f" and (values != np.rint(values)).any():
            fraction = values[values != np.rint(values)][0]
            raise InputError(
                f"{what}: expected classes, words or whole numbers, got fractions ({fraction:g}, for example); predict "
                "numbers with --model regressor"
            )
        if len(values) < 2:
            raise InputError(f"{what}: expected two classes or more, got {values[0]!s} alone; nothing is to be learned")
        if 2 * len(values) > len(labels):
            raise InputError(
                f"{what}: expected a few classes, got {len(values)} different values in {len(labels)} rows; take "
                "another column, or predict numbers with --model regressor"
            )
        return tuple(map(str, values)) if values.dtype.kind in "US" else tuple(map(int, values))

    def encoded(self, labels: np.ndarray, target: Target, what: str) -> np.ndarray:
        classes = np.asarray(target.classes)
        if (labels.dtype.kind in "US") != (classes.dtype.kind in "US"):
            raise InputError(f"{what}: expected the classes {_listed(classes)}, got {labels[0]!s}, of another kind")
        index = np.minimum(np.searchsorted(classes, labels), len(classes) - 1)
        unknown = labels[classes[index] != labels]
        if len(unknown):
            raise InputError(
                f"{what}: expected the classes {_listed(classes)} of the rows that were trained on, got {unknown[0]!s} "
                f"in {(unknown == unknown[0]).sum()} of {len(labels)} rows; remove these, or train on such rows too"
            )
        return index.astype(np.int32)

    def choose(self, settings: Settings, rows: RunData, summary: Any) -> Choice:
        target = rows.target
        num_classes = None if target is None or target.classes is None else len(target.classes)
        return choose_network(settings, rows.spec, summary[0], num_classes)

    def figures(
        self, model: models.BayesianNetwork, x: np.ndarray, y: np.ndarray, *, num_samples: int, key: PRNGKeyArray
    ) -> dict[str, Any]:
        prediction = model.predict(x, num_samples, key=key)
        found = evaluate.calibration(prediction.mean, y)
        nll = found.nll
        if found.num_impossible:
            # of probabilities that are zero but for rounding the logarithms are known
            nll = -float(models.log_predictive(model, x, y, num_samples, key=key).mean())
        return {
            "accuracy": found.accuracy,
            "nll": nll,
            "brier": found.brier,
            "ece": found.ece_equal_width,
            "ece_equal_mass": found.ece_equal_mass,
            "aleatoric": float(prediction.aleatoric.mean()),
            "epistemic": float(prediction.epistemic.mean()),
        }

    def drawing(
        self,
        fit: Fit,
        source: data.Source,
        rows: RunData,
        snapshots: Sequence[tuple[int, np.ndarray]],
        *,
        key: PRNGKeyArray,
    ) -> dict[str, Any]:
        x, y = pairs(source)
        return {
            "prediction": fit.model.predict(x, self.num_samples, key=key),
            "x": x,
            "y": y,
            "classes": [] if rows.target is None else rows.target.classes,
            "history": fit.history,
            "max_value": rows.spec.max_value,
        }

    def predictions(
        self, model: models.BayesianNetwork, x: np.ndarray, target: Target, *, num_samples: int, key: PRNGKeyArray
    ) -> dict[str, np.ndarray]:
        found, classes = model.predict(x, num_samples, key=key), np.asarray(target.classes)
        columns = {"class": classes[found.mean.argmax(1)]}
        columns |= {f"probability_{name}": column for name, column in zip(classes, found.mean.T, strict=True)}
        return columns | {"total": found.total, "aleatoric": found.aleatoric, "epistemic": found.epistemic}


def _listed(classes: np.ndarray) -> str:
    shown = ", ".join(map(str, classes[:_SHOWN]))
    return shown if len(classes) <= _SHOWN else f"{shown}, ... ({len(classes)} of them)"
